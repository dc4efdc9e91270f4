"""How fast `limbeck encode` is beside sentence-transformers (PyTorch) and onnxruntime, on the same texts and cores.

Run by:  cargo xtask bench encode [ARGS], with a Python that has torch, sentence-transformers and onnxruntime
By hand: python tests/peer/encode.py --limbeck target/release/limbeck --model DIR texts.txt ...

Without texts the bundled ones are encoded, definitions of a few words beside paragraphs, by the bundled model unless --model names one.

Every program encodes the same lines with f32 on the CPU, in batches of so many lines of like length, and gives one vector of each.
Rounds are interleaved: each one starts every program once, in turn as the first, so that what else the machine does meets all of
them. Of the Python programs the time is that of encoding, after one batch to warm up; limbeck's is that of the whole program less that
of a run on one line, with the writing of its vectors. onnxruntime has the file of `limbeck export --formats f32 --pooled`, and tokens
from `tokenizers`.

Prints one JSON object per program and batch: medians over the rounds of sentences a second and of seconds of the CPU for a thousand
sentences, the peak resident memory of the process in MB, and the largest difference of a number from sentence-transformers' vectors.
Then one per peer and batch: limbeck's figures as ratios of the peer's in the same round, the median with the least and the most.
"""

import argparse
import json
import os
import pathlib
import statistics
import sys
import tempfile
import time

from beside import measured, spread

PEERS = ("sentence-transformers", "onnxruntime")
OURS = "limbeck"
ASSETS = pathlib.Path(__file__).resolve().parents[2] / "assets"


def main():
    options = parse_options()
    if options.peer:
        print(json.dumps(peer(options)))
        return
    with tempfile.TemporaryDirectory() as folder:
        compare(options, pathlib.Path(folder))


def parse_options():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    texts = [ASSETS / "glosses.txt", ASSETS / "wiki.txt"]
    parser.add_argument("corpus", nargs="*", type=pathlib.Path, default=texts, help="text files, one text per line")
    parser.add_argument("--model", default=str(ASSETS / "teacher"), help="folder of the model (the bundled teacher)")
    parser.add_argument("--limbeck", default="limbeck", help="the program (limbeck)")
    parser.add_argument("--lines", type=positive, default=1000, help="lines, spread over all of the corpus (1000)")
    parser.add_argument("--batch", type=positive, nargs="+", default=[1, 32], help="texts of a batch (1 32)")
    parser.add_argument("--rounds", type=positive, default=5, help="rounds (5)")
    parser.add_argument("--threads", type=positive, default=cores(), help="threads (all cores)")
    parser.add_argument("--peer", choices=PEERS, help=argparse.SUPPRESS)
    parser.add_argument("--onnx", help=argparse.SUPPRESS)
    parser.add_argument("--vectors", help=argparse.SUPPRESS)
    return parser.parse_args()


def positive(text):
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1, not {number}")
    return number


def cores():
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


def compare(options, folder):
    lines = [line for path in options.corpus for line in path.read_text(encoding="utf-8").split("\n") if line.strip()]
    if not lines:
        sys.exit(f"no line of {', '.join(map(str, options.corpus))} has a text")
    lines = lines[:: max(1, len(lines) // options.lines)][: options.lines]
    texts, one = folder / "texts.txt", folder / "one.txt"
    texts.write_text("".join(line + "\n" for line in lines), encoding="utf-8")
    one.write_text(lines[0] + "\n", encoding="utf-8")
    export = ["export", "--model", options.model, "--formats", "f32", "--pooled", "--out", str(folder)]
    measured([options.limbeck, *export], {})
    runs = {}
    for number in range(options.rounds):
        for batch in options.batch:
            for program in in_turn(number):
                vectors = folder / f"{program}.npy"
                if program == OURS:
                    run = limbeck(options, batch, texts, one, vectors)
                    run["seconds"] = max(run["seconds"], 1e-9)
                else:
                    run = python(options, program, batch, texts, folder / "model.onnx", vectors)
                runs.setdefault((batch, program), []).append(run)
            differences = differences_of(folder)
            for program in (*PEERS, OURS):
                runs[batch, program][-1]["difference"] = differences[program]
    for batch in options.batch:
        for program in (*PEERS, OURS):
            report(batch, program, runs[batch, program], len(lines))
        for program in PEERS:
            report_ratios(batch, program, runs[batch, program], runs[batch, OURS])


def in_turn(number):
    """All programs, another one first in each round."""
    programs = (*PEERS, OURS)
    first = number % len(programs)
    return programs[first:] + programs[:first]


def differences_of(folder):
    import numpy

    vectors = {program: numpy.load(folder / f"{program}.npy") for program in (*PEERS, OURS)}
    return {program: float(abs(own - vectors[PEERS[0]]).max()) for program, own in vectors.items()}


def report(batch, program, runs, lines):
    median = {key: statistics.median(run[key] for run in runs) for key in runs[0]}
    figures = {
        "program": program,
        "batch": batch,
        "sentences_per_s": round(lines / median["seconds"], 1),
        "cpu_s_per_1000": round(1000 * median["cpu"] / lines, 2),
        "peak_mb": round(median["peak"] / 1e6),
        "difference": median["difference"],
    }
    print(json.dumps(figures), flush=True)


def report_ratios(batch, program, theirs, ours):
    def ratios_of(of):
        return spread([of(own, other) for own, other in zip(ours, theirs)])

    ratios = {
        "ratio": f"{OURS} / {program}",
        "batch": batch,
        "sentences_per_s": ratios_of(lambda own, other: other["seconds"] / own["seconds"]),
        "cpu": ratios_of(lambda own, other: own["cpu"] / other["cpu"]),
        "peak": ratios_of(lambda own, other: own["peak"] / other["peak"]),
    }
    print(json.dumps(ratios), flush=True)


def limbeck(options, batch, texts, one, vectors):
    def run(file):
        flags = ["--device", "cpu", "--batch", str(batch), "--format", "npy", "--out", str(vectors), "--overwrite"]
        command = [options.limbeck, "encode", "--model", options.model, *flags, str(file)]
        _, figures = measured(command, {"RAYON_NUM_THREADS": str(options.threads)})
        return figures

    start, whole = run(one), run(texts)
    return {
        "seconds": whole["seconds"] - start["seconds"],
        "cpu": whole["cpu"] - start["cpu"],
        "peak": whole["peak"],
    }


def python(options, program, batch, texts, onnx, vectors):
    command = [sys.executable, __file__, "--peer", program, "--model", options.model, "--batch", str(batch)]
    command += ["--threads", str(options.threads), "--onnx", str(onnx), "--vectors", str(vectors), str(texts)]
    told, _ = measured(command, {"OMP_NUM_THREADS": str(options.threads)})
    return json.loads(told)


def peer(options):
    import resource

    import numpy

    lines = options.corpus[0].read_text(encoding="utf-8").split("\n")[:-1]
    batch = options.batch[0]
    encode = {PEERS[0]: with_torch, PEERS[1]: with_onnxruntime}[options.peer](options, batch)
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
