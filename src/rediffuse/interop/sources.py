"""Whatever a published network lies in, read as a `Package`: a folder of ours or of diffusers, a file of IDDPM's."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from rediffuse.errors import UserError
from rediffuse.formats import write_json
from rediffuse.interop.diffusers_format import (
    config_from_diffusers,
    config_to_diffusers,
    weights_from_diffusers,
    weights_to_diffusers,
)
from rediffuse.interop.files import (
    CONFIG,
    INDEX,
    WEIGHTS,
    lies_there,
    refuse_pickled,
    weight_files,
    which_of_diffusers,
    which_of_iddpm,
)
from rediffuse.interop.foreign import foreign_tensors
from rediffuse.interop.iddpm_format import config_from_iddpm, weights_from_iddpm
from rediffuse.interop.own_format import FORMAT, Package, read_config, read_package, write_tensors
from rediffuse.interop.own_format import WEIGHTS as OWN_WEIGHTS
from rediffuse.interop.scheduler_format import Process, any_process, process_from_scheduler, scheduler_config
from rediffuse.weights import file_kind

SCHEDULER = Path("scheduler", "scheduler_config.json")


@dataclass(frozen=True)
class IddpmFacts:
    """What the shapes of IDDPM's weights do not tell; the defaults are those of its CIFAR-10 networks."""

    image_size: int = 32
    heads: int = 4
    dropout: float = 0.3
    timesteps: int = 4000
    schedule: str = "cosine"
    rescaled_timesteps: bool = True


def read_any(
    path: Path,
    *,
    null_class: bool = False,
    facts: IddpmFacts | None = None,
    entry: str | None = None,
    any_schedule: bool = False,
) -> Package:
    """Read a network published by this project, diffusers or IDDPM.

    Args:
        path: a folder of `rediffuse export`; a folder of diffusers' `UNet2DModel` (or of a pipeline or a training that
            has one in unet/), or one of its files of weights; or IDDPM's weights, a .pt or .safetensors file.
        null_class: whether the last class embedding stands for "no label" (in folders of ours it always does).
        facts: what IDDPM's weights do not tell.
        entry: where in a file that holds a training state the weights lie.
        any_schedule: take betas that no schedule here has, as `betas` in place of `schedule` and `timesteps`.

    Raises:
        UserError: naming the file and what is wrong with it.
    """
    if not path.is_dir():
        return _read_file(path, null_class, facts or IddpmFacts(), entry, any_schedule)
    root = next((r for r in (path / "unet", path / "unet_ema", path) if (r / CONFIG).exists()), None)
    if root is None:
        raise UserError(f"{path}: has no {CONFIG}, but {lies_there(path)}")
    if entry is not None:
        raise UserError(f"--entry: {path} is a folder, which has no entries; name the file, or leave it out")
    if read_config(root / CONFIG).get("format") == FORMAT:
        return _read_own(root)
    files = weight_files(root)
    source = files[0] if len(files) == 1 else root / INDEX
    return _read_diffusers(root, source, *foreign_tensors(source, files), null_class, any_schedule)


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


def _read_own(folder: Path) -> Package:
    if file_kind(path := folder / OWN_WEIGHTS) != "safetensors":
        raise UserError(f"{path}: is a file of torch's, not what its name says; `rediffuse export` writes it")
    return read_package(folder)


def _read_file(path: Path, null_class: bool, facts: IddpmFacts, entry: str | None, any_schedule: bool) -> Package:
    refuse_pickled(path)
    tensors, notes = foreign_tensors(path, [path], entry)
    beside = path.parent / CONFIG
    for name, whose in (
        ("conv_in.weight", "diffusers' UNet2DModel"),
        ("time.linear1.weight", "rediffuse's own network"),
    ):
        if name in tensors and not beside.exists():
            raise UserError(
                f"{path}: holds {whose}, of which {CONFIG} must lie beside it; give the folder that has both"
            )
    if "conv_in.weight" in tensors:
        return _read_diffusers(path.parent, path, tensors, notes, null_class, any_schedule)
    if "time.linear1.weight" in tensors:
        return _read_own(path.parent)
    return _read_iddpm(path, tensors, notes, null_class, facts)


def _read_diffusers(
    root: Path, source: Path, tensors: dict[str, Tensor], notes: list[str], null_class: bool, any_schedule: bool
) -> Package:
    given = read_config(root / CONFIG)
    try:
        config = config_from_diffusers(given, null_class=null_class)
    except UserError as error:
        raise UserError(f"{root / CONFIG}: {error}") from None
    state = weights_from_diffusers(config, tensors, null_class=null_class, source=str(source))
    notes = [f"read from {source}: {which_of_diffusers(root, given)}", *notes]
    places = [root / SCHEDULER, root / SCHEDULER.name]
    # The network of a pipeline, or of a step of a training, lies in a folder of its own.
    if root.name.startswith("unet"):
        places += [root.parent / SCHEDULER, root.parent / SCHEDULER.name, root.parent.parent / SCHEDULER]
    diffusion: dict[str, Any] = {}
    clip = None
    if (place := next((place for place in places if place.exists()), None)) is not None:
        try:
            if any_schedule:
                diffusion, clip = any_process(read_config(place))
            else:
                process = process_from_scheduler(read_config(place))
                diffusion, clip = process.settings(), process.clip
        except UserError as error:
            raise UserError(str(error) if str(place) in str(error) else f"{place}: {error}") from None
        notes.append(f"schedule read from {place}")
    knows = config.num_classes is not None and null_class
    return Package(config, state, diffusion, clip, knows, tuple(notes))


def _read_iddpm(
    path: Path, tensors: dict[str, Tensor], notes: list[str], null_class: bool, facts: IddpmFacts
) -> Package:
    config = config_from_iddpm(
        tensors,
        **{name: value for name, value in vars(facts).items() if name != "schedule"},
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
    notes = [
        f"read from {path}: {which_of_iddpm(path)}",
        *notes,
        "heads, T and schedule are those you gave, or defaults",
    ]
    return Package(config, state, diffusion, True, config.num_classes is not None and null_class, tuple(notes))
