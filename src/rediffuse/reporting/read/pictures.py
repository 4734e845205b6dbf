"""Images and records that lie beside the frames: real images, samples, previews, and what single stages wrote of a run."""

from typing import Any

import numpy as np

from rediffuse.config import ResolvedRun
from rediffuse.errors import UserError
from rediffuse.reporting.read.frames import Frames
from rediffuse.reporting.read.records import read_json
from rediffuse.runs import facts


def held_out_images(frames: Frames, count: int) -> np.ndarray | None:
    """`count` held-out real images spread over the split, uint8 [N, C, H, W]; None when the data are not there."""
    folder = frames.root / frames.plan.find("prepare").folder
    try:
        images = np.load(folder / "images.npy", mmap_mode="r", allow_pickle=False)
        held_out = np.flatnonzero(np.load(folder / "held_out.npy", allow_pickle=False))
    except (FileNotFoundError, ValueError):
        return None
    # Held-out images may lie sorted by class: evenly spaced ones show all of them.
    chosen = held_out[np.arange(min(count, len(held_out))) * len(held_out) // max(1, min(count, len(held_out)))]
    return np.ascontiguousarray(images[chosen]) if len(chosen) else None


def sample_images(frames: Frames, run: str, seed: int, setting: str, count: int) -> np.ndarray | None:
    """The first `count` samples of a setting, uint8 [N, C, H, W]; None when it was not sampled."""
    path = frames.root / facts.folder(frames.loaded.run(run), seed) / "samples" / f"{setting}.npz"
    try:
        with np.load(path, allow_pickle=False) as file:
            return np.ascontiguousarray(file["images"][:count])
    except (FileNotFoundError, ValueError, KeyError, OSError):
        return None


def restoration_record(frames: Frames, run: ResolvedRun, seed: int) -> tuple[dict[str, Any], str] | None:
    """What restoration/psnr.json of a run says and its path; None when there is none."""
    path = facts.folder(run, seed) / "restoration" / "psnr.json"
    record = read_json(frames.root / path)
    return None if record is None else (record, str(path))


def classifier_record(frames: Frames, run: ResolvedRun, seed: int) -> tuple[dict[str, Any], str] | None:
    """What classifier/accuracy.json of a run says and its path; None when there is none."""
    path = facts.folder(run, seed) / "classifier" / "accuracy.json"
    record = read_json(frames.root / path)
    return None if record is None else (record, str(path))


def examination_record(frames: Frames, model: ResolvedRun, seed: int) -> tuple[dict[str, Any], str] | None:
    """What examination/examination.json of a run or one-pass model says and its path; None when there is none."""
    path = facts.folder(model, seed) / "examination" / "examination.json"
    record = read_json(frames.root / path)
    if record is not None and not {"memorisation", "duplicates", "neighbours", "by_count"} <= set(record):
        raise UserError(f"{path}: is not an examination; remove it and run `dvc repro`")
    return None if record is None else (record, str(path))


def training_record(frames: Frames, run: ResolvedRun, seed: int) -> tuple[dict[str, Any], str] | None:
    """What during-training/scores.json says of samples drawn during training, and its path; None when there is none."""
    path = facts.folder(run, seed) / "during-training" / "scores.json"
    record = read_json(frames.root / path)
    if record is not None and not {"n", "steps", "held_out", "rows"} <= set(record):
        raise UserError(f"{path}: holds no scores of a training; remove it and run `dvc repro`")
    return None if record is None else (record, str(path))


def images_at(frames: Frames, positions: list[int]) -> np.ndarray | None:
    """Real images by their positions in images.npy, uint8 [N, C, H, W]; None when the data are not there."""
    try:
        images = np.load(
            frames.root / frames.plan.find("prepare").folder / "images.npy", mmap_mode="r", allow_pickle=False
        )
        return np.ascontiguousarray(images[positions])
    except (FileNotFoundError, ValueError, IndexError):
        return None


def restoration_images(frames: Frames, run: ResolvedRun) -> dict[str, np.ndarray] | None:
    """The pictures of restoration/images.npz of a run's first seed; None when there are none."""
    path = frames.root / facts.folder(run, run.seeds[0]) / "restoration" / "images.npz"
    try:
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except (FileNotFoundError, ValueError, OSError):
        return None


def preview_image(frames: Frames, run: str, seed: int, step: int) -> np.ndarray | None:
    """The grid of samples drawn after a training step, uint8 [H, W, 3]; None when there is none."""
    from PIL import Image, UnidentifiedImageError

    path = frames.root / facts.folder(frames.loaded.run(run), seed) / "previews" / f"step-{step:06d}.png"
    try:
        with Image.open(path) as image:
            return np.asarray(image.convert("RGB"))
    except (FileNotFoundError, UnidentifiedImageError):
        return None
