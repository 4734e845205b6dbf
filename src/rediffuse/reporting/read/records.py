"""What lies beside the frames: real images, samples, previews, and the records that single stages wrote of a run."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from rediffuse.config import ResolvedRun
from rediffuse.errors import UserError
from rediffuse.reporting.read.files import Parameters, read_json, read_parameters
from rediffuse.reporting.read.frames import Frames
from rediffuse.reporting.terms import every_run, seeds_of
from rediffuse.reporting.values import NOT_RECORDED, Value
from rediffuse.runs import facts


class Found(NamedTuple):
    """What a stage wrote of a run and seed, and where."""

    run: ResolvedRun
    seed: int
    record: dict[str, Any]
    file: str


def records(frames: Frames, name: str, *keys: str) -> Iterator[Found]:
    """Every record `name` (its path in a run's folder) of the main runs in order; UserError where it lacks a key."""
    for run, seed in seeds_of(every_run(frames.loaded)):
        path = facts.folder(run, seed) / name
        record = read_json(frames.root / path)
        if record is None:
            continue
        if not set(keys) <= set(record):
            raise UserError(f"{path}: lacks {', '.join(sorted(set(keys) - set(record)))}; run `dvc repro`")
        yield Found(run, seed, record, str(path))


def examined(frames: Frames) -> list[Found]:
    """Everything that was examined."""
    keys = ("memorisation", "duplicates", "neighbours", "by_count", "classes", "by_class", "setting")
    return list(records(frames, "examination/examination.json", *keys))


def data_folder(frames: Frames) -> Path:
    """Folder of the study's data set."""
    return frames.root / "data" / frames.loaded.study.data.name


def held_out_images(frames: Frames, count: int) -> np.ndarray | None:
    """`count` held-out real images spread over the split, uint8 [N, C, H, W]; None when the data are not there."""
    folder = data_folder(frames)
    try:
        images = np.load(folder / "images.npy", mmap_mode="r", allow_pickle=False)
        held_out = np.flatnonzero(np.load(folder / "held_out.npy", allow_pickle=False))
    except (FileNotFoundError, ValueError):
        return None
    # Held-out images may lie sorted by class: evenly spaced ones show all of them.
    chosen = held_out[np.arange(min(count, len(held_out))) * len(held_out) // max(1, min(count, len(held_out)))]
    return np.ascontiguousarray(images[chosen]) if len(chosen) else None


def sample_images(frames: Frames, run: ResolvedRun, setting: str, count: int) -> np.ndarray | None:
    """The first `count` samples of a run's first seed, uint8 [N, C, H, W]; None when there are none."""
    found = _arrays(frames, run, f"samples/{setting}.npz", "images")
    return None if found is None else np.ascontiguousarray(found["images"][:count])


def images_at(frames: Frames, positions: list[int]) -> np.ndarray | None:
    """Real images by their positions in images.npy, uint8 [N, C, H, W]; None when the data are not there."""
    try:
        images = np.load(data_folder(frames) / "images.npy", mmap_mode="r", allow_pickle=False)
        return np.ascontiguousarray(images[positions])
    except (FileNotFoundError, ValueError, IndexError):
        return None


def restoration_images(frames: Frames, run: ResolvedRun) -> dict[str, np.ndarray] | None:
    """The pictures of restoration/images.npz of a run's first seed; None when there are none."""
    return _arrays(frames, run, "restoration/images.npz")


def trajectory_images(frames: Frames, run: ResolvedRun) -> dict[str, np.ndarray] | None:
    """Estimates of x0 along the steps, by sampler, of a run's first seed: uint8 [points, N, C, H, W]."""
    return _arrays(frames, run, "trajectory/images.npz")


def mistaken_images(frames: Frames, run: ResolvedRun) -> dict[str, np.ndarray] | None:
    """The pictures of corrections/images.npz of a run's first seed; None when there are none."""
    return _arrays(frames, run, "corrections/images.npz")


def _arrays(frames: Frames, run: ResolvedRun, name: str, *wanted: str) -> dict[str, np.ndarray] | None:
    path = frames.root / facts.folder(run, run.seeds[0]) / name
    try:
        with np.load(path, allow_pickle=False) as file:
            return {key: file[key] for key in wanted or file.files}
    except (FileNotFoundError, ValueError, KeyError, OSError):
        return None


def preview_image(frames: Frames, run: ResolvedRun, step: int) -> np.ndarray | None:
    """The grid of samples drawn after a training step of the first seed, uint8 [H, W, 3]; None when there is none."""
    from PIL import Image, UnidentifiedImageError

    path = frames.root / facts.folder(run, run.seeds[0]) / "previews" / f"step-{step:06d}.png"
    try:
        with Image.open(path) as image:
            return np.asarray(image.convert("RGB"))
    except (FileNotFoundError, UnidentifiedImageError):
        return None


def parameters(frames: Frames, run: ResolvedRun) -> Parameters | None:
    """The parameters of a run, as the training of its first seed wrote them down."""
    return read_parameters(frames.root / facts.folder(run, run.seeds[0]) / "run.yaml")


def parameter_count(frames: Frames, run: ResolvedRun) -> Value:
    """The number of parameters that make an image, as a table shows it."""
    found = parameters(frames, run)
    return NOT_RECORDED if found is None else found.makes_images
