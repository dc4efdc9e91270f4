"""Goldens of the encoder: what transformers computes with two tiny random models, and what three tiny tokenizers say.

Made by:  cargo xtask golden
Read by:  the parity tests of the encoder and of the tokenizers; training.py and check_student.py use the models too.

Writes beside this file, always the same bytes:
  tiny-bert/               a BERT folder as Hugging Face writes it (WordPiece, lower-casing; layer_norm_eps 1e-3)
  tiny-xlmr/               an XLM-R folder (Unigram; layer_norm_eps 3e-4; positions start at pad_token_id + 1)
  tiny-roberta-tokenizer/  a byte-level BPE tokenizer.json alone
  encoder.safetensors      per model "bert" and "xlmr", with B sequences padded on the right to S:
      <model>.ids       i64 (B, S)
      <model>.lengths   i64 (B)
      <model>.hidden.N  f32 (B, S, H)  N = 0: the embeddings' output; N = 1..L: the output of layer N
      <model>.q.N, .k.N, .v.N  f32 (B, S, H)  layer N's projections of hidden.(N-1), biases included, N = 1..L
  tokens.json              per tokenizer folder a list of {"text", "ids"}, special tokens included

The activations are computed in float64 and rounded once to float32, so they are the truth a float32 encoder should come
near. Rows at or past a sequence's length mean nothing.
"""

import copy
import json
import math
import os
import sys
from collections import Counter
from pathlib import Path

os.environ["TOKENIZERS_PARALLELISM"] = "false"  # before the import: the trainers read it once
os.environ["RAYON_NUM_THREADS"] = "1"

import torch
import transformers
from safetensors.torch import save_file
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import AutoTokenizer, BertConfig, BertModel, XLMRobertaConfig, XLMRobertaModel

HERE = Path(__file__).resolve().parent
sys.path.append(str(HERE.parent / "peer"))

from taps import projections

SENTENCES = [
    "A small student learns from a large teacher.",
    "The student copies how the teacher relates one token to another token.",
    "Every layer of the teacher looks at all the words at once.",
    "The last layer of a small model is often the easiest to imitate.",
    "Relations between words are kept when the hidden size shrinks.",
    "Queries meet queries, keys meet keys and values meet values.",
    "It was raining in the morning, but the afternoon was warm and dry.",
    "She reads two books a week and writes about both of them.",
    "The train to the coast leaves at nine and returns before dark.",
    "Ein kleiner Schüler lernt von einem großen Lehrer.",
    "Die Wörter eines Satzes stehen zueinander in Beziehung.",
    "Un petit élève apprend auprès d'un grand maître.",
    "La dernière couche du modèle garde les relations entre les mots.",
    "Un estudiante pequeño aprende de una maestra más grande.",
    "Маленький ученик учится у большого учителя.",
    "小さな生徒は大きな先生から学ぶ。",
]

TEXTS = [
    "A small student learns from a large teacher.",
    "THE STUDENT Reads TWO Books; isn't it GREAT?!",
    "Élève naïve à Zürich: São Paulo, Ångström, cafe\u0301",
    "two  spaces,   three, a\ttab and a trailing one ",
    "",
    "learned 🤖 from the teacher 👩‍🏫🏽!",
    "中文 and 日本語 mixed with English, 小さな生徒",
    "unlearnable " + "relation" * 16 + " 1234567890",
    "ﬁne ½ ＦＵＬＬ width … “quotes” – dashes",
    "[MASK] <mask> </s> are not words",
]

WORDPIECE_WORDS = """
the of and to in is it at from how all one two was teacher student layer small large model token word words head relation
attention learn read query key value between un
""".split()
WORDPIECE_ENDINGS = "##ing ##er ##ed ##ion ##ly ##able ##est".split()


