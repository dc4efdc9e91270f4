"""Opens a student that limbeck wrote with the libraries people will open it with, and judges it there.

By hand: python check_student.py --teacher DIR --student DIR --relation-heads A --teacher-layer L --lines FILE
Needs:   tests/golden/requirements.txt

Prints one JSON object:
  lines                   how many lines were read (empty ones are left out)
  loss                    the relation loss in nats: "qq", "kk", "vv" and their "sum", eq. (5)-(8) of MiniLMv2 per line (special
                          tokens included, divided by A and the line's length), averaged over the lines; teacher tapped at
                          --teacher-layer (1-based), student at its last layer
  transformers_shape      shape of the mean-pooled sentence vectors from transformers.AutoModel
  sentence_transformers_shape  shape of what sentence_transformers.SentenceTransformer gives for the same lines
  sentence_transformers_max_length  where SentenceTransformer cuts a line, in tokens
  embedding_difference    largest |difference| of the two, each line cut where SentenceTransformer cuts it

Exit code 0 if everything could be computed; it is the caller who decides whether a number is good.
"""

import argparse
import json
import sys
from pathlib import Path

import torch
import transformers
from sentence_transformers import SentenceTransformer
from transformers import AutoModel, AutoTokenizer

from taps import projections

PAIRS = {"qq": "query", "kk": "key", "vv": "value"}


def main():
    options = parse_options()
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    lines = read_lines(options.lines)
    teacher = AutoModel.from_pretrained(options.teacher).eval()
    student = AutoModel.from_pretrained(options.student).eval()
    check_fit(options, teacher.config, student.config)
    sentence_student = SentenceTransformer(str(options.student), device="cpu")
    with torch.no_grad():
        report = {"lines": len(lines), "loss": mean_losses(options, teacher, student, lines)}
        report |= compare_embeddings(options, student, sentence_student, lines)
    print(json.dumps(report))


def parse_options():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--teacher", type=Path, required=True, help="folder of the teacher")
    parser.add_argument("--student", type=Path, required=True, help="folder that limbeck wrote")
    parser.add_argument("--relation-heads", type=int, required=True, help="relation heads; divides both hidden sizes")
    parser.add_argument("--teacher-layer", type=int, required=True, help="tapped layer of the teacher, 1-based")
    parser.add_argument("--lines", type=Path, required=True, help="text file, one sentence a line")
    parser.add_argument("--max-length", type=int, default=128, help="tokens a line is cut to for the loss (128)")
    return parser.parse_args()


def read_lines(path):
    with path.open(encoding="utf-8-sig") as file:
        lines = [line.rstrip("\n") for line in file if line.strip()]
    if not lines:
        sys.exit(f"{path} has no text; give a file with one sentence a line")
    return lines


def check_fit(options, teacher, student):
    heads, layer = options.relation_heads, options.teacher_layer
    if not 1 <= layer <= teacher.num_hidden_layers:
        sys.exit(f"--teacher-layer {layer} is out of range; the teacher has layers 1 to {teacher.num_hidden_layers}")
    for name, width in (("teacher", teacher.hidden_size), ("student", student.hidden_size)):
        if heads < 1 or width % heads:
            sys.exit(f"--relation-heads {heads} does not divide the {name}'s hidden size {width}")


def mean_losses(options, teacher, student, lines):
    """Loss by pair, averaged over the lines. One line at a time: no padding, so no mask to get wrong."""
    tokenizer = AutoTokenizer.from_pretrained(options.teacher)
    students_tokenizer = AutoTokenizer.from_pretrained(options.student)
    limit = min(options.max_length, positions(teacher.config), positions(student.config))
    totals = dict.fromkeys(PAIRS, 0.0)
    for line in lines:
        ids = tokenizer(line, truncation=True, max_length=limit, return_tensors="pt")["input_ids"]
        theirs = students_tokenizer(line, truncation=True, max_length=limit)["input_ids"]
        if ids[0].tolist() != theirs:
            sys.exit(f"the student's tokenizer disagrees with the teacher's on {line!r}: {theirs}, not {ids[0].tolist()}")
        target = tap(teacher, ids, options.teacher_layer)
        learned = tap(student, ids, student.config.num_hidden_layers)
        for pair, name in PAIRS.items():
            totals[pair] += relation_loss(target[name], learned[name], options.relation_heads)
    means = {pair: total / len(lines) for pair, total in totals.items()}
    return means | {"sum": sum(means.values())}


def positions(config):
    """How many tokens the model has positions for: RoBERTa and XLM-R begin behind the padding index."""
    offset = config.pad_token_id + 1 if config.model_type in ("roberta", "xlm-roberta") else 0
    return config.max_position_embeddings - offset


def tap(model, ids, layer):
    """Queries, keys and values of a layer (1-based) for one sequence, each (S, H), in float64."""
    entering = model(ids, attention_mask=torch.ones_like(ids), output_hidden_states=True).hidden_states[layer - 1]
    linears = projections(model, layer)
    return {name: linear(entering)[0].double() for name, linear in zip(PAIRS.values(), linears)}


def relation(projection, heads):
    """Logarithm of the relation of a projection with itself: (S, H) to (A, S, S)."""
    length, hidden = projection.shape
    split = projection.view(length, heads, hidden // heads).transpose(0, 1)
    return torch.log_softmax(split @ split.transpose(1, 2) / (hidden // heads) ** 0.5, dim=-1)


def relation_loss(teacher, student, heads):
    log_p, log_q = relation(teacher, heads), relation(student, heads)
    return ((log_p.exp() * (log_p - log_q)).sum() / (heads * len(teacher))).item()


def compare_embeddings(options, student, sentence_student, lines):
    tokenizer = AutoTokenizer.from_pretrained(options.student)
    limit = sentence_student.max_seq_length or positions(student.config)
    pooled = []
    for line in lines:
        ids = tokenizer(line, truncation=True, max_length=limit, return_tensors="pt")["input_ids"]
        pooled.append(student(ids, attention_mask=torch.ones_like(ids)).last_hidden_state[0].mean(dim=0))
    pooled = torch.stack(pooled)
    # Before what the student's head does with them.
    tokens = sentence_student.encode(lines, output_value="token_embeddings", show_progress_bar=False)
    theirs = torch.stack([of_line.mean(dim=0) for of_line in tokens])
    same_shape = pooled.shape == theirs.shape
    return {
        "transformers_shape": list(pooled.shape),
        "sentence_transformers_shape": list(theirs.shape),
        "sentence_transformers_max_length": limit,
        "embedding_difference": (pooled - theirs).abs().max().item() if same_shape else None,
    }


if __name__ == "__main__":
    main()
