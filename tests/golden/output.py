"""Golden of the output stage: ten steps of the run of training.py, whose last six train every layer.

Made by:  cargo xtask golden     (after encoder.py; model, batches, relations, optimiser and schedule are those of training.py)
Read by:  the test that a run with an output stage gives these losses, norms and weights.

The vector of a sentence is the mean of its last hidden states over its real tokens: s of the student (12), t of the teacher (24).
W (12, 24) starts as the identity on the first 12 columns, is trained with the student, and decays like its matrices.
  cosine             1 - cos(s W, t), mean over the batch
  l2                 mean over batch and columns of (s W - t)^2
  similarity         mean over all B * B pairs of sentences of (cos(s_i, s_j) - cos(t_i, t_j))^2
  sentence_relation  eq. (6) with the B vectors as the tokens of one sequence and 6 relation heads, pair V-V
  hidden             (h W - h_teacher)^2, mean over columns and real tokens of a sequence, then over the batch
From step 5 on the loss is 0.5 * (Q-Q + K-K + V-V) + the sum of WEIGHTS[part] * part; before, it is Q-Q + K-K + V-V.

output.safetensors:
  part.<part>, part.norm.<part>   f64 (1)   on batch 0 with the initial weights: its value, and the global norm of its gradient
  loss, norm                      f64 (10)  before each update; the norm is that before clipping
  <part>                          f64 (6)   at steps 5 to 10
  final.<name>, final.output.map  f32       weights after the ten steps
"""

from pathlib import Path

import torch
import transformers
from safetensors.torch import save_file
from torch.nn.functional import cosine_similarity
from transformers import BertModel

import training
from training import MINILM_V2, RELATION_HEADS, STEPS, as_f64, learning_rate, relation_loss

HERE = Path(__file__).resolve().parent

FIRST = 5
RELATIONS = 0.5
WEIGHTS = {"sentence_relation": 0.7, "cosine": 1.0, "l2": 0.3, "similarity": 2.0, "hidden": 0.2}


def main():
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    teacher = BertModel.from_pretrained(HERE / "tiny-bert").eval()
    student = training.new_student(teacher.config, seed=11)
    batches = training.new_batches(teacher.config.vocab_size, seed=12)
    student.output_map = torch.nn.Parameter(torch.eye(12, 24))
    golden = each_part(teacher, student, batches[0]) | train(teacher, student, batches)
    golden |= {f"final.{name}": weight.clone() for name, weight in student.state_dict().items()}
    golden["final.output.map"] = golden.pop("final.output_map")
    save_file(golden, HERE / "output.safetensors")


def read(model, ids, lengths):
    """Last hidden states (B, S, H) and their means over real tokens (B, H)."""
    mask = (torch.arange(ids.shape[1]) < lengths[:, None]).long()
    states = model(ids, attention_mask=mask).last_hidden_state
    weights = mask / lengths[:, None]
    return states, (states * weights[:, :, None]).sum(1), weights


def parts(teacher, student, batch):
    ids, lengths = batch
    with torch.no_grad():
        states, vectors, _ = read(teacher, ids, lengths)
    own_states, own, weights = read(student, ids, lengths)
    mapped = own @ student.output_map
    count = len(lengths)
    difference = (own_states @ student.output_map - states).square().mean(-1)
    return {
        "sentence_relation": relation_loss(
            {"v": vectors[None]}, {"v": own[None]}, torch.tensor([count]), "vv", RELATION_HEADS
        ),
        "cosine": (1 - cosine_similarity(mapped, vectors)).mean(),
        "l2": (mapped - vectors).square().mean(),
        "similarity": (cosines(own) - cosines(vectors)).square().mean(),
        "hidden": (difference * weights).sum() / count,
    }


def cosines(vectors):
    return cosine_similarity(vectors[:, None], vectors[None], dim=-1)


def each_part(teacher, student, batch):
    golden = {}
    for name in WEIGHTS:
        value = parts(teacher, student, batch)[name]
        value.backward()
        norm = torch.nn.utils.clip_grad_norm_(student.parameters(), float("inf"))
        student.zero_grad(set_to_none=True)
        golden |= {f"part.{name}": as_f64([value.item()]), f"part.norm.{name}": as_f64([norm.item()])}
    return golden


def train(teacher, student, batches):
    optimizer = torch.optim.AdamW(
        training.parameter_groups(student), lr=0.0, betas=(0.9, 0.999), eps=1e-6, weight_decay=0.01, foreach=False
    )
    columns = {name: [] for name in ("loss", "norm", *WEIGHTS)}
    for number, batch in enumerate(batches, start=1):
        loss = sum(training.losses(teacher, student, batch, MINILM_V2, RELATION_HEADS).values())
        if number >= FIRST:
            values = parts(teacher, student, batch)
            loss = RELATIONS * loss + sum(WEIGHTS[name] * value for name, value in values.items())
            for name, value in values.items():
                columns[name].append(value.item())
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(student.parameters(), training.CLIP)
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(number)
        optimizer.step()
        columns["loss"].append(loss.item())
        columns["norm"].append(norm.item())
    assert len(columns["loss"]) == STEPS
    return {name: as_f64(values) for name, values in columns.items()}


if __name__ == "__main__":
    main()
