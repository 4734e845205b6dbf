"""Where a subject comes from: a run of a study, or published weights and any images."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from rediffuse.config import LoadedStudy, ResolvedRun
from rediffuse.data.array_images import array_headers
from rediffuse.data.image_set import ImageSet, images_digest, open_image_set
from rediffuse.data.image_source import ARRAY_SUFFIXES, open_source
from rediffuse.data.registry import load as load_source
from rediffuse.data.swollen import check_pictures
from rediffuse.diagnosis.subject import Averaging, Kind, Pictures, Subject, kept_of_first
from rediffuse.diffusion.process import DiffusionProcess
from rediffuse.errors import UserError
from rediffuse.interop.files import CONFIG
from rediffuse.interop.foreign import read_foreign
from rediffuse.interop.own_format import Package
from rediffuse.interop.sources import IddpmFacts, read_any
from rediffuse.models.unet import UNet
from rediffuse.progress import Progress
from rediffuse.runs import facts
from rediffuse.runs.networks import build_network
from rediffuse.weights import check_tensors, read_weights

#: Images of a split that are looked at, at most.
MOST = 10_000
#: Fewer than these have no spectrum.
LEAST = 8
DATA = Path("data")


def of_run(loaded: LoadedStudy, run: ResolvedRun, seed: int, root: Path = Path()) -> Subject:
    """A trained run of a study. Raises UserError where it does not diffuse, is not trained,
    or is of another network.
    """
    if run.diffusion is None or facts.is_flow(run):
        raise UserError(f"diagnose: {run.name} is no diffusion model; its noise levels are what is looked at")
    folder, image_set = root / facts.folder(run, seed), open_image_set(root / "data" / loaded.study.data.name)
    network, path = build_network(run, image_set), folder / "weights.safetensors"
    state = read_weights(path, f"run {run.name}")
    shapes = {name: tuple(value.shape) for name, value in network.state_dict().items()}
    check_tensors({name: value.nan_to_num() for name, value in state.items()}, shapes, str(path))
    training, held_out = _splits(image_set)
    return Subject(
        f"{run.label} ({loaded.study.study}/{run.name}, seed {seed})",
        _ready(network, state, run.hardware.device),
        state,
        DiffusionProcess.create(run.diffusion.schedule, run.diffusion.timesteps),
        run.diffusion.prediction,
        run.diffusion.variance,
        run.sampling.clip,
        network.config.num_classes or 0,
        training,
        held_out,
        _averaging(run, folder, state),
        run.hardware.device,
        (f"weights: {path}", f"images: {image_set.card['name']}, {image_set.card['images_sha256']}"),
    )


def _averaging(run: ResolvedRun, folder: Path, state: Mapping[str, Tensor]) -> Averaging:
    """Which weights a run's are: told from the last snapshot, which holds both;
    without one they are what is declared.
    """
    if run.weights is not None:
        return Averaging(note="the weights were trained elsewhere")
    training = run.training
    kept = kept_of_first(training.ema_decay, training.steps, training.ema_warmup)
    path = folder / "snapshots" / facts.snapshot(training.steps)
    if training.ema_decay == 0 or not path.is_file():
        return Averaging("averaged", None, kept)
    both = read_weights(path, "a snapshot")
    raw, averaged = (
        {name.removeprefix(f"{kind}."): value for name, value in both.items() if name.startswith(f"{kind}.")}
        for kind in ("raw", "averaged")
    )
    if all(torch.equal(state[name], raw[name]) for name in state if name in raw):
        return Averaging("raw", averaged)
    return Averaging("averaged", raw, kept)


@dataclass(frozen=True)
class Given:
    """What the command says of published weights: see `interop.sources.read_any`. other: the other weights of the same
    training, raw for an average; prediction, timesteps, schedule: where the weights do not say it.
    """

    facts: IddpmFacts = field(default_factory=IddpmFacts)
    null_class: bool = False
    entry: str | None = None
    other: Path | None = None
    prediction: str = "eps"
    timesteps: int = 1000
    schedule: str = "linear"
    device: str = "cpu"


def of_weights(path: Path, data: str, given: Given) -> Subject:
    """Published weights with the images they were made for. Raises UserError, naming what cannot be read."""
    if given.device == "cuda" and not torch.cuda.is_available():
        raise UserError("there is no CUDA device here: leave out --device cuda")
    try:
        package = _read(path, given)
    except UserError:
        if not (broken := _not_finite(path, given.entry)):
            raise
        return _lost(path, data, broken, given)
    network = UNet(package.network)
    image_set = find_images(data, package.network.in_channels, package.network.image_size)
    _fits(image_set, package, data)
    training, held_out = _splits(image_set)
    said: dict[str, Any] = {name: getattr(given, name) for name in ("timesteps", "schedule", "prediction")}
    said["variance"] = "fixed-small" if package.network.out_channels == package.network.in_channels else "learned-range"
    said |= package.diffusion
    process = (
        DiffusionProcess(torch.tensor(said["betas"], dtype=torch.float64))
        if "betas" in said
        else DiffusionProcess.create(said["schedule"], said["timesteps"])
    )
    silent = () if package.diffusion else ("the weights say nothing of their schedule: --timesteps and --schedule do",)
    return Subject(
        str(path),
        _ready(network, package.state, given.device),
        package.state,
        process,
        said["prediction"],
        said["variance"],
        package.clip is not False,
        package.network.num_classes or 0,
        training,
        held_out,
        _beside(path, package, given),
        given.device,
        (*package.notes, *silent, f"images: {data}, {image_set.card['images_sha256']}"),
    )


def _read(path: Path, given: Given) -> Package:
    return read_any(path, null_class=given.null_class, facts=given.facts, entry=given.entry, any_schedule=True)


def _beside(path: Path, package: Package, given: Given) -> Averaging:
    """Raw weights beside averaged ones, as diffusers' trainings and IDDPM's leave them, or as `--other` says."""
    words = " ".join(package.notes)
    kind: Kind = (
        "averaged" if "a moving average of weights" in words else "raw" if ": raw weights" in words else "unknown"
    )
    other = given.other or _neighbour(path)
    if other is None:
        return Averaging(kind)
    theirs = _read(other, given).state
    check_tensors(theirs, {name: tuple(value.shape) for name, value in package.state.items()}, str(other))
    return Averaging(kind, theirs)


def _neighbour(path: Path) -> Path | None:
    if path.is_file() and path.name.startswith("model"):
        return max(path.parent.glob(f"ema_*_{path.stem.removeprefix('model')}.*"), default=None)
    if path.is_file() and path.name.startswith("ema_"):
        return next(iter(sorted(path.parent.glob(f"model{path.stem.rpartition('_')[2]}.*"))), None)
    if (path / "unet" / CONFIG).exists() and (path / "unet_ema" / CONFIG).exists():
        return path / "unet_ema"
    pairs = {"unet": "unet_ema", "unet_ema": "unet"}
    other = path.parent / pairs.get(path.name, "")
    return other if path.name in pairs and (other / CONFIG).exists() else None


def _not_finite(path: Path, entry: str | None) -> dict[str, Tensor]:
    """The tensors of weights that hold NaN or infinity: none where that is not what is wrong with them."""
    found: dict[str, Tensor] = {}
    for file in [path] if path.is_file() else sorted(path.rglob("*.safetensors")):
        try:
            found |= read_foreign(file, entry)
        except UserError:
            return {}
    whole = all(value.is_floating_point() for value in found.values())
    return found if whole and not all(value.isfinite().all() for value in found.values()) else {}


def _lost(path: Path, data: str, state: dict[str, Tensor], given: Given) -> Subject:
    """A subject with no network to ask."""
    training, held_out = _splits(find_images(data, None, None))
    process = DiffusionProcess.create(given.schedule, given.timesteps)
    return Subject(str(path), None, state, process, given.prediction, "fixed-small", True, 0, training, held_out)


def _ready(network: UNet, state: Mapping[str, Tensor], device: str) -> UNet | None:
    if not all(value.isfinite().all() for value in state.values()):
        return None
    network.load_state_dict(dict(state))
    return network.to(device).eval()


def find_images(text: str, channels: int | None, side: int | None) -> ImageSet:
    """The images that `text` names: a data set in data/, a folder or archive of pictures, or an array (its last tenth
    held out; labels, if it is an npz file that has them).
    """
    path = Path(text)
    if not path.exists() and len(path.parts) == 1 and (DATA / text / "card.json").is_file():
        path = DATA / text
    if (path / "card.json").is_file():
        return open_image_set(path)
    if path.suffix.lower() in ARRAY_SUFFIXES and path.is_file():
        source = open_source(path)
        images = source.read(np.arange(source.count))
        labels = _labels(path, len(images))
        held_out = np.arange(len(images)) >= len(images) - len(images) // 10
        names = () if labels is None else tuple(map(str, range(int(labels.max()) + 1)))
        return ImageSet(images, labels, held_out, names, {"name": text, "images_sha256": images_digest(images)})
    if not path.exists():
        known = ", ".join(sorted(card.parent.name for card in DATA.glob("*/card.json"))) or "none"
        raise UserError(f"--data: no images {text!r}; name pictures, an array, or a prepared data set (here: {known})")
    check_pictures(path)
    options = {"path": str(path), "channels": "grey" if channels == 1 else "rgb", "size": side}
    with Progress("images", "picture") as progress:
        return load_source("archive", options, progress=progress)


def _labels(path: Path, count: int) -> np.ndarray | None:
    if path.suffix.lower() != ".npz":
        return None
    if (header := array_headers(path).get("labels")) is None or header[0] != (count,):
        return None
    with np.load(path, allow_pickle=False) as file:
        labels = file["labels"]
    return labels.astype(np.int64) if labels.shape == (count,) and labels.dtype.kind in "iu" and labels.size else None


def _fits(image_set: ImageSet, package: Package, data: str) -> None:
    network = package.network
    wanted = network.in_channels, network.image_size, network.image_size
    if image_set.shape != wanted:
        theirs, ours = ("x".join(map(str, (h, w, c))) for c, h, w in (image_set.shape, wanted))
        raise UserError(f"--data: the images of {data} are {theirs}, the network is for {ours}")
    if network.num_classes and image_set.labels is None and not package.knows_no_class:
        raise UserError(f"--data: the network is told classes, and {data} has none; give pictures in a folder a class")
    if network.num_classes and len(image_set.class_names) > network.num_classes:
        raise UserError(f"--data: {data} has {len(image_set.class_names)} classes, the network {network.num_classes}")


def _splits(image_set: ImageSet) -> tuple[Pictures, Pictures | None]:
    training = Pictures(*image_set.pick("train", MOST))
    if len(training.images) < LEAST:
        raise UserError(f"diagnose: {len(training.images)} training images tell nothing; at least {LEAST} are needed")
    held_out = Pictures(*image_set.pick("held-out", MOST))
    return training, held_out if len(held_out.images) else None
