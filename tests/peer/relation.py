"""The relation loss of MiniLMv2 written plainly in PyTorch: the peer that `cargo xtask bench relation` sets ours beside.

Run by:  cargo xtask bench relation, when torch is installed (tests/golden/requirements.txt)
By hand: python relation.py --batch 8 --heads 12 --length 128 --teacher 32 --student 16 --pairs qq --runs 7 --threads 2

Random vectors, every sequence of full length, float32 on the CPU: scores, softmax, log_softmax and KL as people write them,
forward and backward. Scores have a spread of 1, so that no exponential underflows; otherwise values do not change the time.

Prints one JSON object: medians over the runs (after two of warm-up) in milliseconds, and the least of them.
"""

import argparse
import json
import statistics
import sys
import time

import torch

WARM_UP = 2


def main():
    options = parse_options()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    teacher, student = new_taps(options, options.teacher), new_taps(options, options.student)
    for tap in student.values():
        tap.requires_grad_(True)
    runs = [timed_run(teacher, student, options) for _ in range(WARM_UP + options.runs)][WARM_UP:]
    print(json.dumps(summary(runs, options)))


def parse_options():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=positive, default=8, help="sequences in a batch (8)")
    parser.add_argument("--heads", type=positive, default=12, help="relation heads (12)")
    parser.add_argument("--length", type=positive, default=128, help="tokens in a sequence (128)")
    parser.add_argument("--teacher", type=positive, default=32, help="width of the teacher's relation heads (32)")
    parser.add_argument("--student", type=positive, default=16, help="width of the student's relation heads (16)")
    parser.add_argument("--pairs", type=pairs, default=["qq"], help="pairs such as qq,kk,vv or qk (qq)")
    parser.add_argument("--runs", type=positive, default=7, help="runs to measure (7)")
    parser.add_argument("--threads", type=positive, default=2, help="threads of PyTorch (2)")
    return parser.parse_args()


def positive(text):
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1, not {number}")
    return number


def pairs(text):
    named = text.split(",")
    for pair in named:
        if len(pair) != 2 or not set(pair) <= set("qkv"):
            raise argparse.ArgumentTypeError(f"write pairs such as qq,kk,vv, not {pair!r}")
    return named


def new_taps(options, width):
    """Queries, keys and values, each (B, S, H); the spread of a score is 1."""
    shape = options.batch, options.length, options.heads * width
    return {name: torch.randn(shape) for name in "qkv"}


def relation_scores(rows, columns, heads):
    """(B, S, H) twice to (B, A, S, S): rows against columns by relation head, divided by the root of its width."""
    batch, length, hidden = rows.shape
    split = [vectors.view(batch, length, heads, hidden // heads).transpose(1, 2) for vectors in (rows, columns)]
    return split[0] @ split[1].transpose(-1, -2) / (hidden // heads) ** 0.5


def relation_loss(teacher, student, options):
    """KL(teacher || student), averaged over heads, rows and batch, summed over the pairs."""
    loss = 0.0
    for row, column in options.pairs:
        scores = relation_scores(teacher[row], teacher[column], options.heads)
        p, log_p = scores.softmax(-1), scores.log_softmax(-1)
        log_q = relation_scores(student[row], student[column], options.heads).log_softmax(-1)
        loss = loss + (p * (log_p - log_q)).sum(-1).mean()
    return loss


def timed_run(teacher, student, options):
    """Milliseconds of forward, backward and both."""
    start = time.perf_counter()
    loss = relation_loss(teacher, student, options)
    middle = time.perf_counter()
    loss.backward()
    end = time.perf_counter()
    for tap in student.values():
        tap.grad = None
    if not torch.isfinite(loss):
        sys.exit(f"the loss is {loss.item()}; the times of such a run mean nothing")
    return {"forward": 1e3 * (middle - start), "backward": 1e3 * (end - middle), "total": 1e3 * (end - start)}


def summary(runs, options):
    return {
        "name": "pytorch",
        **{f"{part}_ms": round(statistics.median(run[part] for run in runs), 3) for part in runs[0]},
        "least_ms": round(min(run["total"] for run in runs), 3),
        "batch": options.batch,
        "heads": options.heads,
        "length": options.length,
        "teacher": options.teacher,
        "student": options.student,
        "pairs": options.pairs,
        "runs": options.runs,
        "threads": options.threads,
        "torch": torch.__version__,
    }


if __name__ == "__main__":
    main()
