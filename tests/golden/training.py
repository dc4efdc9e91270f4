"""Golden of training: ten steps of MiniLMv2 in PyTorch float32, and one MiniLM v1 loss, from written initial weights.

Made by:  cargo xtask golden     (after encoder.py, whose tiny-bert is the teacher here)
Read by:  the test that a run of the trainer gives these losses, norms and weights.

Teacher:   tiny-bert, tapped at its last layer (2); hidden 24, 3 attention heads; inference mode.
Student:   BERT, 2 layers, hidden 12, 3 attention heads, FFN 48, layer_norm_eps 1e-3 (the teacher's, which a student inherits), GELU (erf), no dropout, no pooler,
           the teacher's vocabulary and positions, 2 token types (all ids are 0); tapped at its last layer.
Objective: eq. (5)-(8) of MiniLMv2. A = 6 relation heads (widths 4 and 2), pairs Q-Q, K-K, V-V with weight 1, summed; each
           side's scores are divided by the root of its own width; KL(teacher || student) in nats, summed over heads and real
           rows, divided by A * length per example, averaged over the batch.
Optimiser: AdamW, betas 0.9 and 0.999, eps 1e-6, decoupled weight decay 0.01 on every parameter that is neither a bias nor
           part of a LayerNorm. The gradient is clipped to a global norm of 0.15 (clip_grad_norm_: times
           clip / (norm + 1e-6), never above 1). A parameter without a gradient (what follows the last layer's
           projections) is not touched, not even by decay. Rows of an embedding that no token used have a gradient of 0
           and do decay.
Schedule:  with warmup = 3, steps = 10, peak = 5e-3, the t-th update (t = 1, 2, ..., steps) uses
               peak * t / warmup                                  while t <= warmup
               peak * (steps - t + 1) / (steps - warmup + 1)      afterwards

training.safetensors, with B = 4 sequences padded on the right with 0 to S = 12:
  init.<name>, final.<name>      f32     the student's weights, named as transformers names them, before and after
  batch.0.ids ... batch.9.ids    i64 (B, S)
  batch.0.lengths ...            i64 (B)
  learning_rate                  f64 (10)
  loss                           f64 (10)  before each update; loss.qq + loss.kk + loss.vv
  loss.qq, loss.kk, loss.vv      f64 (10)
  norm                           f64 (10)  global norm of the gradient before clipping
  v1.loss.qk, v1.loss.vv         f64 (1)   MiniLM v1 on batch 0 with the initial weights: relations Q-K and V-V per
                                           attention head (3 on both sides), normalised as above
  v1.norm                        f64 (1)   global norm of the gradient of v1.loss.qk + v1.loss.vv
"""

from pathlib import Path

import torch
import transformers
from safetensors.torch import save_file
from transformers import BertConfig, BertModel

HERE = Path(__file__).resolve().parent

STEPS, WARMUP, PEAK = 10, 3, 5e-3
CLIP = 0.15
BATCH, LONGEST = 4, 12
RELATION_HEADS, ATTENTION_HEADS = 6, 3
CLS, SEP, FIRST_WORD = 2, 3, 5
MINILM_V2 = ("qq", "kk", "vv")
MINILM_V1 = ("qk", "vv")


def main():
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    teacher = BertModel.from_pretrained(HERE / "tiny-bert").eval()
    student = new_student(teacher.config, seed=11)
    batches = new_batches(teacher.config.vocab_size, seed=12)

    golden = {f"init.{name}": weight.clone() for name, weight in student.state_dict().items()}
    for number, (ids, lengths) in enumerate(batches):
        golden |= {f"batch.{number}.ids": ids, f"batch.{number}.lengths": lengths}
    golden |= minilm_v1(teacher, student, batches[0])
    golden |= train(teacher, student, batches)
    golden |= {f"final.{name}": weight.clone() for name, weight in student.state_dict().items()}
    save_file(golden, HERE / "training.safetensors")


def new_student(teacher, seed):
    """Weights from N(0, 0.02), biases 0, LayerNorm 1 and 0."""
    config = BertConfig(
        vocab_size=teacher.vocab_size,
        max_position_embeddings=teacher.max_position_embeddings,
        type_vocab_size=2,
        num_hidden_layers=2,
        hidden_size=12,
        num_attention_heads=ATTENTION_HEADS,
        intermediate_size=48,
        layer_norm_eps=1e-3,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
    )
    student = BertModel(config, add_pooling_layer=False).train()
    random = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in student.named_parameters():
            if name.endswith("LayerNorm.weight"):
                parameter.fill_(1.0)
            elif name.endswith("bias"):
                parameter.fill_(0.0)
            else:
                parameter.copy_(0.02 * torch.randn(parameter.shape, generator=random))
    return student


