"""One training step of MiniLMv2 written plainly in PyTorch: the peer that `cargo xtask bench` sets our step beside.

Run by:  cargo xtask bench, when torch and transformers are installed (tests/golden/requirements.txt)
By hand: python step.py --batch 8 --length 128 --teacher 6x384 --student 3x192 --heads 12 --relation-heads 12 \
                        --vocab 30522 --steps 8 --threads 2

Random BERT models, or ModernBERT (--model modernbert), random ids, every sequence of full length, no dropout, attention as transformers chooses it (sdpa); on the
CPU in float32, or with --device cuda in one of --mode: f32, tf32 (matrix products in TensorFloat-32), bf16 (autocast), compile
(bf16 and torch.compile). It is written as people write it, but nothing is wasted: neither model computes anything behind its last
layer's projections. The teacher is the inference mode of the same code.

Prints one JSON object: medians over the steps (after two of warm-up) in milliseconds, tokens a second, and the peak
resident memory of the whole process in bytes; on a GPU the peak memory of its tensors. There only the end of a step is waited for,
so its parts are what the CPU took to ask for them, and the last part holds the wait.
"""

import argparse
import json
import resource
import statistics
import sys
import time

import torch
import transformers
from transformers import BertConfig, BertModel, ModernBertConfig, ModernBertModel

WARM_UP = 2


def main():
    options = parse_options()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    torch.backends.cuda.matmul.allow_tf32 = options.mode != "f32"
    new = {"bert": TappedBert, "modernbert": TappedModernBert}[options.model]
    teacher = new(options.teacher, options).eval().requires_grad_(False).to(options.device)
    student = new(options.student, options).train().to(options.device)
    optimizer = new_optimizer(student)
    if options.mode == "compile":
        teacher, student = torch.compile(teacher), torch.compile(student)
    steps = [
        timed_step(teacher, student, optimizer, new_batch(options), options)
        for _ in range(WARM_UP + options.steps)
    ][WARM_UP:]
    print(json.dumps(summary(steps, options)))


def parse_options():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", choices=["bert", "modernbert"], default="bert", help="what both models are (bert)")
    parser.add_argument("--batch", type=positive, default=8, help="sequences in a batch (8)")
    parser.add_argument("--length", type=positive, default=128, help="tokens in a sequence (128)")
    parser.add_argument("--teacher", type=size, default="6x384", help="layers x hidden size (6x384)")
    parser.add_argument("--student", type=size, default="3x192", help="layers x hidden size (3x192)")
    parser.add_argument("--heads", type=positive, default=12, help="attention heads of both models (12)")
    parser.add_argument("--relation-heads", type=positive, default=12, help="relation heads (12)")
    parser.add_argument("--vocab", type=positive, default=30522, help="vocabulary (30522)")
    parser.add_argument("--steps", type=positive, default=8, help="steps to measure (8)")
    parser.add_argument("--threads", type=positive, default=2, help="threads of PyTorch (2)")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu", help="where to compute (cpu)")
    parser.add_argument("--mode", choices=["f32", "tf32", "bf16", "compile"], default="f32", help="on a GPU, see above (f32)")
    options = parser.parse_args()
    if options.device == "cpu" and options.mode != "f32":
        parser.error(f"--mode {options.mode} is for --device cuda")
    for model, (_, hidden) in (("teacher", options.teacher), ("student", options.student)):
        for flag, heads in (("--heads", options.heads), ("--relation-heads", options.relation_heads)):
            if hidden % heads:
                parser.error(f"{flag} {heads} does not divide the {model}'s hidden size {hidden}")
    return options


def positive(text):
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1, not {number}")
    return number


def size(text):
    try:
        layers, hidden = (positive(part) for part in text.split("x"))
    except ValueError:
        raise argparse.ArgumentTypeError(f"write layers x hidden size such as 6x384, not {text!r}") from None
    return layers, hidden


def common(layers_and_hidden, widening, options):
    """What the configs of both kinds say; the feed-forward part is so many times as wide as the hidden size."""
    layers, hidden = layers_and_hidden
    return {
        "vocab_size": options.vocab,
        "num_hidden_layers": layers,
        "hidden_size": hidden,
        "num_attention_heads": options.heads,
        "intermediate_size": int(widening * hidden),
        "max_position_embeddings": max(512, options.length),
    }


class TappedBert(torch.nn.Module):
    """A random BERT that ends with the queries, keys and values of its last layer, each (B, S, H)."""

    def __init__(self, layers_and_hidden, options):
        super().__init__()
        config = BertConfig(
            **common(layers_and_hidden, 4, options),
            hidden_dropout_prob=0.0,
            attention_probs_dropout_prob=0.0,
        )
        self.model = BertModel(config, add_pooling_layer=False)
        last = self.model.encoder.layer.pop(-1).attention.self
        self.projections = torch.nn.ModuleList([last.query, last.key, last.value])

    def forward(self, ids, mask):
        entering = self.model(ids, attention_mask=mask).last_hidden_state
        return [project(entering) for project in self.projections]


