"""Compares `limbeck encode` with transformers (token ids, hidden states, q, k, v of a layer) and sentence-transformers (vectors).

    python tests/peer/check_encode.py --limbeck target/release/limbeck --model DIR --lines FILE [--layer L] [--max-length 128]

Prints one JSON object with the largest absolute difference of each. Needs tests/golden/requirements.txt.
"""

import argparse
import json
import subprocess

import torch
from sentence_transformers import SentenceTransformer
from transformers import AutoModel, AutoTokenizer

from taps import projections


def encode(limbeck: str, model: str, lines: list[str], *flags: str) -> list[dict]:
    """One object a line, from the program itself."""
    command = [limbeck, "encode", "--model", model, "--device", "cpu", *flags]
    text = "".join(line + "\n" for line in lines)
    output = subprocess.run(command, input=text, capture_output=True, text=True, check=True).stdout
    return [json.loads(line) for line in output.splitlines()]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--limbeck", required=True)
    parser.add_argument("--model", required=True)
    parser.add_argument("--lines", required=True)
    parser.add_argument("--layer", type=int)
    parser.add_argument("--max-length", type=int, default=128)
    args = parser.parse_args()

    with open(args.lines, encoding="utf-8") as file:
        lines = file.read().splitlines()
    tokenizer = AutoTokenizer.from_pretrained(args.model)
    model = AutoModel.from_pretrained(args.model).eval().float()
    layer = args.layer or model.config.num_hidden_layers
    length = ("--max-length", str(args.max_length))
    layers = encode(args.limbeck, args.model, lines, *length, "--tokens", "--taps", "--layer", str(layer))
    vectors = encode(args.limbeck, args.model, lines, *length)
    assert len(layers) == len(vectors) == len(lines), "one object a line"

    sentences = SentenceTransformer(args.model, device="cpu")
    sentences.max_seq_length = args.max_length
    theirs_of_lines = sentences.encode(lines, convert_to_tensor=True, show_progress_bar=False)
    worst = dict.fromkeys(["hidden", "q", "k", "v", "embedding"], 0.0)
    query, key, value = projections(model, layer)
    for line, ours, vector, theirs_of_line in zip(lines, layers, vectors, theirs_of_lines):
        inputs = tokenizer(line, return_tensors="pt", truncation=True, max_length=args.max_length)
        assert inputs["input_ids"][0].tolist() == ours["ids"], f"other tokens: {line!r}"
        with torch.no_grad():
            states = model(**inputs, output_hidden_states=True).hidden_states
            before = states[layer - 1]
            theirs = {
                "hidden": states[layer][0],
                "q": query(before)[0],
                "k": key(before)[0],
                "v": value(before)[0],
                "embedding": theirs_of_line,
            }
        for name, expected in theirs.items():
            got = torch.tensor((vector if name == "embedding" else ours)[name])
            worst[name] = max(worst[name], (got - expected).abs().max().item())
    print(json.dumps({"lines": len(lines), "layer": layer, "largest_difference": worst}))


if __name__ == "__main__":
    main()
