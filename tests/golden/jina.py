"""JinaBERT (https://huggingface.co/jinaai/jina-bert-implementation), which transformers does not have: its BERT with a gated
feed-forward part and ALiBi instead of positions, under the names of the original. families.py and heads.py use it.
"""

import math

import torch
from torch import nn
from transformers import BertForSequenceClassification, BertForTokenClassification, BertModel
from transformers.models.bert.modeling_bert import BertLayer


class JinaBertGLUMLP(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.width = config.intermediate_size
        self.gated_layers = nn.Linear(config.hidden_size, 2 * self.width, bias=False)
        self.act = {"geglu": nn.GELU(), "reglu": nn.ReLU()}[config.feed_forward_type]
        self.wo = nn.Linear(self.width, config.hidden_size)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)
        self.layernorm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)

    def forward(self, x):
        both = self.gated_layers(x)
        units = self.act(both[..., : self.width]) * both[..., self.width :]
        return self.layernorm(self.wo(self.dropout(units)) + x)


class JinaBertLayer(BertLayer):
    def __init__(self, config):
        super().__init__(config)
        del self.intermediate, self.output
        self.mlp = JinaBertGLUMLP(config)

    def feed_forward_chunk(self, attention_output):
        return self.mlp(attention_output)


class NoPositions(nn.Module):
    def forward(self, position_ids):
        return 0.0


class JinaBertModel(BertModel):
    def __init__(self, config, add_pooling_layer=True):
        super().__init__(config, add_pooling_layer)
        self.embeddings.position_embeddings = NoPositions()
        self.encoder.layer = nn.ModuleList([JinaBertLayer(config) for _ in range(config.num_hidden_layers)])
        self.post_init()

    def forward(self, input_ids, attention_mask, **others):
        places = torch.arange(input_ids.shape[1])
        slopes = torch.tensor(head_slopes(self.config.num_attention_heads), dtype=self.dtype)
        scores = -slopes[:, None, None] * (places[None, :] - places[:, None]).abs()
        # A mask of four axes is added to the scores as it is.
        padding = -1e9 * (1.0 - attention_mask.to(self.dtype))[:, None, None, :]
        return super().forward(input_ids, attention_mask=scores[None] + padding, **others)


def head_slopes(heads):
    """As the paper's authors and the original have them."""

    def of_power(n):
        start = 2 ** (-(2 ** -(math.log2(n) - 3)))
        return [start * start**i for i in range(n)]

    if math.log2(heads).is_integer():
        return of_power(heads)
    closest = 2 ** math.floor(math.log2(heads))
    return of_power(closest) + head_slopes(2 * closest)[0::2][: heads - closest]


class JinaBertForSequenceClassification(BertForSequenceClassification):
    def __init__(self, config):
        super().__init__(config)
        self.bert = JinaBertModel(config)
        self.post_init()


class JinaBertForTokenClassification(BertForTokenClassification):
    def __init__(self, config):
        super().__init__(config)
        self.bert = JinaBertModel(config, add_pooling_layer=False)
        self.post_init()
