"""Files of weights: safetensors, written whole or not at all, and read with one clear line where they are not right."""

import json
import pickle
import re
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from rediffuse.errors import UserError, one_line, shown
from rediffuse.files import atomic_path

#: How files begin that are often found in place of weights, and what they are.
BEGINNINGS = {
    b"version https://git-lfs": "a Git LFS pointer, not the file itself; `git lfs pull` fetches that",
    b"<": "a page (HTML or XML), not weights; the download went wrong",
    b"{": "JSON text, not weights",
    b"[": "JSON text, not weights",
    b"\x1f\x8b": "a gzip archive; unpack it first",
    b"BZh": "a bzip2 archive; unpack it first",
    b"\xfd7zXZ": "an xz archive; unpack it first",
    b"(\xb5/\xfd": "a Zstandard archive; unpack it first",
    b"7z\xbc\xaf": "a 7-Zip archive; unpack it first",
    b"Rar!": "a RAR archive; unpack it first",
    b"\x89HDF": "an HDF5 file (Keras), not PyTorch's weights",
    b"\x93NUMPY": "a NumPy array, not weights by name",
    b"GGUF": "a GGUF file, not PyTorch's weights",
}


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


def read_tensors(path: Path, entry: str | None = None) -> dict[str, Tensor]:
    """The tensors by name of a safetensors file, or of a state dict that torch saved, on the CPU.

    What torch saved is read by its restricted reader, which takes tensors and plain values and runs nothing.

    Args:
        entry: where in a training state the weights lie, as "ema" or, one inside the other, "ema.ema_model".

    Raises:
        UserError: in one line, what the file is instead.
    """
    kind = _kind(path)
    try:
        content = load_file(path) if kind == "safetensors" else torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        found = re.search(r"GLOBAL (\S+)", str(error))
        more = f" ({one_line(found[1], 60)})" if found else ""
        raise UserError(
            f"{path}: holds more than tensors{more}, and pickled code is never run; get plain weights"
        ) from None
    except Exception as error:  # what readers of a damaged file raise has no common type
        reason = one_line((str(error).splitlines() or [type(error).__name__])[0].strip(), 100)
        raise UserError(
            f"{path}: is a damaged {kind} file ({reason}); cannot be read as weights, get it again"
        ) from None
    return _state_dict(content, path, entry)


def is_torchscript(path: Path) -> bool:
    """Whether a file is a module with its code, as `torch.jit.save` writes it."""
    try:
        with zipfile.ZipFile(path) as archive:
            return any(name.endswith("constants.pkl") for name in archive.namelist())
    except (OSError, ValueError, zipfile.BadZipFile):
        return False


def is_compressed(path: Path) -> bool:
    """Whether a file that torch saved was compressed since: it would unpack to any size."""
    try:
        with zipfile.ZipFile(path) as archive:
            return any(member.compress_type != zipfile.ZIP_STORED for member in archive.infolist())
    except (OSError, ValueError, zipfile.BadZipFile):
        return False


def file_kind(path: Path) -> str:
    """Whose file of weights it is, "safetensors" or "torch"; UserError, saying what else, if no one's."""
    return _kind(path)


def _kind(path: Path) -> str:
    """Whose file it is by its first bytes, "safetensors" or "torch"; UserError, saying what else, if no one's."""
    try:
        if not path.is_file():
            where = "is a folder" if path.is_dir() else "is no ordinary file" if path.exists() else ""
            raise UserError(f"{path}: {where or 'there is no such file'}; give a file of weights")
        with path.open("rb") as stream:
            head = stream.read(32)
    except (OSError, ValueError) as error:
        if isinstance(error, UserError):
            raise
        raise UserError(f"{path}: cannot be read ({getattr(error, 'strerror', error)})") from None
    if not head.strip():
        raise UserError(f"{path}: is empty, no file of weights; get it again")
    # safetensors: the length of a JSON header, in eight bytes, and that header.
    if head[8:9] == b"{" and head[5:8] == bytes(3):
        return "safetensors"
    for beginning, what in BEGINNINGS.items():
        if head.lstrip().startswith(beginning):
            raise UserError(f"{path}: is {what}")
    if is_torchscript(path):
        raise UserError(f"{path}: is a TorchScript module; save its state_dict() with torch.save or as safetensors")
    if head.startswith((b"PK", b"\x80")):
        return "torch"
    raise UserError(f"{path}: cannot be read as weights: it begins {head[:8]!r}, as neither safetensors nor torch do")


