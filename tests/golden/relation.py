"""Goldens of the relation loss: inputs, loss and gradients of three small cases, in float64, by PyTorch's autograd.

Regenerate from the repository root (needs torch and safetensors; the result does not depend on the machine's threads):

    python tests/golden/relation.py

writes `relation.safetensors` beside this file. For each case N = 0, 1, 2:

    caseN.lengths           (B)        i64, real tokens of each sequence
    caseN.heads             (1)        i64, A, the number of relation heads
    caseN.student.{q,k,v}   (B, S, Hs) f64, as the projections write them; padding holds ordinary numbers
    caseN.teacher.{q,k,v}   (B, S, Ht) f64
    caseN.loss.{qq..vv}     (1)        f64, nats; row first, so "qk" has queries as rows and keys as columns
    caseN.grad.PAIR.VECTOR  (B, S, Hs) f64, d loss.PAIR / d student.VECTOR, for the one or two vectors of the pair

The loss is eq. 5-8 of MiniLMv2 (Wang et al., 2021) as printed, one sequence and one relation head at a time, on slices
without padding. It shares no code and no derivation with the project's own implementations.
"""

import math
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch.nn.functional import kl_div

SEED = 20121215
VECTORS = ("q", "k", "v")
CASES = [
    # S, A, Ds, Dt, lengths
    (5, 3, 4, 4, [5, 1]),  # a row of one token beside a full one
    (4, 3, 2, 5, [3, 4]),  # each model is scaled by its own width
    (7, 4, 3, 2, [7, 2, 5]),
]


def relation(row, column):
    """Eq. 7 and 8: softmax over keys of A_i A_j^T / sqrt(d), for one head of one sequence, (length, length)."""
    return torch.softmax(row @ column.T / math.sqrt(row.shape[-1]), dim=-1)


def head(tensor, sequence, length, index, heads):
    """The contiguous slice of features that is one relation head, real tokens only: (length, D)."""
    width = tensor.shape[-1] // heads
    return tensor[sequence, :length, index * width : (index + 1) * width]


def pair_loss(student, teacher, row, column, lengths, heads):
    """Eq. 6 for each sequence, KL(teacher || student) summed over heads and rows / (A |x|); then the mean over the batch."""
    sequences = []
    for sequence, length in enumerate(lengths):
        divergence = torch.zeros((), dtype=torch.float64)
        for index in range(heads):
            of_teacher, of_student = (
                relation(head(side[row], sequence, length, index, heads), head(side[column], sequence, length, index, heads))
                for side in (teacher, student)
            )
            divergence = divergence + kl_div(of_student.log(), of_teacher, reduction="sum")
        sequences.append(divergence / (heads * length))
    return sum(sequences) / len(sequences)


def case_tensors(case, s, heads, ds, dt, lengths):
    def drawn(width):
        return {vector: torch.randn(len(lengths), s, heads * width, dtype=torch.float64) for vector in VECTORS}

    student, teacher = drawn(ds), drawn(dt)
    tensors = {f"{case}.lengths": torch.tensor(lengths), f"{case}.heads": torch.tensor([heads])}
    tensors |= {f"{case}.student.{vector}": student[vector] for vector in VECTORS}
    tensors |= {f"{case}.teacher.{vector}": teacher[vector] for vector in VECTORS}
    for row in VECTORS:
        for column in VECTORS:
            tracked = {vector: student[vector].clone().requires_grad_() for vector in VECTORS}
            loss = pair_loss(tracked, teacher, row, column, lengths, heads)
            loss.backward()
            tensors[f"{case}.loss.{row}{column}"] = loss.detach().reshape(1)
            for vector in {row, column}:
                tensors[f"{case}.grad.{row}{column}.{vector}"] = tracked[vector].grad
    return tensors


def main():
    torch.manual_seed(SEED)
    torch.set_num_threads(1)
    tensors = {}
    for number, case in enumerate(CASES):
        tensors |= case_tensors(f"case{number}", *case)
    path = Path(__file__).with_suffix(".safetensors")
    save_file(tensors, path)
    print(f"{path.name}: {len(tensors)} tensors, {path.stat().st_size} bytes")


if __name__ == "__main__":
    main()
