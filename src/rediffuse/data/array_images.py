"""Images in an array on disk: which axis is which, and floats to pixels."""

import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from rediffuse.errors import UserError

_CHUNK = 1024
# Names under which an npz file may hold its images: ours, then those of other projects' sample files.
_NAMES = ("images", "samples", "arr_0")
# Rounding may push an image in [0, 1] or [-1, 1] this far beyond it.
_SLACK = 1e-6


@dataclass(frozen=True, eq=False)
class ArrayImages:
    """count images, the conversions they go through in words, and how to read those at positions int64 [B]."""

    count: int
    conversions: tuple[str, ...]
    read: Callable[[np.ndarray], np.ndarray]


def open_array(path: Path) -> ArrayImages:
    """Images of a .npy file (mapped, not read into memory) or of one array of a .npz file.

    [N, H, W], [N, H, W, C] or [N, C, H, W] with C = 1 or 3; uint8, or floats in [0, 1] (× 255) or [−1, 1]
    ((x + 1) × 127.5), rounded. NaN, other ranges and other types raise UserError.
    """
    array, what = _load(path)
    if array.ndim not in (3, 4) or 0 in array.shape[1:]:
        raise UserError(f"{what} has shape {array.shape}: images are [N, H, W], [N, H, W, C] or [N, C, H, W]")
    if len(array) == 0:
        raise UserError(f"{what} holds no images")
    arrange, layout = _layout(array.shape, what)
    to_pixels, conversion = _conversion(array, what)

    def read(positions: np.ndarray) -> np.ndarray:
        return np.ascontiguousarray(arrange(to_pixels(array[positions])))

    return ArrayImages(len(array), (layout, *conversion), read)


def array_names(path: Path) -> list[str]:
    """The names of the arrays in an npz file. Raises UserError if it is none."""
    try:
        with np.load(path, allow_pickle=False) as file:
            return list(file.files)
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, AttributeError, TypeError) as damage:
        raise UserError(f"{path} is not an npz file: {damage}") from None


def _load(path: Path) -> tuple[np.ndarray, str]:
    if path.suffix.lower() == ".npy":
        try:
            return np.lib.format.open_memmap(path, mode="r"), str(path)
        except (OSError, ValueError, EOFError) as damage:
            raise UserError(f"{path} is not an array of numbers: {damage}") from None
    names = array_names(path)
    name = next((name for name in _NAMES if name in names), names[0] if len(names) == 1 else None)
    if name is None:
        held = ", ".join(names) or "nothing"
        raise UserError(f"{path} holds {held}: call the array of images 'images', or keep it alone in the file")
    try:
        with np.load(path, allow_pickle=False) as file:
            return file[name], f"{name!r} of {path}"
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as damage:
        raise UserError(f"{path} is damaged: {damage}") from None


def _layout(shape: tuple[int, ...], what: str) -> tuple[Callable[[np.ndarray], np.ndarray], str]:
    """How to bring a batch to [B, C, H, W], and that in words."""
    if len(shape) == 3:
        return lambda batch: batch[:, None], "read as [N, H, W], grey"
    first, last = shape[1] in (1, 3), shape[3] in (1, 3)
    if first and last:
        raise UserError(f"{what} has shape {shape}, in which channels may come first or last: drop or move an axis")
    if first:
        return lambda batch: batch, "read as [N, C, H, W]"
    if last:
        return lambda batch: batch.transpose(0, 3, 1, 2), "read as [N, H, W, C]"
    raise UserError(f"{what} has shape {shape}: images have 1 or 3 channels, first or last (drop transparency)")


def _conversion(array: np.ndarray, what: str) -> tuple[Callable[[np.ndarray], np.ndarray], tuple[str, ...]]:
    """How to bring values to uint8, and that in words."""
    if array.dtype == np.uint8:
        return np.asarray, ()
    if array.dtype.kind != "f":
        raise UserError(f"{what} is {array.dtype}: give uint8, or floats in [0, 1] or [-1, 1]")
    low, high = _range(array, what)
    if low < -1 - _SLACK or high > 1 + _SLACK:
        raise UserError(
            f"{what} has values from {low:g} to {high:g}: give uint8, or floats in [0, 1] or [-1, 1] (clip them first)"
        )
    if low >= -_SLACK:
        return _scaled(0.0, 255.0), (f"{array.dtype} in [0, 1] to uint8: round(255 x)",)
    return _scaled(1.0, 127.5), (f"{array.dtype} in [-1, 1] to uint8: round(127.5 (x + 1))",)


def _scaled(shift: float, scale: float) -> Callable[[np.ndarray], np.ndarray]:
    def convert(batch: np.ndarray) -> np.ndarray:
        values: np.ndarray[Any, np.dtype[np.float64]] = (np.asarray(batch, dtype=np.float64) + shift) * scale
        return np.clip(np.rint(values), 0, 255).astype(np.uint8)

    return convert


def _range(array: np.ndarray, what: str) -> tuple[float, float]:
    """Smallest and largest value, read chunk by chunk; NaN and infinity are refused, naming the image."""
    low, high = np.inf, -np.inf
    for start in range(0, len(array), _CHUNK):
        chunk = np.asarray(array[start : start + _CHUNK])
        finite = np.isfinite(chunk).reshape(len(chunk), -1).all(1)
        if not finite.all():
            raise UserError(f"{what} holds NaN or infinity, first in image {start + int(np.argmin(finite))} (from 0)")
        low, high = min(low, float(chunk.min())), max(high, float(chunk.max()))
    return low, high
