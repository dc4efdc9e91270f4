"""What the scripts beside this one know of the files of `limbeck export`."""

import json
import subprocess

# By their types in transformers.js: the file, the largest |difference| of a number, and the smallest cosine of two vectors of a line.
FILES = {
    "fp32": ("model.onnx", 1e-5, 0.9999),
    "fp16": ("model_fp16.onnx", 2e-3, 0.9999),
    "q8": ("model_quantized.onnx", 1.0, 0.99),
}


def read_lines(path):
    """The lines of a file that have a text."""
    return [line for line in path.read_text("utf-8").splitlines() if line.strip()]


def encoded(limbeck, model, texts):
    """The vectors of `limbeck encode`."""
    command = [limbeck, "encode", "--device", "cpu", "--model", model]
    done = subprocess.run(command, input="\n".join(texts), capture_output=True, text=True, check=True)
    return [json.loads(line)["embedding"] for line in done.stdout.splitlines()]