class TappedModernBert(torch.nn.Module):
    """The same of a ModernBERT of the proportions of ModernBERT-base: projections before rotation, (B, S, H) each."""

    def __init__(self, layers_and_hidden, options):
        super().__init__()
        config = ModernBertConfig(
            **common(layers_and_hidden, 1.5, options),
            global_attn_every_n_layers=3,
            local_attention=128,
            pad_token_id=0,
            bos_token_id=None,
            eos_token_id=None,
            cls_token_id=None,
            sep_token_id=None,
        )
        self.model = ModernBertModel(config)
        last = self.model.layers.pop(-1)
        self.model.final_norm = torch.nn.Identity()
        self.norm, self.projections = last.attn_norm, last.attn.Wqkv

    def forward(self, ids, mask):
        entering = self.model(ids, attention_mask=mask).last_hidden_state
        return self.projections(self.norm(entering)).chunk(3, dim=-1)


def new_optimizer(student):
    plain = [parameter for parameter in student.parameters() if parameter.ndim == 1]  # biases and LayerNorm
    decayed = [parameter for parameter in student.parameters() if parameter.ndim > 1]
    groups = [{"params": decayed, "weight_decay": 0.01}, {"params": plain, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=6e-4, betas=(0.9, 0.999), eps=1e-6)


def new_batch(options):
    ids = torch.randint(options.vocab, (options.batch, options.length)).to(options.device)
    return ids, torch.ones_like(ids)


def relation_scores(projection, heads):
    """(B, S, H) to (B, A, S, S): each relation head with itself, divided by the root of its width."""
    batch, length, hidden = projection.shape
    split = projection.view(batch, length, heads, hidden // heads).transpose(1, 2)
    return split @ split.transpose(-1, -2) / (hidden // heads) ** 0.5


def relation_loss(teacher, student, heads):
    """KL(teacher || student) of Q-Q, K-K and V-V, averaged over heads, rows and batch, summed over the pairs."""
    loss = 0.0
    for target, learned in zip(teacher, student):
        scores = relation_scores(target, heads)
        p, log_p = scores.softmax(-1), scores.log_softmax(-1)
        log_q = relation_scores(learned, heads).log_softmax(-1)
        loss = loss + (p * (log_p - log_q)).sum(-1).mean()
    return loss


def timed_step(teacher, student, optimizer, batch, options):
    """Milliseconds of each part, in the order they run."""
    autocast = torch.autocast(options.device, torch.bfloat16, enabled=options.mode in ("bf16", "compile"))
    wait(options)
    marks = [time.perf_counter()]

    def mark():
        marks.append(time.perf_counter())

    with torch.no_grad(), autocast:
        target = teacher(*batch)
    mark()
    with autocast:
        learned = student(*batch)
        mark()
        loss = relation_loss(target, learned, options.relation_heads)
    mark()
    loss.backward()
    mark()
    torch.nn.utils.clip_grad_norm_(student.parameters(), 1.0)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    wait(options)
    mark()
    if not torch.isfinite(loss):
        sys.exit(f"the loss is {loss.item()}; the times of such a run mean nothing")
    parts = ["teacher", "student", "loss", "backward", "optimizer"]
    times = {part: 1e3 * (end - start) for part, start, end in zip(parts, marks, marks[1:])}
    return times | {"step": 1e3 * (marks[-1] - marks[0])}


def wait(options):
    if options.device == "cuda":
        torch.cuda.synchronize()


def peak_bytes(options):
    if options.device == "cuda":
        return torch.cuda.max_memory_allocated()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak  # macOS counts bytes, Linux KiB


def summary(steps, options):
    medians = {part: statistics.median(step[part] for step in steps) for part in steps[0]}
    step_ms = medians.pop("step")
    return {
        "name": "pytorch",
        "step_ms": round(step_ms, 3),
        **{f"{part}_ms": round(value, 3) for part, value in medians.items()},
        "tokens_per_s": round(options.batch * options.length / step_ms * 1e3, 1),
        "peak_bytes": peak_bytes(options),
        "device": options.device,
        "mode": options.mode,
        "model": options.model,
        "batch": options.batch,
        "length": options.length,
        "teacher": "x".join(map(str, options.teacher)),
        "student": "x".join(map(str, options.student)),
        "relation_heads": options.relation_heads,
        "steps": options.steps,
        "threads": options.threads,
        "torch": torch.__version__,
        "transformers": transformers.__version__,
    }


if __name__ == "__main__":
    main()