def main():
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    tokenizers = {
        "tiny-bert": wordpiece_tokenizer(),
        "tiny-xlmr": unigram_tokenizer(),
        "tiny-roberta-tokenizer": byte_level_tokenizer(),
    }
    for folder, tokenizer in tokenizers.items():
        (HERE / folder).mkdir(exist_ok=True)
        tokenizer.save(str(HERE / folder / "tokenizer.json"))

    bert = tiny_bert(tokenizers["tiny-bert"].get_vocab_size())
    xlmr = tiny_xlmr(tokenizers["tiny-xlmr"].get_vocab_size())
    write_model(bert, HERE / "tiny-bert", weight_std=0.25, seed=1)
    write_model(xlmr, HERE / "tiny-xlmr", weight_std=0.2, seed=2)
    write_bert_tokenizer_files(tokenizers["tiny-bert"], HERE / "tiny-bert")
    write_xlmr_tokenizer_files(HERE / "tiny-xlmr")

    golden = {}
    golden |= activations("bert", bert, lengths=[9, 5, 1], first_word=5, seed=3)
    golden |= activations("xlmr", xlmr, lengths=[11, 2, 7], first_word=4, seed=4)
    save_file(golden, HERE / "encoder.safetensors")

    tokens = {folder: token_cases(folder, tokenizer) for folder, tokenizer in tokenizers.items()}
    write_json(HERE / "tokens.json", tokens)


# --- tokenizers -----------------------------------------------------------------------------------------------------------


def wordpiece_tokenizer():
    """BERT's uncased tokenizer with a vocabulary made by hand: letters, so that most words can be spelt, and some words."""
    letters = "abcdefghijklmnopqrstuvwxyz"
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    pieces += list(".,!?'-") + list("012345") + list(letters) + ["##" + letter for letter in letters]
    pieces += ["##0", "##1", "中", "文"] + WORDPIECE_WORDS + WORDPIECE_ENDINGS
    assert len(set(pieces)) == len(pieces), "a piece is listed twice"
    vocab = {piece: index for index, piece in enumerate(pieces)}
    tokenizer = Tokenizer(models.WordPiece(vocab, unk_token="[UNK]", max_input_chars_per_word=100))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece(prefix="##")
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS]:0 $A:0 [SEP]:0",
        pair="[CLS]:0 $A:0 [SEP]:0 $B:1 [SEP]:1",
        special_tokens=[("[CLS]", vocab["[CLS]"]), ("[SEP]", vocab["[SEP]"])],
    )
    tokenizer.add_special_tokens(pieces[:5])
    return tokenizer


def unigram_tokenizer():
    """XLM-R's kind of tokenizer: Unigram over words that begin with U+2581, with XLM-R's ids for the special tokens."""
    specials = ["<s>", "<pad>", "</s>", "<unk>"]
    pieces = [(special, 0.0) for special in specials] + unigram_pieces(SENTENCES, count=256)
    tokenizer = Tokenizer(models.Unigram(pieces, unk_id=specials.index("<unk>"), byte_fallback=False))
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Replace(Regex(" {2,}"), " ")])
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="always")]
    )
    tokenizer.decoder = decoders.Metaspace(replacement="▁", prepend_scheme="always")
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", pair="<s> $A </s> </s> $B </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    tokenizer.add_special_tokens([*specials, AddedToken("<mask>", lstrip=True)])
    return tokenizer


def unigram_pieces(sentences, count):
    """Pieces with log probabilities: every character and the most useful longer substrings of the words.

    tokenizers' own UnigramTrainer gives another vocabulary on each run, so a golden cannot use it.
    """
    seen = Counter()
    for word in " ".join(sentences).split():
        word = "▁" + word
        for start in range(len(word)):
            seen.update(word[start : start + length] for length in range(1, min(8, len(word) - start) + 1))
    characters = [piece for piece in seen if len(piece) == 1]
    longer = [piece for piece in seen if len(piece) > 1 and seen[piece] > 1]
    longer.sort(key=lambda piece: (-seen[piece] * len(piece), piece))
    chosen = sorted(characters + longer[: count - len(characters)], key=lambda piece: (-seen[piece], piece))
    total = sum(seen[piece] for piece in chosen)
    return [(piece, round(math.log(seen[piece] / total), 6)) for piece in chosen]


