"""Where the encoder families of transformers have queries, keys and values, for the scripts beside this one and the goldens."""


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
    if model.config.model_type in ("eurobert", "qwen3", "gemma3_text"):
        return grouped(model.layers[layer - 1])
    attention = model.encoder.layer[layer - 1].attention
    if model.config.model_type == "mpnet":
        return attention.attn.q, attention.attn.k, attention.attn.v
    attention = attention.self
    if model.config.model_type == "deberta-v2":
        return attention.query_proj, attention.key_proj, attention.value_proj
    return attention.query, attention.key, attention.value


def grouped(block):
    """Of a layer whose norms of heads, if there are any, belong to queries and keys."""
    own = block.self_attn

    def part(project, norm):
        if norm is None:
            return lambda x: project(block.input_layernorm(x))
        return lambda x: norm(project(block.input_layernorm(x)).unflatten(-1, (-1, own.head_dim))).flatten(-2)

    norms = [getattr(own, name, None) for name in ("q_norm", "k_norm")]
    return [part(project, norm) for project, norm in zip((own.q_proj, own.k_proj, own.v_proj), [*norms, None])]
