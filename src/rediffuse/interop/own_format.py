"""This project's own folder of a network: config.json and weights.safetensors, read and written without pickle."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors.torch import save_file
from torch import Tensor

from rediffuse.errors import UserError, one_line, shown
from rediffuse.files import atomic_path
from rediffuse.formats import write_json
from rediffuse.models.unet import UNet
from rediffuse.models.unet_config import UNetConfig
from rediffuse.options import Options
from rediffuse.weights import check_tensors, read_tensors

CONFIG, WEIGHTS, FORMAT = "config.json", "weights.safetensors", "rediffuse"
# Fields that decide how weights are drawn, trained or computed with, not what the network computes.
NOT_OF_THE_FUNCTION = ("initialisation", "dropout", "checkpointing")


class _Config(Options):
    """What config.json holds."""

    format: Literal["rediffuse"]
    network: UNetConfig
    diffusion: dict[str, Any]
    clip: bool | None
    knows_no_class: bool


@dataclass(frozen=True, eq=False)
class Package:
    """A network and what is needed to sample it.

    network, state: configuration and weights (float32, our names).
    diffusion: settings of a study's section `diffusion` as far as they are known; empty when the source is silent.
    clip: whether x̂_0 is meant to be clipped; None when the source is silent.
    knows_no_class: whether the network was also trained without labels, as classifier-free guidance needs.
    notes: what was understood of a foreign source and what was changed, in words.
    """

    network: UNetConfig
    state: dict[str, Tensor]
    diffusion: dict[str, Any]
    clip: bool | None = None
    knows_no_class: bool = False
    notes: tuple[str, ...] = ()


def write_package(folder: Path, package: Package) -> None:
    """Write config.json and weights.safetensors; the same package gives the same bytes."""
    write_json(
        folder / CONFIG,
        {
            "format": FORMAT,
            "network": package.network.model_dump(mode="json"),
            "diffusion": package.diffusion,
            "clip": package.clip,
            "knows_no_class": package.knows_no_class,
        },
    )
    write_tensors(folder / WEIGHTS, package.state)


def read_package(folder: Path) -> Package:
    """Read what `write_package` wrote.

    Raises:
        UserError: a file is missing or damaged, or its tensors are not those of its configuration.
    """
    given = read_config(folder / CONFIG)
    try:
        config = _Config(**given)
    except (UserError, TypeError) as error:  # TypeError: a key "self"
        raise UserError(f"{folder / CONFIG}: {error}") from None
    state = read_tensors(folder / WEIGHTS)
    check_state(config.network, state, str(folder / WEIGHTS))
    return Package(config.network, state, config.diffusion, config.clip, config.knows_no_class)


def check_state(config: UNetConfig, state: Mapping[str, Tensor], source: str) -> None:
    """Raise UserError, naming the tensor, unless `state` is a state dict of the network of `config`, all finite."""
    try:
        with torch.device("meta"):
            wanted = {name: tuple(value.shape) for name, value in UNet(config).state_dict().items()}
    except RuntimeError as error:
        raise UserError(f"{source}: no such network can be: {error}") from None
    check_tensors(state, wanted, source)


def write_tensors(path: Path, state: Mapping[str, Tensor], metadata: Mapping[str, str] | None = None) -> None:
    """Write tensors as safetensors (metadata: one entry at most, or the bytes differ from time to time)."""
    with atomic_path(path) as temporary:
        tensors = {name: tensor.contiguous().cpu() for name, tensor in state.items()}
        save_file(tensors, temporary, dict(metadata) if metadata else None)


def read_config(path: Path) -> dict[str, Any]:
    """Read a configuration, a JSON object. Raises UserError when there is none or it is damaged."""
    if path.exists() and not path.is_file():
        raise UserError(f"{path}: is no file; it should be a JSON object")
    try:
        config = json.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        raise UserError(f"{path}: there is no such file") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from None
    except (ValueError, RecursionError) as error:  # not UTF-8, not JSON, or numbers and nesting without end
        raise UserError(f"{path}: is not JSON ({one_line(str(error), 100)})") from None
    if not isinstance(config, dict):
        raise UserError(f"{path}: is not a JSON object, but {shown(config)}")
    return config