def new_batches(vocab_size, seed):
    """Pairs of ids (B, S) and lengths (B): [CLS], random words, [SEP], padding; lengths 2 to S."""
    random = torch.Generator().manual_seed(seed)
    batches = []
    for _ in range(STEPS):
        ids = torch.zeros(BATCH, LONGEST, dtype=torch.int64)
        lengths = torch.randint(2, LONGEST + 1, (BATCH,), generator=random)
        lengths[int(torch.randint(BATCH, (), generator=random))] = LONGEST
        for row, length in zip(ids, lengths.tolist()):
            row[:length] = torch.randint(FIRST_WORD, vocab_size, (length,), generator=random)
            row[0], row[length - 1] = CLS, SEP
        batches.append((ids, lengths))
    return batches


def tap(model, ids, lengths):
    """The last layer's queries, keys and values, each (B, S, H)."""
    mask = (torch.arange(ids.shape[1]) < lengths[:, None]).long()
    entering = model(ids, attention_mask=mask, output_hidden_states=True).hidden_states[-2]
    projections = model.encoder.layer[-1].attention.self
    return {
        "q": projections.query(entering),
        "k": projections.key(entering),
        "v": projections.value(entering),
    }


def relation(rows, columns, heads):
    """Logarithm of the relation, eq. (7) and (8), of one sequence: (S, H) and (S, H) to (A, S, S)."""
    width = rows.shape[-1] // heads
    rows = rows.view(-1, heads, width).transpose(0, 1)
    columns = columns.view(-1, heads, width).transpose(0, 1)
    return torch.log_softmax(rows @ columns.transpose(1, 2) / width**0.5, dim=-1)


def relation_loss(teacher, student, lengths, pair, heads):
    """Eq. (6) of one pair such as "qk" (rows, columns), averaged over the batch. Each sequence is cut to its length."""
    first, second = pair
    total = 0.0
    for index, length in enumerate(lengths.tolist()):
        log_p = relation(teacher[first][index, :length], teacher[second][index, :length], heads)
        log_q = relation(student[first][index, :length], student[second][index, :length], heads)
        total = total + (log_p.exp() * (log_p - log_q)).sum() / (heads * length)
    return total / len(lengths)


def losses(teacher, student, batch, pairs, heads):
    ids, lengths = batch
    with torch.no_grad():
        target = tap(teacher, ids, lengths)
    learned = tap(student, ids, lengths)
    return {pair: relation_loss(target, learned, lengths, pair, heads) for pair in pairs}


def minilm_v1(teacher, student, batch):
    """Loss and gradient norm of MiniLM v1; the gradients are dropped again."""
    by_pair = losses(teacher, student, batch, MINILM_V1, ATTENTION_HEADS)
    sum(by_pair.values()).backward()
    golden = {f"v1.loss.{pair}": as_f64([loss.item()]) for pair, loss in by_pair.items()}
    norm = torch.nn.utils.clip_grad_norm_(student.parameters(), float("inf"))
    student.zero_grad(set_to_none=True)
    return golden | {"v1.norm": as_f64([norm.item()])}


def train(teacher, student, batches):
    optimizer = torch.optim.AdamW(
        parameter_groups(student), lr=0.0, betas=(0.9, 0.999), eps=1e-6, weight_decay=0.01, foreach=False
    )
    columns = {name: [] for name in ("learning_rate", "loss", "norm", *(f"loss.{pair}" for pair in MINILM_V2))}
    for number, batch in enumerate(batches, start=1):
        by_pair = losses(teacher, student, batch, MINILM_V2, RELATION_HEADS)
        loss = sum(by_pair.values())
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(student.parameters(), CLIP)
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(number)
        optimizer.step()
        columns["learning_rate"].append(learning_rate(number))
        columns["loss"].append(loss.item())
        columns["norm"].append(norm.item())
        for pair, part in by_pair.items():
            columns[f"loss.{pair}"].append(part.item())
    clipped = sum(norm > CLIP for norm in columns["norm"])
    assert 0 < clipped < STEPS, f"{clipped} of {STEPS} steps were clipped; the golden needs both kinds: {columns['norm']}"
    return {name: as_f64(values) for name, values in columns.items()}


def parameter_groups(model):
    named = list(model.named_parameters())
    plain = [name for name, _ in named if name.endswith("bias") or "LayerNorm" in name]
    return [
        {"params": [parameter for name, parameter in named if name not in plain]},
        {"params": [parameter for name, parameter in named if name in plain], "weight_decay": 0.0},
    ]


def learning_rate(step):
    if step <= WARMUP:
        return PEAK * step / WARMUP
    return PEAK * (STEPS - step + 1) / (STEPS - WARMUP + 1)


def as_f64(values):
    return torch.tensor(values, dtype=torch.float64)


if __name__ == "__main__":
    main()
