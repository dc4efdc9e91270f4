"""Opens the files of `limbeck export --pooled` with onnxruntime, and compares their vectors with those of `limbeck encode`.

By hand: python check_onnx.py --limbeck PROGRAM --model DIR --texts FILE
         python check_onnx.py --model DIR --labelled FILE
Needs:   tests/golden/requirements.txt, onnx, onnxruntime

Checks each file of DIR/onnx with onnx's own checker, its shapes too, runs it on the lines of FILE in padded batches as
AutoTokenizer makes them, and prints one JSON object a file:
  file         which one
  bytes        its size
  difference   the largest |difference| of a number of `sentence_embedding`
  cosine       the smallest cosine of two vectors of a line

With --labelled, DIR is a fine-tuned model and FILE a table of `sentence` and `label`, separated by tabs; a line has instead:
  accuracy     share of the sentences whose largest logit is that of their label

Exit code 1 if a file of f32 differs by more than 1e-5, one of f16 by more than 2e-3, or a cosine of int8 is below 0.99.
"""

import argparse
import json
import sys
from pathlib import Path

import numpy
import onnx
import onnxruntime
from exported import FILES, encoded, read_lines
from transformers import AutoTokenizer


def main():
    options = parse_options()
    if options.labelled:
        return judge(options)
    texts = read_lines(options.texts)
    exact = numpy.array(encoded(options.limbeck, options.model, texts), dtype=numpy.float32)
    failed = False
    for name, most, least in FILES.values():
        path = options.model / "onnx" / name
        if not path.exists():
            continue
        onnx.checker.check_model(path, full_check=True)
        got = outputs(options, path, texts, "sentence_embedding")
        difference = numpy.abs(got - exact).max().item()
        lengths = numpy.linalg.norm(got, axis=1) * numpy.linalg.norm(exact, axis=1)
        cosine = ((got * exact).sum(1) / lengths).min().item()
        failed |= difference > most or cosine < least
        print(json.dumps({"file": name, "bytes": path.stat().st_size, "difference": difference, "cosine": cosine}))
    sys.exit(failed)


def parse_options():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True, help="folder that limbeck export has been run on")
    parser.add_argument("--limbeck", help="the program")
    parser.add_argument("--texts", type=Path, help="one text a line")
    parser.add_argument("--labelled", type=Path, help="sentences and labels, separated by tabs, under a line that names them")
    options = parser.parse_args()
    if not options.labelled and not (options.limbeck and options.texts):
        parser.error("--limbeck and --texts are needed, or --labelled")
    return options


def judge(options):
    lines = [line.split("\t") for line in options.labelled.read_text("utf-8").splitlines()]
    names, rows = lines[0], lines[1:]
    texts, labels = ([row[names.index(column)] for row in rows] for column in ("sentence", "label"))
    ids = json.loads((options.model / "config.json").read_text("utf-8"))["label2id"]
    wanted = numpy.array([ids[label] for label in labels])
    for name, _, _ in FILES.values():
        path = options.model / "onnx" / name
        if path.exists():
            right = outputs(options, path, texts, "logits").argmax(1) == wanted
            print(json.dumps({"file": name, "bytes": path.stat().st_size, "accuracy": right.mean().item()}))


def outputs(options, path, texts, output):
    tokenizer = AutoTokenizer.from_pretrained(options.model)
    config = json.loads((options.model / "config.json").read_text("utf-8"))
    description = options.model / "sentence_bert_config.json"
    length = json.loads(description.read_text("utf-8"))["max_seq_length"] if description.exists() else None
    length = length or config["max_position_embeddings"]
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    wanted = {info.name for info in session.get_inputs()}
    rows = []
    for start in range(0, len(texts), 32):
        batch = texts[start : start + 32]
        tokens = tokenizer(batch, padding=True, truncation=True, max_length=length, return_tensors="np")
        inputs = {name: values.astype(numpy.int64) for name, values in tokens.items() if name in wanted}
        rows.append(session.run([output], inputs)[0])
    return numpy.concatenate(rows)


if __name__ == "__main__":
    main()
