"""How fast `limbeck encode` is beside sentence-transformers (PyTorch) and onnxruntime, on the same texts and cores.

Run by hand, with torch, sentence-transformers and onnxruntime installed:
    cargo xtask build
    python tests/peer/encode.py --limbeck target/release/limbeck --model DIR texts.txt ...

Every program encodes the same lines with f32 on the CPU, in batches of so many lines of like length, and gives one vector of each.
Rounds are interleaved: each one starts every program once, so that what else the machine does meets all of them. Of the Python
programs the time is that of encoding, after one batch to warm up; limbeck's is that of the whole program less that of a run on
one line, with the writing of its vectors. onnxruntime has the file of `limbeck export --formats f32 --pooled`, and tokens from `tokenizers`.

Prints one JSON object per program and batch: medians over the rounds of sentences a second and of seconds of the CPU for a thousand
sentences, the peak resident memory in MB, and the largest difference of a number from sentence-transformers' vectors.
"""

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

PEERS = ("torch", "onnx")


def main():
    options = parse_options()
    if options.peer:
        print(json.dumps(peer(options)))
        return
    with tempfile.TemporaryDirectory() as folder:
        compare(options, pathlib.Path(folder))


def parse_options():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", nargs="+", type=pathlib.Path, help="text files, one text per line")
    parser.add_argument("--model", required=True, help="folder of the model")
    parser.add_argument("--limbeck", default="limbeck", help="the program (limbeck)")
    parser.add_argument("--lines", type=int, default=1000, help="lines, spread over all of the corpus (1000)")
    parser.add_argument("--batch", type=int, nargs="+", default=[1, 32], help="texts of a batch (1 32)")
    parser.add_argument("--rounds", type=int, default=3, help="rounds (3)")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)), help="threads (all cores)")
    parser.add_argument("--peer", choices=PEERS, help=argparse.SUPPRESS)
    parser.add_argument("--onnx", help=argparse.SUPPRESS)
    parser.add_argument("--vectors", help=argparse.SUPPRESS)
    return parser.parse_args()


def compare(options, folder):
    import numpy

    lines = [line for path in options.corpus for line in path.read_text(encoding="utf-8").split("\n") if line.strip()]
    lines = lines[:: max(1, len(lines) // options.lines)][: options.lines]
    texts, one = folder / "texts.txt", folder / "one.txt"
    texts.write_text("".join(line + "\n" for line in lines), encoding="utf-8")
    one.write_text(lines[0] + "\n", encoding="utf-8")
    export = ["export", "--model", options.model, "--formats", "f32", "--pooled", "--out", str(folder)]
    subprocess.run([options.limbeck, *export], check=True, stderr=subprocess.DEVNULL)
    runs = {}
    for _ in range(options.rounds):
        for batch in options.batch:
            for program in (*PEERS, "limbeck"):
                vectors = folder / f"{program}.npy"
                if program == "limbeck":
                    run = limbeck(options, batch, texts, one, vectors)
                    run["seconds"] = max(run["seconds"], 1e-9)
                else:
                    run = python(options, program, batch, texts, folder / "model.onnx", vectors)
                run["difference"] = float(abs(numpy.load(vectors) - numpy.load(folder / "torch.npy")).max())
                runs.setdefault((program, batch), []).append(run)
    for (program, batch), of_program in runs.items():
        median = {key: statistics.median(run[key] for run in of_program) for key in of_program[0]}
        print(
            json.dumps(
                {
                    "program": program,
                    "batch": batch,
                    "sentences_per_s": round(len(lines) / median["seconds"], 1),
                    "cpu_s_per_1000": round(1000 * median["cpu"] / len(lines), 2),
                    "peak_mb": round(median["peak"] / 1e6),
                    "difference": median["difference"],
                }
            ),
            flush=True,
        )


def limbeck(options, batch, texts, one, vectors):
    def run(file):
        flags = ["--device", "cpu", "--batch", str(batch), "--format", "npy", "--out", str(vectors), "--overwrite"]
        command = [options.limbeck, "encode", "--model", options.model, *flags, str(file)]
        environment = {**os.environ, "RAYON_NUM_THREADS": str(options.threads)}
        start = time.perf_counter()
        process = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            sys.exit(f"{' '.join(command)} failed")
        return {
            "seconds": time.perf_counter() - start,
            "cpu": usage.ru_utime + usage.ru_stime,
            "peak": usage.ru_maxrss * 1024,
        }

    start, whole = run(one), run(texts)
    return {
        "seconds": whole["seconds"] - start["seconds"],
        "cpu": whole["cpu"] - start["cpu"],
        "peak": whole["peak"],
    }


def python(options, program, batch, texts, onnx, vectors):
    command = [sys.executable, __file__, "--peer", program, "--model", options.model, "--batch", str(batch)]
    command += ["--threads", str(options.threads), "--onnx", str(onnx), "--vectors", str(vectors), str(texts)]
    environment = {**os.environ, "OMP_NUM_THREADS": str(options.threads)}
    output = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    return json.loads(output.stdout)


def peer(options):
    import resource

    import numpy

    lines = options.corpus[0].read_text(encoding="utf-8").split("\n")[:-1]
    batch = options.batch[0]
    encode = {"torch": with_torch, "onnx": with_onnxruntime}[options.peer](options, batch)
    encode(lines[:batch])
    start, cpu = time.perf_counter(), time.process_time()
    result = encode(lines)
    seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
    numpy.save(options.vectors, numpy.asarray(result, dtype=numpy.float32))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return {"seconds": seconds, "cpu": cpu, "peak": peak}


def with_torch(options, batch):
    import torch
    from sentence_transformers import SentenceTransformer

    torch.set_num_threads(options.threads)
    model = SentenceTransformer(options.model, device="cpu")
    return lambda lines: model.encode(lines, batch_size=batch, show_progress_bar=False)


def with_onnxruntime(options, batch):
    import numpy
    import onnxruntime
    from tokenizers import Tokenizer

    folder = pathlib.Path(options.model)
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    settings = folder / "sentence_bert_config.json"
    longest = json.loads(settings.read_text())["max_seq_length"] if settings.exists() else None
    longest = longest or json.loads((folder / "config.json").read_text())["max_position_embeddings"]
    tokenizer.enable_truncation(longest)
    tokenizer.enable_padding()
    session_options = onnxruntime.SessionOptions()
    session_options.intra_op_num_threads = options.threads
    session = onnxruntime.InferenceSession(options.onnx, session_options, providers=["CPUExecutionProvider"])
    names = [entry.name for entry in session.get_inputs()]

    def encode_batch(texts):
        encoded = tokenizer.encode_batch(texts)
        ids = numpy.array([entry.ids for entry in encoded], dtype=numpy.int64)
        mask = numpy.array([entry.attention_mask for entry in encoded], dtype=numpy.int64)
        given = {"input_ids": ids, "attention_mask": mask, "token_type_ids": numpy.zeros_like(ids)}
        return session.run(["sentence_embedding"], {name: given[name] for name in names})[0]

    def encode(lines):
        order = sorted(range(len(lines)), key=lambda at: -len(lines[at]))
        vectors = [None] * len(lines)
        for start in range(0, len(order), batch):
            places = order[start : start + batch]
            for at, vector in zip(places, encode_batch([lines[at] for at in places])):
                vectors[at] = vector
        return vectors

    return encode


if __name__ == "__main__":
    main()
