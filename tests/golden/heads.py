"""Goldens of classification heads: what transformers computes with its head on the tiny encoder of each family.

Made by:  cargo xtask golden     (after encoder.py and families.py, whose models it opens)
Read by:  the parity tests of classifiers

Writes heads.safetensors beside this file, always the same bytes. For "bert", "xlmr", "distilbert", "electra",
"modernbert", "mpnet", "nomic", "gte" and "jina", on random sequences of B = 3:
  ids, lengths, types         (B, S), (B), (B, S); types are 0 where the family has one token type or none
  head.<tensor>               the head's tensors, and a pooler where the encoder's file holds none, as it does BERT's
  logits                      (B, 3), dropout off
  mean_logits                 (B, 3): the last linear layer on the mean of the last hidden states over real tokens
  targets                     (B), a class each
  loss, norm                  cross-entropy with the class weights 0.5, 1 and 2, and the norm of its gradient over all parameters
  token_logits                (B, S, 3): the head that classifies tokens, with the weights of the last linear layer, and of the
                              layers before it where tokens have these, too
  token_targets               (B, S): 0 for a token that does not count, else its class + 1
  token_loss, token_norm      the same as loss and norm, over the tokens that count

Computed in float64 and rounded once to float32.
"""

import torch
import transformers
from safetensors.torch import save_file
from transformers import AutoModelForSequenceClassification, AutoModelForTokenClassification

from encoder import HERE
from jina import JinaBertForSequenceClassification, JinaBertForTokenClassification

OF_TRANSFORMERS = (AutoModelForSequenceClassification, AutoModelForTokenClassification)
CLASSES = {"tiny-jina": (JinaBertForSequenceClassification, JinaBertForTokenClassification)}
CLASS_WEIGHTS = [0.5, 1.0, 2.0]


def main():
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    golden = {}
    for seed, name in enumerate(["bert", "xlmr", "distilbert", "electra", "modernbert", "mpnet", "nomic", "gte", "jina"], start=31):
        for key, value in head(f"tiny-{name}", seed).items():
            golden[f"{name}.{key}"] = value
    save_file(golden, HERE / "heads.safetensors")


def head(folder, seed):
    random = torch.Generator().manual_seed(seed)
    of_texts, _ = CLASSES.get(folder, OF_TRANSFORMERS)
    model, found = of_texts.from_pretrained(HERE / folder, num_labels=3, output_loading_info=True)
    model = model.double().eval()
    golden = {}
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name in found["missing_keys"] or not name.startswith(model.base_model_prefix):
                parameter.copy_((0.4 * torch.randn(parameter.shape, generator=random)).float())
                golden[f"head.{name}"] = parameter.float().clone()
    lengths = torch.tensor([7, 1, 4])
    real = torch.arange(7) < lengths[:, None]
    ids = torch.randint(5, model.config.vocab_size, (3, 7), generator=random)
    ids = torch.where(real, ids, model.config.pad_token_id)
    types = torch.randint(0, 2, (3, 7), generator=random) * real
    if getattr(model.config, "type_vocab_size", 1) < 2:
        types = torch.zeros_like(types)
    tokens = {"input_ids": ids, "attention_mask": real.long()}
    if folder not in ("tiny-distilbert", "tiny-modernbert", "tiny-mpnet"):
        tokens["token_type_ids"] = types
    logits = model(**tokens).logits
    hidden = model.base_model(**tokens).last_hidden_state
    mean = (hidden * real[..., None]).sum(1) / lengths[:, None]
    output = model.classifier if isinstance(model.classifier, torch.nn.Linear) else model.classifier.out_proj
    targets = torch.tensor([0, 2, 1])
    weights = torch.tensor(CLASS_WEIGHTS, dtype=torch.float64)
    loss = torch.nn.functional.cross_entropy(logits, targets, weight=weights)
    loss.backward()
    norm = torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None]).norm()
    numbers = {"logits": logits, "mean_logits": output(mean), "loss": loss[None], "norm": norm[None]}
    numbers |= of_tokens(folder, model, output, tokens, weights)
    # Every other token begins a word.
    golden["token_targets"] = token_targets(real)
    golden |= {key: value.detach().float().contiguous() for key, value in numbers.items()}
    return golden | {"ids": ids, "lengths": lengths, "types": types, "targets": targets}


def token_targets(real):
    places = torch.arange(real.numel()).reshape(real.shape)
    return torch.where(real & (places % 2 == 0), places % 3 + 1, 0)


def of_tokens(folder, of_texts, output, tokens, weights):
    _, of_words = CLASSES.get(folder, OF_TRANSFORMERS)
    model = of_words.from_pretrained(HERE / folder, num_labels=3).double().eval()
    model.classifier.load_state_dict(output.state_dict())
    if hasattr(model, "head"):
        model.head.load_state_dict(of_texts.head.state_dict())
    logits = model(**tokens).logits
    # -1 is the class of what does not count.
    targets = token_targets(tokens["attention_mask"].bool()) - 1
    loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), targets.flatten(), weight=weights, ignore_index=-1)
    loss.backward()
    norm = torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None]).norm()
    return {"token_logits": logits, "token_loss": loss[None], "token_norm": norm[None]}


if __name__ == "__main__":
    main()
