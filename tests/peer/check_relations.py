"""Compares `limbeck relations` with relations that PyTorch computes from transformers' models of the same folders.

    python tests/peer/check_relations.py --limbeck target/release/limbeck --teacher DIR --student DIR --text "..." \
        [--second "..."] [--heads A] [--layer N] [--student-layer N]

All nine pairs. Prints one JSON object with the largest absolute difference of the maps and of the KL of the rows, in nats.
Needs tests/golden/requirements.txt.
"""

import argparse
import json
import math
import subprocess
import tempfile
from pathlib import Path

import torch
from tokenizers import pre_tokenizers
from transformers import AutoModel, AutoTokenizer

from taps import projections

PAIRS = [row + column for row in "qkv" for column in "qkv"]


def relations(args: argparse.Namespace) -> dict:
    """The JSON, from the program itself."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder, "relations.json")
        command = [args.limbeck, "relations", "--teacher", args.teacher, "--student", args.student, "--text", args.text]
        command += ["--pairs", ",".join(PAIRS), "--device", "cpu", "--out", str(out)]
        for flag in ("second", "heads", "layer", "student_layer"):
            if getattr(args, flag):
                command += ["--" + flag.replace("_", "-"), str(getattr(args, flag))]
        subprocess.run(command, check=True, capture_output=True)
        return json.loads(out.read_text(encoding="utf-8"))


def log_relations(folder: str, inputs: dict, layer: int, heads: int) -> dict[str, torch.Tensor]:
    """Logarithms of eq. 7 and 8 for each pair, (A, S, S) in f64; the model itself runs in f32 as it would elsewhere."""
    model = AutoModel.from_pretrained(folder).eval().float()
    with torch.no_grad():
        before = model(**inputs, output_hidden_states=True).hidden_states[layer - 1]
        taps = {name: linear(before) for name, linear in zip("qkv", projections(model, layer))}
    width = before.shape[-1] // heads
    # (1, S, H) -> (A, S, D): positions stay positions.
    split = {name: tap[0].double().unflatten(-1, (heads, width)).transpose(0, 1) for name, tap in taps.items()}
    scores = {pair: split[pair[0]] @ split[pair[1]].transpose(1, 2) / math.sqrt(width) for pair in PAIRS}
    return {pair: values.log_softmax(-1) for pair, values in scores.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--limbeck", required=True)
    parser.add_argument("--teacher", required=True)
    parser.add_argument("--student", required=True)
    parser.add_argument("--text", required=True)
    parser.add_argument("--second", help="a second text, read as a pair with the first")
    parser.add_argument("--heads", type=int)
    parser.add_argument("--layer", type=int)
    parser.add_argument("--student-layer", type=int)
    args = parser.parse_args()

    ours = relations(args)
    tokenizer = AutoTokenizer.from_pretrained(args.teacher)
    inputs = tokenizer(args.text, args.second, return_tensors="pt", truncation=True)
    tokens = tokenizer.convert_ids_to_tokens(inputs["input_ids"][0])
    # limbeck writes tokens of byte-level BPE as text.
    is_written = not isinstance(tokenizer.backend_tokenizer.pre_tokenizer, pre_tokenizers.ByteLevel)
    same = tokens == ours["tokens"] if is_written else len(tokens) == len(ours["tokens"])
    assert same, f"other tokens: {tokens} and {ours['tokens']}"
    heads = ours["relation_heads"]
    teacher = log_relations(args.teacher, inputs, ours["teacher_layer"], heads)
    student = log_relations(args.student, inputs, ours["student_layer"], heads)

    worst = dict.fromkeys(["teacher", "student", "kl", "row_sum"], 0.0)
    for pair, got in ours["pairs"].items():
        kl = (teacher[pair].exp() * (teacher[pair] - student[pair])).sum(-1)
        expected = {"teacher": teacher[pair].exp(), "student": student[pair].exp(), "kl": kl}
        for name, values in expected.items():
            mine = torch.tensor(got[name], dtype=torch.float64)
            assert mine.shape == values.shape, f"{pair} {name}: {mine.shape} and {values.shape}"
            worst[name] = max(worst[name], (mine - values).abs().max().item())
            if name != "kl":
                worst["row_sum"] = max(worst["row_sum"], (mine.sum(-1) - 1).abs().max().item())
    assert set(ours["pairs"]) == set(PAIRS), "all nine pairs"
    print(json.dumps({"tokens": len(tokens), "relation_heads": heads, "largest_difference": worst}))


if __name__ == "__main__":
    main()
