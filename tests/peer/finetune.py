"""The peer of `limbeck finetune`: the same fine-tuning in PyTorch with transformers, for its speed and its scores.

Run by:  cargo xtask bench finetune --model DIR --train train.tsv --dev dev.tsv [--by-length] [--rounds 3]
By hand: python finetune.py --model DIR --train train.tsv --dev dev.tsv [--pooling mean] [--by-length]
Needs:   tests/golden/requirements.txt

TSV with a header (`sentence`, `label`). AdamW (betas 0.9 and 0.999, epsilon 1e-6, decay 0.01 but for biases and LayerNorms),
linear warm-up over a tenth of the steps and linear decay, gradients clipped at norm 1, dropout as the model has it. Batches are
padded to their longest text. Prints one JSON object a line: each epoch's training loss, accuracy on dev and seconds of
training, the dev file not counted.

With --limbeck PROGRAM both are run, each in a process of its own, in turn as the first of a round. Prints a line for each program:
the median seconds of an epoch, its examples a second, seconds of the CPU, peak resident memory in MB, and the accuracy after the last epoch, mean and standard
error over the seeds; then limbeck's figures as ratios of the peer's in the same round, the median with the least and the most.
"""

import argparse
import csv
import json
import os
import random
import statistics
import sys
import tempfile
import time
from pathlib import Path

import torch
import transformers
from beside import measured, spread
from torch import nn
from transformers import AutoModel, AutoModelForSequenceClassification, AutoTokenizer, get_linear_schedule_with_warmup

CHUNK = 50


class MeanClassifier(nn.Module):
    """One linear layer on the mean of the last hidden states over the real tokens."""

    def __init__(self, folder, labels):
        super().__init__()
        self.encoder = AutoModel.from_pretrained(folder)
        self.drop = nn.Dropout(self.encoder.config.hidden_dropout_prob)
        self.linear = nn.Linear(self.encoder.config.hidden_size, labels)
        nn.init.normal_(self.linear.weight, std=0.02)
        nn.init.zeros_(self.linear.bias)

    def forward(self, **tokens):
        mask = tokens["attention_mask"].unsqueeze(-1).float()
        hidden = self.encoder(**tokens).last_hidden_state
        return self.linear(self.drop((hidden * mask).sum(1) / mask.sum(1)))


def main():
    options = parse_options()
    if options.limbeck:
        compare(options)
        return
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    torch.set_num_threads(options.threads)
    train, dev = read(options.train), read(options.dev)
    labels = sorted({label for _, label in train})
    tokenizer = AutoTokenizer.from_pretrained(options.model)
    train, dev = encode(tokenizer, train, labels, options), encode(tokenizer, dev, labels, options)
    for seed in range(options.seed, options.seed + options.seeds):
        run(options, seed, tokenizer, len(labels), train, dev)


