"""Files of weights."""

import json
from pathlib import Path

from safetensors.torch import save_file
from torch import Tensor

from rediffuse.files import atomic_path


def write_weights(path: Path, state: dict[str, Tensor], description: dict[str, str]) -> None:
    """Write a state dict as safetensors; the same weights give the same bytes.

    safetensors writes its metadata in an order of its own, different every time: a single entry has only one.
    """
    metadata = {"rediffuse": json.dumps(description, sort_keys=True)}
    with atomic_path(path) as temporary:
        save_file({name: tensor.contiguous().cpu() for name, tensor in state.items()}, temporary, metadata)
