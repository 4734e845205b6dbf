"""Whatever a published network lies in, read as a `Package`: a folder of ours or of diffusers, a file of IDDPM's."""

import pickle
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from rediffuse.errors import UserError
from rediffuse.formats import write_json
from rediffuse.interop.diffusers_format import (
    config_from_diffusers,
    config_to_diffusers,
    weights_from_diffusers,
    weights_to_diffusers,
)
from rediffuse.interop.iddpm_format import config_from_iddpm, weights_from_iddpm
from rediffuse.interop.own_format import FORMAT, Package, read_config, read_package, read_tensors, write_tensors
from rediffuse.interop.scheduler_format import Process, process_from_scheduler, scheduler_config

CONFIG, WEIGHTS = "config.json", "diffusion_pytorch_model.safetensors"
SCHEDULER = Path("scheduler", "scheduler_config.json")
PICKLED = ("diffusion_pytorch_model.bin", "pytorch_model.bin")


@dataclass(frozen=True)
class IddpmFacts:
    """What the shapes of IDDPM's weights do not tell; the defaults are those of its CIFAR-10 networks."""

    image_size: int = 32
    heads: int = 4
    dropout: float = 0.3
    timesteps: int = 4000
    schedule: str = "cosine"
    rescaled_timesteps: bool = True


def read_any(path: Path, *, null_class: bool = False, facts: IddpmFacts | None = None) -> Package:
    """Read a network published by this project, diffusers or IDDPM.

    Args:
        path: a folder of `rediffuse export`; a folder of diffusers' `UNet2DModel` (or of a pipeline that has one in
            unet/); or IDDPM's weights, a .pt or .safetensors file.
        null_class: whether the last class embedding stands for "no label" (in folders of ours it always does).
        facts: what IDDPM's weights do not tell.

    Raises:
        UserError: naming the file and what is wrong with it.
    """
    if path.is_dir():
        root = path / "unet" if (path / "unet" / CONFIG).exists() else path
        if (root / CONFIG).exists() and read_config(root / CONFIG).get("format") == FORMAT:
            return read_package(root)
        return _read_diffusers(path, root, null_class)
    if not path.exists():
        raise UserError(f"{path}: there is no such file or folder")
    return _read_iddpm(path, null_class, facts or IddpmFacts())


def write_diffusers(folder: Path, package: Package) -> None:
    """Write config.json, diffusion_pytorch_model.safetensors and scheduler/scheduler_config.json.

    Raises:
        UserError: naming a setting that diffusers cannot represent; nothing has been written then.
    """
    config = {"_class_name": "UNet2DModel", **config_to_diffusers(package.network)}
    diffusion = package.diffusion
    names = [name for name in Process._fields if name != "clip"]
    process = Process(**{name: diffusion[name] for name in names}, clip=package.clip is not False)
    scheduler = scheduler_config(process)
    tensors = weights_to_diffusers(package.network, package.state)
    write_json(folder / CONFIG, config)
    write_json(folder / SCHEDULER, scheduler)
    write_tensors(folder / WEIGHTS, tensors, {"format": "pt"})


def _read_diffusers(path: Path, root: Path, null_class: bool) -> Package:
    given = read_config(root / CONFIG)
    try:
        config = config_from_diffusers(given, null_class=null_class)
    except UserError as error:
        raise UserError(f"{root / CONFIG}: {error}") from None
    pickled = next((name for name in PICKLED if (root / name).exists()), None)
    if not (root / WEIGHTS).exists() and pickled is not None:
        raise UserError(
            f"{root / pickled}: holds pickled weights, which are never read; get {WEIGHTS}, or save them again with "
            "diffusers' safe_serialization=True"
        )
    state = weights_from_diffusers(
        config, read_tensors(root / WEIGHTS), null_class=null_class, source=str(root / WEIGHTS)
    )
    diffusion: dict[str, Any] = {}
    clip = None
    for place in (path / SCHEDULER, path / SCHEDULER.name, root / SCHEDULER.name):
        if place.exists():
            try:
                process = process_from_scheduler(read_config(place))
            except UserError as error:
                raise UserError(f"{place}: {error}") from None
            diffusion, clip = process.settings(), process.clip
            break
    return Package(config, state, diffusion, clip, knows_no_class=config.num_classes is not None and null_class)


def _read_iddpm(path: Path, null_class: bool, facts: IddpmFacts) -> Package:
    tensors = read_tensors(path) if path.suffix == ".safetensors" else _unpickled(path)
    config = config_from_iddpm(
        tensors,
        image_size=facts.image_size,
        heads=facts.heads,
        dropout=facts.dropout,
        timesteps=facts.timesteps,
        rescaled_timesteps=facts.rescaled_timesteps,
        null_class=null_class,
        source=str(path),
    )
    state = weights_from_iddpm(config, tensors, null_class=null_class, source=str(path))
    learned = config.out_channels == 2 * config.in_channels
    diffusion = {
        "timesteps": facts.timesteps,
        "schedule": facts.schedule,
        "prediction": "eps",
        "variance": "learned-range" if learned else "fixed-large",
    }
    return Package(config, state, diffusion, True, knows_no_class=config.num_classes is not None and null_class)


def _unpickled(path: Path) -> dict[str, Tensor]:
    """The tensors of a .pt file, read by torch's restricted reader: anything else in it is refused."""
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:
        raise UserError(f"{path}: holds more than tensors, and pickled code is never run; get plain weights") from None
    except (RuntimeError, EOFError, ValueError, OSError, KeyError) as error:
        raise UserError(f"{path}: cannot be read as weights ({type(error).__name__})") from None
    if not isinstance(content, dict) or not all(isinstance(value, Tensor) for value in content.values()):
        raise UserError(f"{path}: is not a state dict, a mapping of names to tensors")
    return content
