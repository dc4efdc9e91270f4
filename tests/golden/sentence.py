"""Goldens of sentence vectors: what SentenceTransformer makes of texts with the encoder of tiny-bert and different heads.

Made by:  cargo xtask golden     (after encoder.py, whose tiny-bert every folder is)
Read by:  the tests of `limbeck encode`

Writes beside this file, always the same bytes:
  sentence/NAME/  what a folder has beside tiny-bert's files, or instead of them: modules.json and what it names. Those in
                  which sentence-transformers saves today have its own files; `old-*` have the keys of version 2
  sentence.json   {"texts", "vectors": {NAME: {PROMPT: [one vector a text]}}}; the prompt "" is that of no choice

A folder's vectors are those of tiny-bert's files with NAME's over them.
"""

import json
import shutil
import tempfile
from pathlib import Path

import torch
import transformers
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Dense, Normalize, Pooling, Transformer
from tokenizers import Tokenizer

from encoder import HERE, write_json

TEXTS = [
    "the small student reads two words",
    "The Teacher",
    "",
    "key",
    "all attention between query and key from one layer to all layer, all attention between query and key from one layer to "
    "all layer, all attention between query and key from one layer to all layer and at it is",
    "it was the large model, how it was at all!",
]
HIDDEN = 24
OLD_MODES = {
    "cls": "pooling_mode_cls_token",
    "mean": "pooling_mode_mean_tokens",
    "max": "pooling_mode_max_tokens",
    "mean_sqrt_len_tokens": "pooling_mode_mean_sqrt_len_tokens",
}


def main():
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    shutil.rmtree(HERE / "sentence", ignore_errors=True)
    vectors = {}
    for mode in Pooling.POOLING_MODES:
        vectors[mode] = saved(mode, pooling(mode))
    vectors["two-modes"] = saved("two-modes", pooling(("lasttoken", "cls")))
    vectors["normalized"] = saved("normalized", pooling("mean"), Normalize())
    vectors["dense"] = saved("dense", pooling("cls"), dense(HIDDEN, 10), Normalize())
    activation = torch.nn.GELU()
    two = dense(HIDDEN, 12, activation), dense(12, 6, None, bias=False)
    vectors["two-dense"] = saved("two-dense", pooling("max"), *two, pytorch=True)
    vectors["length"] = saved("length", pooling("mean"), max_length=9)
    prompts = {"query": "the student: ", "document": ""}
    vectors["prompts"] = saved("prompts", pooling("mean"), prompts=prompts)
    vectors["default-prompt"] = saved("default-prompt", pooling("mean"), prompts=prompts, default_prompt_name="query")
    without = Pooling(HIDDEN, "cls", include_prompt=False)
    vectors["without-prompt"] = saved("without-prompt", without, prompts=prompts)
    vectors["without-prompt-weighted"] = saved(
        "without-prompt-weighted", Pooling(HIDDEN, ("weightedmean", "max"), include_prompt=False), prompts=prompts
    )
    for mode in OLD_MODES:
        vectors[f"old-{mode}"] = old(f"old-{mode}", mode)
    vectors["old-length"] = old("old-length", "mean", normalize=True, max_seq_length=7)
    cased = Tokenizer.from_file(str(HERE / "tiny-bert" / "tokenizer.json"))
    cased.normalizer = None
    vectors["old-lower-case"] = old("old-lower-case", "mean", tokenizer=cased, do_lower_case=True)
    vectors["no-modules"] = {"": encoded("no-modules", "")}
    golden = json.dumps({"texts": TEXTS, "vectors": vectors}, separators=(",", ":"))
    (HERE / "sentence.json").write_text(golden.replace("]],", "]],\n") + "\n", encoding="utf-8")


def pooling(modes):
    return Pooling(HIDDEN, modes)


def dense(inputs, outputs, activation=torch.nn.Tanh(), bias=True):
    layer = Dense(inputs, outputs, bias=bias, activation_function=activation)
    random = torch.Generator().manual_seed(inputs * outputs)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.copy_(0.3 * torch.randn(parameter.shape, generator=random))
    return layer


def saved(name, *head, max_length=None, pytorch=False, **options):
    """A folder as this version of sentence-transformers saves it, without what is tiny-bert's; weights of Dense as PyTorch's."""
    transformer = Transformer(str(HERE / "tiny-bert"))
    if max_length is not None:
        transformer.max_seq_length = max_length
    model = SentenceTransformer(modules=[transformer, *head], device="cpu", **options)
    with tempfile.TemporaryDirectory() as folder:
        model.save(folder, create_model_card=False)
        for index, module in enumerate(model):
            if pytorch and isinstance(module, Dense):
                place = Path(folder) / f"{index}_Dense"
                (place / "model.safetensors").unlink()
                module.save(str(place), safe_serialization=False)
        for file in Path(folder).rglob("*"):
            name_in_folder = file.relative_to(folder)
            if file.is_file() and str(name_in_folder) not in ("config.json", "model.safetensors", "tokenizer.json"):
                target = HERE / "sentence" / name / name_in_folder
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(file, target)
    return {prompt: encoded(name, prompt) for prompt in ["", *options.get("prompts", {})]}


def old(name, mode, normalize=False, tokenizer=None, max_seq_length=None, do_lower_case=False):
    """A folder in the keys of sentence-transformers 2, as most of those on Hugging Face have them."""
    folder = HERE / "sentence" / name
    (folder / "1_Pooling").mkdir(parents=True)
    kinds = ["Transformer", "Pooling"] + ["Normalize"] * normalize
    paths = ["", "1_Pooling", "2_Normalize"]
    modules = [
        {"idx": index, "name": str(index), "path": path, "type": f"sentence_transformers.models.{kind}"}
        for index, (kind, path) in enumerate(zip(kinds, paths))
    ]
    booleans = {key: key == OLD_MODES[mode] for key in OLD_MODES.values()}
    write_json(folder / "modules.json", modules)
    write_json(folder / "1_Pooling" / "config.json", {"word_embedding_dimension": HIDDEN} | booleans)
    settings = {"max_seq_length": max_seq_length, "do_lower_case": do_lower_case}
    write_json(folder / "sentence_bert_config.json", settings)
    if tokenizer is not None:
        tokenizer.save(str(folder / "tokenizer.json"))
        config = {"tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": 40}
        config |= {f"{name}_token": f"[{name.upper()}]" for name in ("cls", "mask", "pad", "sep", "unk")}
        write_json(folder / "tokenizer_config.json", config)
    return {"": encoded(name, "")}


def encoded(name, prompt):
    with tempfile.TemporaryDirectory() as folder:
        shutil.copytree(HERE / "tiny-bert", folder, dirs_exist_ok=True)
        if (HERE / "sentence" / name).is_dir():
            shutil.copytree(HERE / "sentence" / name, folder, dirs_exist_ok=True)
        model = SentenceTransformer(folder, device="cpu")
        vectors = model.encode(TEXTS, prompt_name=prompt or None, show_progress_bar=False)
    return [[float(f"{x:.7g}") for x in vector] for vector in vectors.tolist()]


if __name__ == "__main__":
    main()
