"""What differs between the encoder families of transformers, for the scripts beside this one."""


def projections(model, layer):
    """What gives queries, keys and values of a layer (1-based), before any rotation, of the hidden states that enter it."""
    if model.config.model_type == "modernbert":
        block = model.layers[layer - 1]
        return [lambda x, part=part: block.attn.Wqkv(block.attn_norm(x)).chunk(3, dim=-1)[part] for part in range(3)]
    if model.config.model_type == "distilbert":
        attention = model.transformer.layer[layer - 1].attention
        return attention.q_lin, attention.k_lin, attention.v_lin
    if model.config.model_type in ("nomic_bert", "gte"):
        attention = model.layers[layer - 1].self_attn
        return attention.q_proj, attention.k_proj, attention.v_proj
    attention = model.encoder.layer[layer - 1].attention
    if model.config.model_type == "mpnet":
        return attention.attn.q, attention.attn.k, attention.attn.v
    attention = attention.self
    return attention.query, attention.key, attention.value