def _state_dict(content: Any, path: Path, entry: str | None) -> dict[str, Tensor]:
    for part in entry.split(".") if entry else ():
        inside = content.get(part) if isinstance(content, Mapping) else None
        if not isinstance(inside, Mapping):
            names = [str(name) for name in content] if isinstance(content, Mapping) else []
            inside = {name[len(part) + 1 :]: content[name] for name in names if name.startswith(f"{part}.")}
            if not inside:
                raise UserError(f"{path}: --entry: there is no {one_line(part, 60)}; there are {_listed(names)}")
        content = inside
    if not isinstance(content, Mapping):
        raise UserError(f"{path}: is not a state dict, a mapping of names to tensors, but a {type(content).__name__}")
    if "param_groups" in content:
        raise UserError(f"{path}: is the state of an optimiser, not weights; give the file of the network")
    tensors = {str(name): value for name, value in content.items() if isinstance(value, Tensor)}
    if len(tensors) < len(content):
        raise UserError(
            f"{path}: is not a state dict but a training state with the entries {_listed(content)}; weights alone are "
            "read (`rediffuse import` takes one of them by --entry NAME)"
        )
    if not tensors:
        raise UserError(f"{path}: holds no tensors")
    return tensors


def _listed(names: Any, most: int = 6) -> str:
    names = [one_line(name, 30) for name in names]
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return (", ".join(names[:most]) or "none") + more


def check_tensors(state: Mapping[str, Tensor], wanted: Mapping[str, Sequence[int]], source: str) -> None:
    """Refuse tensors that are not those of a network.

    Args:
        wanted: the shape of each tensor of the network.
        source: what they come from, for messages.

    Raises:
        UserError: naming the first that is missing, of another shape, left over, or holds NaN or infinity, and how many
            others do so too.
    """
    if missing := [name for name in wanted if name not in state]:
        shape = list(wanted[missing[0]])
        raise UserError(f"{source}: tensor {missing[0]} is missing{_more(missing)}; it should be of shape {shape}")
    if other := [name for name, shape in wanted.items() if tuple(state[name].shape) != tuple(shape)]:
        found = shown(list(state[other[0]].shape))
        raise UserError(
            f"{source}: tensor {other[0]} is of shape {found}; it should be {list(wanted[other[0]])}{_more(other)}"
        )
    if left := sorted(set(state) - set(wanted)):
        raise UserError(f"{source}: tensor {one_line(left[0], 60)}{_more(left)} has no place in this network")
    check_finite(state, source)


def check_finite(state: Mapping[str, Tensor], source: str | Path) -> None:
    """Refuse weights that hold NaN or infinity. Raises UserError, naming the first tensor that does."""
    broken = [n for n, v in state.items() if v.is_floating_point() and not torch.isfinite(v.float()).all()]
    if broken:
        raise UserError(
            f"{source}: the weights {one_line(broken[0], 60)} hold NaN or infinity{_more(broken)}; "
            "the file is damaged, or its training diverged"
        )


def _more(names: Sequence[str]) -> str:
    return f" (and {len(names) - 1} more)" if len(names) > 1 else ""


def load_into(network: nn.Module, path: Path, whose: str) -> nn.Module:
    """The network with the weights of a file, in evaluation mode.

    Raises:
        UserError: they cannot be read, are of another network, or hold NaN or infinity.
    """
    state = read_weights(path, whose)
    wanted = {name: tuple(value.shape) for name, value in network.state_dict().items()}
    check_tensors(state, wanted, f"{path}: not the weights of {whose}")
    network.load_state_dict(state)
    return network.eval()


def on_device(network: nn.Module, device: str, channels_last: bool) -> nn.Module:
    """The network where it computes, in the memory order that it is to have."""
    network = network.to(device)
    return network.to(memory_format=torch.channels_last) if channels_last else network  # type: ignore[call-overload]
