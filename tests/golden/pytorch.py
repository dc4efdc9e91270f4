"""Golden of PyTorch's own weight files: the weights of tiny-bert as `torch.save` writes them.

Made by:  cargo xtask golden, after tiny-bert itself (encoder.py)
Read by:  the tests of the command line, which expect the embeddings that tiny-bert/model.safetensors gives

Writes beside this file, always the same bytes:
  tiny-bert-pytorch/pytorch_model.bin  a state dict by name, as models were published before safetensors:
                                       names with the prefix `bert.`, `LayerNorm.gamma` and `.beta`, tensors that share a
                                       storage, and one head (`cls.predictions.bias`) that an encoder does not need
"""

from pathlib import Path

import torch
from safetensors.torch import load_file

HERE = Path(__file__).resolve().parent


def main():
    tensors = load_file(HERE / "tiny-bert" / "model.safetensors")
    state = {"bert." + published_name(name): tensor for name, tensor in tensors.items()}
    state |= halves_of_one_storage(state, "bert.encoder.layer.0.attention.self.query.weight",
                                   "bert.encoder.layer.0.attention.self.key.weight")
    state["cls.predictions.bias"] = torch.zeros(tensors["embeddings.word_embeddings.weight"].shape[0])
    folder = HERE / "tiny-bert-pytorch"
    folder.mkdir(exist_ok=True)
    torch.save(state, folder / "pytorch_model.bin")


def published_name(name):
    """BERT's names as TensorFlow's checkpoints were converted to them."""
    return name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta")


def halves_of_one_storage(state, first, second):
    """Two tensors as views of one storage, so that a reader must honour the offset of the second."""
    together = torch.cat([state[first], state[second]])
    rows = state[first].shape[0]
    return {first: together[:rows], second: together[rows:]}


if __name__ == "__main__":
    main()
