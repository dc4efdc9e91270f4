"""Goldens of a multilingual MiniLM: a BERT with XLM-R's kind of vocabulary, as paraphrase-multilingual-MiniLM-L12-v2 and
multilingual-e5-small are. Its config pads with token 0, which is <s>, its tokenizer with token 1, and its table of words has more rows
than there are tokens.

Made by:  cargo xtask golden     (after encoder.py, whose tiny-xlmr has the tokenizer's files)
Read by:  the tests of the command line, which add tiny-xlmr's tokenizer

Writes beside this file, always the same bytes:
  tiny-multilingual/  config.json and weights
  multilingual.json   {"texts", "vectors"}: the mean of the last hidden states over the real tokens of each text, of one batch that
                      transformers pads; computed in float64
"""

import json
import shutil
import tempfile

import torch
import transformers
from transformers import AutoModel, AutoTokenizer, BertConfig, BertModel

from encoder import HERE, write_model

TEXTS = [
    "A small student learns from a large teacher.",
    "Ein kleiner Schüler lernt von einem großen Lehrer.",
    "Un petit élève, un grand maître.",
    "Маленький ученик учится у большого учителя, и учитель учит его.",
    "小さな生徒",
    "",
]
SPARE_ROWS = 7


def main():
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    tokens = len(AutoTokenizer.from_pretrained(HERE / "tiny-xlmr"))
    config = BertConfig(
        vocab_size=tokens + SPARE_ROWS,
        hidden_size=24,
        num_attention_heads=3,
        num_hidden_layers=2,
        intermediate_size=40,
        layer_norm_eps=1e-12,
        max_position_embeddings=40,
        type_vocab_size=2,
        pad_token_id=0,
        hidden_act="gelu",
    )
    write_model(BertModel(config), HERE / "tiny-multilingual", weight_std=0.25, seed=41)
    golden = json.dumps({"texts": TEXTS, "vectors": vectors()}, ensure_ascii=False, separators=(",", ":"))
    (HERE / "multilingual.json").write_text(golden.replace("],", "],\n") + "\n", encoding="utf-8")


def vectors():
    with tempfile.TemporaryDirectory() as folder:
        for name in ("tiny-xlmr", "tiny-multilingual"):
            shutil.copytree(HERE / name, folder, dirs_exist_ok=True)
        tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModel.from_pretrained(folder).double().eval()
    assert (tokenizer.pad_token_id, model.config.pad_token_id) == (1, 0)
    batch = tokenizer(TEXTS, padding=True, truncation=True, return_tensors="pt")
    assert 1 in batch["input_ids"] and len(set(batch["attention_mask"].sum(1).tolist())) > 2
    with torch.no_grad():
        hidden = model(**batch).last_hidden_state
    real = batch["attention_mask"].unsqueeze(2)
    means = (hidden * real).sum(1) / real.sum(1)
    return [[float(f"{x:.7g}") for x in vector] for vector in means.tolist()]


if __name__ == "__main__":
    main()
