"""The peer of `limbeck finetune`: the same fine-tuning in PyTorch with transformers, for its speed and its scores.

By hand: python finetune.py --model DIR --train train.tsv --dev dev.tsv [--pooling mean] [--by-length]
Needs:   tests/golden/requirements.txt

TSV with a header (`sentence`, `label`). AdamW (betas 0.9 and 0.999, epsilon 1e-6, decay 0.01 but for biases and LayerNorms),
linear warm-up over a tenth of the steps and linear decay, gradients clipped at norm 1, dropout as the model has it. Batches are
padded to their longest text. Prints one JSON object a line: each epoch's training loss, accuracy on dev and seconds of
training, the dev file not counted.
"""

import argparse
import csv
import json
import random
import time
from pathlib import Path

import torch
import transformers
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
