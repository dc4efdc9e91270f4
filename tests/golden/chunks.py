"""Goldens of chunks of words: what seqeval says of fixed, adversarial and random tags, in its default mode (conlleval's rules).

Made by:  cargo xtask golden
Read by:  the unit tests of limbeck-score

Writes beside this file, always the same bytes:
  chunks.json  a list of {"name", "known", "given", "f1", "accuracy"}; tags are texts, with ` / ` between sentences
"""

import json
import random
import warnings
from pathlib import Path

from seqeval.metrics import accuracy_score, f1_score

HERE = Path(__file__).resolve().parent

FIXED = [
    ("all right", "B-PER I-PER O B-LOC", "B-PER I-PER O B-LOC"),
    ("nothing known and nothing given", "O O O", "O O O"),
    ("nothing known", "O O O", "O B-PER I-PER"),
    ("nothing given", "B-PER I-PER O", "O O O"),
    ("an end too early", "B-PER I-PER I-PER O", "B-PER I-PER O O"),
    ("another type", "B-PER I-PER O", "B-ORG I-ORG O"),
    ("a type that changes inside", "B-PER I-PER I-PER", "B-PER I-ORG I-PER"),
    ("inside without a beginning", "B-PER I-PER O B-LOC", "I-PER I-PER O I-LOC"),
    ("IOB1: two in a row", "I-PER B-PER I-PER O", "I-PER I-PER I-PER O"),
    ("one splits in two", "B-PER I-PER I-PER", "B-PER B-PER I-PER"),
    ("at the end of a sentence", "O B-PER / I-PER O", "O B-PER / B-PER O"),
    ("inside across sentences", "O B-PER / O I-PER", "O B-PER / O B-PER"),
    ("BIOES", "B-A I-A E-A S-B O", "B-A I-A E-A S-B O"),
    ("BIOES without an end", "B-A I-A E-A O S-B", "B-A I-A I-A O B-B"),
    ("BIOES: ends alone", "S-A S-A O", "E-A E-A O"),
    ("BIOES: inside behind an end", "B-A E-A S-A", "B-A E-A I-A"),
    ("BIOES: an end behind a single", "S-A S-A O", "S-A E-A O"),
    ("BIOES: a beginning behind a beginning", "S-A B-A E-A", "B-A B-A E-A"),
    ("BIOES: single inside", "B-A I-A E-A", "B-A S-A E-A"),
    ("no types", "B I O B", "B I I B"),
    ("types with dashes", "B-a-b I-a-b O", "B-a-b I-a-c O"),
    ("an empty type", "B- I- O B", "B I O B-"),
    ("one word", "B-PER", "I-PER"),
    ("the same word twice", "B-PER B-PER", "S-PER E-PER"),
]


def main():
    warnings.simplefilter("ignore")
    rng = random.Random(5)
    cases = list(FIXED)
    for number in range(40):
        letters = "BIO" if number % 2 else "BIOES"
        types = ["A", "B", "C-D"][: 1 + number % 3]
        sentence = lambda words: " ".join(tag(rng, letters, types) for _ in range(words))
        lengths = [rng.randint(1, 12) for _ in range(rng.randint(1, 6))]
        known = [sentence(length) for length in lengths]
        given = [sentence(length) if rng.random() < 0.5 else noisy(rng, k, letters, types) for k, length in zip(known, lengths)]
        cases.append((f"random {number}", " / ".join(known), " / ".join(given)))
    lines = ",\n".join(json.dumps(case(*entry)) for entry in cases)
    (HERE / "chunks.json").write_text(f"[\n{lines}\n]\n", encoding="utf-8")


def tag(rng, letters, types):
    letter = rng.choice(letters)
    return letter if letter == "O" else f"{letter}-{rng.choice(types)}"


def noisy(rng, tags, letters, types):
    return " ".join(t if rng.random() < 0.8 else tag(rng, letters, types) for t in tags.split(" "))


def case(name, known, given):
    sides = [[sentence.split(" ") for sentence in side.split(" / ")] for side in (known, given)]
    scores = {"f1": float(f1_score(*sides)), "accuracy": float(accuracy_score(*sides))}
    return {"name": name, "known": known, "given": given} | scores


if __name__ == "__main__":
    main()