def run(options, seed, tokenizer, labels, train, dev):
    torch.manual_seed(seed)
    rng = random.Random(seed)
    if options.pooling == "mean":
        model = MeanClassifier(options.model, labels)
    else:
        model = AutoModelForSequenceClassification.from_pretrained(options.model, num_labels=labels)
    bare = ("bias", "LayerNorm.weight")
    decayed = [p for n, p in model.named_parameters() if not n.endswith(bare)]
    plain = [p for n, p in model.named_parameters() if n.endswith(bare)]
    groups = [{"params": decayed, "weight_decay": 0.01}, {"params": plain, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=options.learning_rate, eps=1e-6)
    steps = options.epochs * -(-len(train) // options.batch)
    schedule = get_linear_schedule_with_warmup(optimizer, round(steps / 10), steps)
    for epoch in range(1, options.epochs + 1):
        model.train()
        start, total = time.perf_counter(), 0.0
        for batch in order(train, options, rng):
            tokens, targets = collate(tokenizer, batch)
            loss = nn.functional.cross_entropy(logits(model, tokens), targets)
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            total += loss.item() * len(batch)
        seconds = time.perf_counter() - start
        line = {"seed": seed, "epoch": epoch, "loss": total / len(train), "accuracy": accuracy(model, tokenizer, dev)}
        print(json.dumps(line | {"seconds": seconds, "examples_per_s": len(train) / seconds}), flush=True)


def compare(options):
    runs = {"limbeck": [], "transformers": []}
    with tempfile.TemporaryDirectory() as folder:
        for number in range(options.rounds):
            for program in sorted(runs, reverse=number % 2 == 1):
                runs[program].append(finetuned(options, program, Path(folder) / "out"))
    for program, rounds in runs.items():
        accuracies = rounds[0]["accuracies"]
        median = {key: statistics.median(each[key] for each in rounds) for key in ("seconds", "examples_per_s", "cpu", "peak_mb")}
        print(json.dumps({"program": program, **rounded(median), "accuracy": mean_and_error(accuracies)}), flush=True)
    ratios = {}
    for key in ("seconds", "cpu", "peak_mb"):
        ratios[key] = spread([own[key] / other[key] for own, other in zip(runs["limbeck"], runs["transformers"])])
    print(json.dumps({"ratio": "limbeck / transformers", **ratios}), flush=True)


def finetuned(options, program, out):
    flags = ["model", "train", "dev", "pooling", "epochs", "batch", "learning_rate", "max_length", "seeds", "seed"]
    flags = [text for flag in flags for text in (f"--{flag.replace('_', '-')}", str(getattr(options, flag)))]
    if program == "limbeck":
        command = [options.limbeck, "finetune", "--device", "cpu", "--json", "--overwrite", "--out", str(out), *flags]
    else:
        by_length = ["--by-length"] if options.by_length else []
        command = [sys.executable, __file__, *flags, "--threads", str(options.threads), *by_length]
    threads = dict.fromkeys(("RAYON_NUM_THREADS", "OMP_NUM_THREADS"), str(options.threads))
    # Threads that wait without computing: PyTorch is faster so where other programs run too.
    threads["OMP_WAIT_POLICY"] = os.environ.get("OMP_WAIT_POLICY", "PASSIVE")
    told, figures = measured(command, threads)
    lines = [json.loads(line) for line in told.splitlines()]
    epochs = [line for line in lines if line.get("event", "epoch") == "epoch"]
    return {
        "seconds": statistics.median(epoch["seconds"] for epoch in epochs),
        "examples_per_s": statistics.median(epoch["examples_per_s"] for epoch in epochs),
        "cpu": figures["cpu"],
        "peak_mb": figures["peak"] / 1e6,
        "accuracies": [epoch["accuracy"] for epoch in epochs if epoch["epoch"] == options.epochs],
    }


def mean_and_error(values):
    error = statistics.stdev(values) / len(values) ** 0.5 if len(values) > 1 else None
    return rounded({"mean": statistics.mean(values), "standard_error": error}, 4)


def rounded(figures, digits=2):
    return {name: figure if figure is None else round(figure, digits) for name, figure in figures.items()}


def parse_options():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--train", type=Path, required=True)
    parser.add_argument("--dev", type=Path, required=True)
    parser.add_argument("--pooling", choices=["cls", "mean"], default="cls")
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--learning-rate", type=float, default=1e-4)
    parser.add_argument("--max-length", type=int, default=128)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--seed", type=int, default=42)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--by-length", action="store_true", help="texts of similar length together, as limbeck does")
    parser.add_argument("--limbeck", help="the program to set beside it")
    parser.add_argument("--rounds", type=int, default=1, help="rounds beside limbeck (1)")
    return parser.parse_args()


def read(path):
    with open(path, encoding="utf-8", newline="") as file:
        rows = csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
        return [(row["sentence"], row["label"]) for row in rows]


def encode(tokenizer, rows, labels, options):
    ids = tokenizer([text for text, _ in rows], truncation=True, max_length=options.max_length)["input_ids"]
    return [(ids, labels.index(label)) for ids, (_, label) in zip(ids, rows)]


def order(train, options, rng):
    shuffled = rng.sample(train, len(train))
    size = options.batch
    if not options.by_length:
        return [shuffled[start : start + size] for start in range(0, len(shuffled), size)]
    batches = []
    for start in range(0, len(shuffled), CHUNK * size):
        chunk = sorted(shuffled[start : start + CHUNK * size], key=lambda row: len(row[0]))
        some = [chunk[start : start + size] for start in range(0, len(chunk), size)]
        batches += rng.sample(some, len(some))
    return batches


def collate(tokenizer, batch):
    tokens = tokenizer.pad({"input_ids": [ids for ids, _ in batch]}, return_tensors="pt")
    return tokens, torch.tensor([label for _, label in batch])


def logits(model, tokens):
    given = model(input_ids=tokens["input_ids"], attention_mask=tokens["attention_mask"])
    return given if torch.is_tensor(given) else given.logits


def accuracy(model, tokenizer, dev):
    model.eval()
    right = 0
    for start in range(0, len(dev), 64):
        tokens, targets = collate(tokenizer, dev[start : start + 64])
        with torch.no_grad():
            right += (logits(model, tokens).argmax(1) == targets).sum().item()
    return right / len(dev)


if __name__ == "__main__":
    main()
