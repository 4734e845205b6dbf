"""This project's own folder of a network: config.json and weights.safetensors, read and written without pickle."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from rediffuse.errors import UserError
from rediffuse.files import atomic_path
from rediffuse.formats import write_json
from rediffuse.models.unet import UNet
from rediffuse.models.unet_config import UNetConfig

CONFIG, WEIGHTS, FORMAT = "config.json", "weights.safetensors", "rediffuse"
# Fields that decide how weights are drawn, trained or computed with, not what the network computes.
NOT_OF_THE_FUNCTION = ("initialisation", "dropout", "checkpointing")


@dataclass(frozen=True, eq=False)
class Package:
    """A network and what is needed to sample it.

    network, state: configuration and weights (float32, our names).
    diffusion: settings of a study's section `diffusion` as far as they are known; empty when the source is silent.
    clip: whether x̂_0 is meant to be clipped; None when the source is silent.
    knows_no_class: whether the network was also trained without labels, as classifier-free guidance needs.
    """

    network: UNetConfig
    state: dict[str, Tensor]
    diffusion: dict[str, Any]
    clip: bool | None = None
    knows_no_class: bool = False


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
    config = read_config(folder / CONFIG)
    if config.get("format") != FORMAT:
        raise UserError(f"{folder / CONFIG}: format is {config.get('format')!r}, not {FORMAT!r}")
    known = set(UNetConfig.model_fields)
    if unknown := sorted(set(config["network"]) - known):
        raise UserError(f"{folder / CONFIG}: network.{unknown[0]} is no field of this version's networks")
    try:
        network = UNetConfig(**config["network"])
    except (TypeError, UserError) as error:
        raise UserError(f"{folder / CONFIG}: network: {error}") from None
    state = read_tensors(folder / WEIGHTS)
    check_state(network, state, str(folder / WEIGHTS))
    return Package(network, state, config["diffusion"], config["clip"], config["knows_no_class"])


def check_state(config: UNetConfig, state: Mapping[str, Tensor], source: str) -> None:
    """Raise UserError, naming the tensor, unless `state` is a state dict of the network of `config`."""
    with torch.device("meta"):
        wanted = {name: tuple(value.shape) for name, value in UNet(config).state_dict().items()}
    for name, shape in wanted.items():
        if name not in state:
            raise UserError(f"{source}: tensor {name} is missing; it should be of shape {list(shape)}")
        if tuple(state[name].shape) != shape:
            raise UserError(
                f"{source}: tensor {name} is of shape {list(state[name].shape)}; it should be {list(shape)}"
            )
    if left := sorted(set(state) - set(wanted)):
        raise UserError(f"{source}: tensor {left[0]} has no place in the network of this configuration")


def write_tensors(path: Path, state: Mapping[str, Tensor], metadata: Mapping[str, str] | None = None) -> None:
    """Write tensors as safetensors (metadata: one entry at most, or the bytes differ from time to time)."""
    with atomic_path(path) as temporary:
        tensors = {name: tensor.contiguous().cpu() for name, tensor in state.items()}
        save_file(tensors, temporary, dict(metadata) if metadata else None)


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Read a safetensors file. Raises UserError when there is none or it is damaged."""
    try:
        return load_file(path)
    except FileNotFoundError:
        raise UserError(f"{path}: there is no such file") from None
    except SafetensorError as error:
        raise UserError(f"{path}: is not a safetensors file ({error})") from None


def read_config(path: Path) -> dict[str, Any]:
    """Read a configuration, a JSON object. Raises UserError when there is none or it is damaged."""
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path}: there is no such file") from None
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise UserError(f"{path}: is not JSON ({error})") from None
    if not isinstance(config, dict):
        raise UserError(f"{path}: is not a JSON object")
    return config
