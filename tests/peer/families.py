"""What differs between the encoder families of transformers, for the scripts beside this one."""


def projections(model, layer):
    """The linear layers to queries, keys and values of a layer (1-based)."""
    if model.config.model_type == "distilbert":
        attention = model.transformer.layer[layer - 1].attention
        return attention.q_lin, attention.k_lin, attention.v_lin
    attention = model.encoder.layer[layer - 1].attention.self
    return attention.query, attention.key, attention.value
