"""Files of weights: safetensors, written whole or not at all, and read with one clear line where they are not right."""

import json
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from rediffuse.errors import UserError
from rediffuse.files import atomic_path


def write_weights(path: Path, state: dict[str, Tensor], description: dict[str, str]) -> None:
    """Write a state dict as safetensors; the same weights give the same bytes.

    safetensors writes its metadata in an order of its own, different every time: a single entry has only one.
    """
    metadata = {"rediffuse": json.dumps(description, sort_keys=True)}
    with atomic_path(path) as temporary:
        save_file({name: tensor.contiguous().cpu() for name, tensor in state.items()}, temporary, metadata)


def read_weights(path: Path, whose: str) -> dict[str, Tensor]:
    """The tensors of a file. Raises UserError when it is absent or no safetensors file."""
    try:
        return load_file(path)
    except FileNotFoundError:
        raise UserError(f"{path}: no weights of {whose}; make them first") from None
    except (SafetensorError, OSError, ValueError) as error:
        raise UserError(f"{path}: not the weights of {whose} ({str(error).splitlines()[0]})") from None


def load_into(network: nn.Module, path: Path, whose: str) -> nn.Module:
    """The network with the weights of a file. Raises UserError when they cannot be read or are of another network."""
    try:
        network.load_state_dict(read_weights(path, whose))
    except RuntimeError as error:
        raise UserError(f"{path}: not the weights of {whose} ({str(error).splitlines()[0]})") from None
    return network.eval()


def on_device(network: nn.Module, device: str, channels_last: bool) -> nn.Module:
    """The network where it computes, in the memory order that it is to have."""
    network = network.to(device)
    return network.to(memory_format=torch.channels_last) if channels_last else network  # type: ignore[call-overload]
