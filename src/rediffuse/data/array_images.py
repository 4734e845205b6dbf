"""Images in an array on disk: which array, which axis is which, and floats to pixels. What is ambiguous is refused."""

import math
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from rediffuse.errors import UserError
from rediffuse.files import kind_of_file

#: Smallest and largest value of an array: black and white.
Span = tuple[float, float]
_CHUNK = 1024
# Names under which an npz file may hold its images: ours, then those of other projects' sample files.
_NAMES = ("images", "samples", "arr_0")
_LABELS = ("labels", "label", "y", "classes", "arr_1")
# Rounding may push an image in [0, 1] or [-1, 1] this far beyond it.
_SLACK = 1e-6
# Images in [-1, 1] have something darker than this: a minimum between it and 0 may be an overshoot of [0, 1], or that
# of [-0.5, 0.5].
_DARK = -0.6
# Images in [0, 1] have something brighter than this: what has not was divided by 255 twice, or is all but black.
_BLACK = 1.5 / 255
# With a stated range, values this part of it beyond are clipped; more is another range.
_BEYOND = 0.25
_PICKLED = (
    "it holds Python objects (a pickle), which are never loaded: save images as one uint8 array, statistics by "
    "np.savez(path, mu=..., sigma=...)"
)


@dataclass(frozen=True, eq=False)
class ArrayImages:
    """count images, the conversions they go through in words, and how to read those at positions int64 [B]."""

    count: int
    conversions: tuple[str, ...]
    read: Callable[[np.ndarray], np.ndarray]


def open_array(path: Path, span: Span | None = None) -> ArrayImages:
    """Images of a .npy file (mapped, not read into memory) or of one array of a .npz file.

    [N, H, W], [N, H, W, C] or [N, C, H, W] with C = 1 or 3; uint8, or floats in [0, 1] (× 255) or [−1, 1]
    ((x + 1) × 127.5), rounded. span: the floats that are black and white, where they do not tell or are others; what
    lies a little beyond is clipped. NaN, other ranges, other types and what may be read in two ways raise UserError.
    """
    array, what, beside = _load(path)
    if array.ndim not in (3, 4) or 0 in array.shape[1:]:
        raise UserError(f"{what} has shape {array.shape}: images are [N, H, W], [N, H, W, C] or [N, C, H, W]")
    if len(array) == 0:
        raise UserError(f"{what} holds no images")
    to_pixels, conversion = _conversion(array, what, span)
    arrange, layout = _layout(array.shape, what)

    def read(positions: np.ndarray) -> np.ndarray:
        return np.ascontiguousarray(arrange(to_pixels(array[positions])))

    return ArrayImages(len(array), (layout, *conversion, *beside), read)


def _pickled(damage: Exception) -> bool:
    return "bject" in str(damage)  # as NumPy words it: "Object arrays", "Python objects in dtype"


def array_names(path: Path) -> list[str]:
    """The names of the arrays in an npz file. Raises UserError if it is none."""
    try:
        with np.load(path, allow_pickle=False) as file:
            return list(file.files)
    except Exception as damage:  # what readers of a damaged file raise has no common type
        raise UserError(f"{path} is not an npz file: {kind_of_file(path) or damage}") from None


def _load(path: Path) -> tuple[np.ndarray, str, tuple[str, ...]]:
    """An array of images, what to call it, and in words what lies beside it."""
    if path.suffix.lower() == ".npy":
        try:
            array = np.lib.format.open_memmap(path, mode="r")
            if (more := path.stat().st_size - array.offset - array.nbytes) > 0:
                raise UserError(
                    f"{path} holds {more} bytes after its array, as of a second one: give each its own file"
                )
            return array, str(path), ()
        except UserError:
            raise
        except Exception as damage:
            reason = kind_of_file(path) if "magic" in str(damage) else None
            raise UserError(
                f"{path} is not an array of numbers: {reason or _PICKLED * _pickled(damage) or damage}"
            ) from None
    headers = array_headers(path)
    shapes = {name: shape for name, (shape, _) in headers.items()}
    name = next((name for name in _NAMES if name in shapes), next(iter(shapes)) if len(shapes) == 1 else None)
    others = [other for other, shape in shapes.items() if other != name and len(shape) in (3, 4)]
    if name is None or (others and name != "images"):
        held = ", ".join(f"{name} {list(shape)}" for name, shape in shapes.items()) or "nothing"
        raise UserError(
            f"{path} holds {held[:120]}: call the array of images 'images', or keep it alone in the file; statistics "
            "are 'mu' and 'sigma'"
        )
    for label in _LABELS:
        shape, dtype = headers.get(label, ((), None))
        if dtype is not None and dtype.kind in "iu" and len(shape) == 1 and shape != shapes[name][:1]:
            raise UserError(
                f"{path} holds {shapes[name][0]} images and {shape[0]} {label}: they do not belong together"
            )
    check_room(path, {name: headers[name]})
    try:
        with np.load(path, allow_pickle=False) as file:
            array = file[name]
    except Exception as damage:
        raise UserError(f"{name!r} of {path} cannot be read: {_PICKLED * _pickled(damage) or damage}") from None
    return array, f"{name!r} of {path}", (f"passed over beside {name}: {', '.join(others)}",) if others else ()


