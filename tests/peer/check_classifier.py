"""Opens a folder that `limbeck finetune` wrote as its users will, and compares the logits.

By hand: python check_classifier.py --model DIR --dev FILE.tsv
Needs:   tests/golden/requirements.txt

Reads the dev file that the model was judged on (TSV with a header; `sentence`, or `sentence1` and `sentence2`) and
predictions.jsonl of the folder. Opens the folder with AutoModelForSequenceClassification, with AutoModelForTokenClassification
where words have tags (the words of predictions.jsonl; a dev file is not needed), or with SentenceTransformer where the head reads
the mean of the tokens, and prints one JSON object:
  class        what opened it
  examples     how many were compared
  difference   the largest |difference| between a logit there and in predictions.jsonl
  labels       how many predicted labels differ

Exit code 1 if the difference is above --tolerance, or a label differs.
"""

import argparse
import csv
import json
import sys
from pathlib import Path

import torch
import transformers
from transformers import AutoModelForSequenceClassification, AutoModelForTokenClassification, AutoTokenizer


def main():
    options = parse_options()
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    ours = [json.loads(line) for line in (options.model / "predictions.jsonl").read_text("utf-8").splitlines()]
    if "words" in ours[0]:
        tagger(options, ours)
    texts = read_texts(options.dev)
    opened, logits, names = sentence_transformer(options, texts) or classifier(options, texts)
    assert len(texts) == len(ours), (len(texts), len(ours))
    given = torch.tensor([line.get("logits") or [line["predicted"]] for line in ours])
    difference = (logits - given).abs().max().item()
    labels = 0
    if "logits" in ours[0]:
        theirs = [names[index] for index in logits.argmax(1).tolist()]
        labels = sum(line["predicted"] != label for line, label in zip(ours, theirs))
    print(json.dumps({"class": opened, "examples": len(ours), "difference": difference, "labels": labels}))
    sys.exit(difference > options.tolerance or labels > 0)


def parse_options():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True, help="folder that limbeck finetune wrote")
    parser.add_argument("--dev", type=Path, help="the dev file of that run")
    parser.add_argument("--tolerance", type=float, default=1e-4, help="largest difference of a logit (1e-4)")
    return parser.parse_args()


def read_texts(path):
    with open(path, encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
    pair = "sentence1" in rows[0]
    return [(row["sentence1"], row["sentence2"]) if pair else row["sentence"] for row in rows]


def sentence_transformer(options, texts):
    if not (options.model / "modules.json").exists():
        return None
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(str(options.model), device="cpu")
    names = json.loads((options.model / "config.json").read_text("utf-8"))["id2label"]
    logits = model.encode(texts, convert_to_tensor=True)
    return type(model).__name__, logits, {int(index): name for index, name in names.items()}


def classifier(options, texts):
    tokenizer = AutoTokenizer.from_pretrained(options.model)
    model = AutoModelForSequenceClassification.from_pretrained(options.model).eval()
    length = json.loads((options.model / "results.json").read_text("utf-8"))["max_length"]
    logits = []
    for start in range(0, len(texts), 32):
        batch = texts[start : start + 32]
        tokens = tokenizer(batch, padding=True, truncation=True, max_length=length, return_tensors="pt")
        with torch.no_grad():
            logits.append(model(**tokens).logits)
    return type(model).__name__, torch.cat(logits), model.config.id2label


def tagger(options, ours):
    tokenizer = AutoTokenizer.from_pretrained(options.model)
    model = AutoModelForTokenClassification.from_pretrained(options.model).eval()
    length = json.loads((options.model / "results.json").read_text("utf-8"))["max_length"]
    difference, labels, words = 0.0, 0, 0
    for line in ours:
        tokens = tokenizer(line["words"], is_split_into_words=True, truncation=True, max_length=length, return_tensors="pt")
        with torch.no_grad():
            logits = model(**tokens).logits[0]
        firsts = {}
        for place, word in enumerate(tokens.word_ids(0)):
            if word is not None:
                firsts.setdefault(word, place)
        for word, (given, label) in enumerate(zip(line["logits"], line["predicted"], strict=True)):
            assert (given is None) == (word not in firsts), (line["words"], word)
            if given is not None:
                theirs = logits[firsts[word]]
                difference = max(difference, (theirs - torch.tensor(given)).abs().max().item())
                labels += model.config.id2label[theirs.argmax().item()] != label
                words += 1
    print(json.dumps({"class": type(model).__name__, "examples": words, "difference": difference, "labels": labels}))
    sys.exit(difference > options.tolerance or labels > 0)


if __name__ == "__main__":
    main()