def byte_level_tokenizer():
    """RoBERTa's kind of tokenizer: BPE over bytes, a leading space kept as part of the word."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=["<s>", "<pad>", "</s>", "<unk>", "<mask>"],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(SENTENCES, trainer)
    tokenizer.add_special_tokens([AddedToken("<mask>", lstrip=True)])
    tokenizer.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0), add_prefix_space=False)
    return tokenizer


def token_cases(folder, tokenizer):
    """Each text with its ids. tokenizer.json is read back, so that the file, not the object that made it, is the golden."""
    tokenizer = Tokenizer.from_file(str(HERE / folder / "tokenizer.json"))
    cases = [{"text": text, "ids": tokenizer.encode(text).ids} for text in TEXTS]
    if (HERE / folder / "tokenizer_config.json").exists():
        peer = AutoTokenizer.from_pretrained(HERE / folder)
        for case in cases:
            got = peer(case["text"])["input_ids"]
            assert got == case["ids"], f"{folder}: transformers reads {case['text']!r} as {got}, not {case['ids']}"
    return cases


def write_bert_tokenizer_files(tokenizer, folder):
    vocab = tokenizer.get_vocab()
    pieces = sorted(vocab, key=vocab.get)
    (folder / "vocab.txt").write_text("\n".join(pieces) + "\n", encoding="utf-8")
    specials = {
        "cls_token": "[CLS]",
        "mask_token": "[MASK]",
        "pad_token": "[PAD]",
        "sep_token": "[SEP]",
        "unk_token": "[UNK]",
    }
    write_json(folder / "special_tokens_map.json", specials)
    config = {"do_lower_case": True, "model_max_length": 40, "tokenizer_class": "BertTokenizer"}
    write_json(folder / "tokenizer_config.json", specials | config)


def write_xlmr_tokenizer_files(folder):
    specials = {
        "bos_token": "<s>",
        "cls_token": "<s>",
        "eos_token": "</s>",
        "mask_token": "<mask>",
        "pad_token": "<pad>",
        "sep_token": "</s>",
        "unk_token": "<unk>",
    }
    write_json(folder / "special_tokens_map.json", specials)
    # Not XLMRobertaTokenizer: transformers 5 would rebuild that one from the vocabulary and drop our normaliser.
    config = {"model_max_length": 40, "tokenizer_class": "PreTrainedTokenizerFast"}
    write_json(folder / "tokenizer_config.json", specials | config)


# --- models ---------------------------------------------------------------------------------------------------------------


def tiny_bert(vocab_size):
    return BertModel(
        BertConfig(
            vocab_size=vocab_size,
            hidden_size=24,
            num_attention_heads=3,
            num_hidden_layers=2,
            intermediate_size=40,
            layer_norm_eps=1e-3,
            max_position_embeddings=40,
            type_vocab_size=2,
            hidden_act="gelu",
        )
    )


def tiny_xlmr(vocab_size):
    return XLMRobertaModel(
        XLMRobertaConfig(
            vocab_size=vocab_size,
            hidden_size=32,
            num_attention_heads=4,
            num_hidden_layers=3,
            intermediate_size=48,
            layer_norm_eps=3e-4,
            pad_token_id=1,
            max_position_embeddings=40 + 2,
            type_vocab_size=1,
            hidden_act="gelu",
        )
    )


def write_model(model, folder, weight_std, seed):
    """Fills the model with weights in which no term of the formulas is a no-op, and saves it."""
    random = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            noise = torch.randn(parameter.shape, generator=random)
            if name.endswith("LayerNorm.weight"):
                parameter.copy_(1.0 + 0.2 * noise)
            elif name.endswith("bias"):
                parameter.copy_(0.2 * noise)
            else:
                parameter.copy_(weight_std * noise)
    model.eval()
    model.save_pretrained(folder)


def activations(name, model, lengths, first_word, seed):
    """Hidden states and projections of every layer on random sequences, by axis as the header says."""
    random = torch.Generator().manual_seed(seed)
    longest, pad = max(lengths), model.config.pad_token_id
    ids = torch.randint(first_word, model.config.vocab_size, (len(lengths), longest), generator=random)
    real = torch.arange(longest) < torch.tensor(lengths)[:, None]
    ids = torch.where(real, ids, pad)
    exact = copy.deepcopy(model).double()
    with torch.no_grad():
        hidden = exact(ids, attention_mask=real.long(), output_hidden_states=True).hidden_states
        golden = {f"{name}.ids": ids, f"{name}.lengths": torch.tensor(lengths)}
        for number, state in enumerate(hidden):
            golden[f"{name}.hidden.{number}"] = state.float().contiguous()
        for number, before in enumerate(hidden[:-1], start=1):
            for letter, project in zip("qkv", projections(exact, number)):
                golden[f"{name}.{letter}.{number}"] = project(before).float().contiguous()
    return golden


def write_json(path, value):
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