def array_headers(path: Path) -> dict[str, tuple[tuple[int, ...], np.dtype[Any]]]:
    """Shape and type of each array of an npz file, by its name; no array is read."""
    names, found = array_names(path), {}
    try:
        with zipfile.ZipFile(path) as archive:
            if len(set(archive.namelist())) < len(archive.namelist()):
                raise UserError(f"{path} holds two arrays of one name: make it again with each once")
            for name in names:
                if f"{name}.npy" in archive.namelist():
                    with archive.open(f"{name}.npy") as stream:
                        first = np.lib.format.read_magic(stream) == (1, 0)
                        read = np.lib.format.read_array_header_1_0 if first else np.lib.format.read_array_header_2_0
                        shape, _, dtype = read(stream)
                        found[name] = shape, dtype
    except UserError:
        raise
    except Exception as damage:
        raise UserError(f"{path} is damaged: {damage}") from None
    return found


def check_room(path: Path, headers: dict[str, tuple[tuple[int, ...], np.dtype[Any]]]) -> None:
    """Raise UserError where arrays of a file would fill the memory, as a few bytes may:
    zeros compress a thousandfold.
    """
    needed = sum(math.prod(shape) * dtype.itemsize for shape, dtype in headers.values())
    if needed > (free := psutil.virtual_memory().available):
        raise UserError(
            f"{path} unpacks to {needed / 2**30:,.1f} GiB, and {free / 2**30:,.1f} GiB of memory are free: "
            "give parts of it"
        )


def _layout(shape: tuple[int, ...], what: str) -> tuple[Callable[[np.ndarray], np.ndarray], str]:
    """How to bring a batch to [B, C, H, W], and that in words."""
    if len(shape) == 3:
        if shape[0] in (1, 3) or shape[2] in (1, 3):
            raise UserError(
                f"{what} has shape {shape}, which may be one image or {shape[0]} grey ones: give all four axes "
                "[N, H, W, C]"
            )
        return lambda batch: batch[:, None], "read as [N, H, W], grey"
    first, last = shape[1] in (1, 3), shape[3] in (1, 3)
    if first and last:
        raise UserError(f"{what} has shape {shape}, in which channels may come first or last: drop or move an axis")
    if first:
        return lambda batch: batch, "read as [N, C, H, W]"
    if last:
        return lambda batch: batch.transpose(0, 3, 1, 2), "read as [N, H, W, C]"
    raise UserError(f"{what} has shape {shape}: images have 1 or 3 channels, first or last (drop transparency)")


def _conversion(
    array: np.ndarray, what: str, span: Span | None
) -> tuple[Callable[[np.ndarray], np.ndarray], tuple[str, ...]]:
    """How to bring values to uint8, and that in words."""
    if array.dtype == np.uint8:
        return np.asarray, ()
    if array.dtype.kind != "f":
        raise UserError(f"{what} is {array.dtype}: give uint8, or floats in [0, 1] or [-1, 1]")
    low, high = _range(array, what)
    found = f"{what} has values from {low:g} to {high:g}"
    if span is not None:
        return _stated(array.dtype, found, low, high, span)
    if low < -1 - _SLACK or high > 1 + _SLACK:
        raise UserError(f"{found}: give uint8, or floats in [0, 1] or [-1, 1], or say their --range")
    if _DARK < low < -_SLACK:
        raise UserError(f"{found}: [0, 1] with an overshoot, or [-1, 1]? Say which by --range")
    if low < 0 and high <= 0:
        raise UserError(f"{found}: [-1, 0], or [-1, 1] of dark images? Say which by --range")
    if 0 < high < _BLACK:
        raise UserError(f"{found}: all but black in [0, 1], or divided by 255 twice? Say their --range")
    if low >= -_SLACK:
        return _scaled((0.0, 1.0)), (f"{array.dtype} in [0, 1] to uint8: round(255 x)",)
    return _scaled((-1.0, 1.0)), (f"{array.dtype} in [-1, 1] to uint8: round(127.5 (x + 1))",)


def _stated(
    dtype: np.dtype[Any], found: str, low: float, high: float, span: Span
) -> tuple[Callable[[np.ndarray], np.ndarray], tuple[str, ...]]:
    black, white = span
    beyond = max(black - low, high - white) / (white - black)
    if beyond > _BEYOND:
        raise UserError(f"{found}, which the range [{black:g}, {white:g}] does not hold")
    clipped = f", values from {low:g} to {high:g} clipped" if beyond > _SLACK else ""
    words = f"{dtype} in [{black:g}, {white:g}] to uint8: round(255 (x - {black:g}) / {white - black:g}){clipped}"
    return _scaled(span), (words,)


def _scaled(span: Span) -> Callable[[np.ndarray], np.ndarray]:
    black, white = span

    def convert(batch: np.ndarray) -> np.ndarray:
        values: np.ndarray[Any, np.dtype[np.float64]] = np.asarray(batch, dtype=np.float64)
        return np.clip(np.rint((values - black) * (255 / (white - black))), 0, 255).astype(np.uint8)

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
