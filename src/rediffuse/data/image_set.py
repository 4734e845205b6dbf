"""A data set in memory and its form on disk."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from rediffuse.errors import UserError
from rediffuse.files import atomic_path
from rediffuse.formats import write_json


@dataclass(frozen=True, eq=False)
class ImageSet:
    """Images of one size, their classes, and which of them are held out from training.

    images: uint8 [N, C, H, W]; labels: int64 [N] indexing `class_names`, or None; held_out: bool [N], True for images
    that no model may be trained on; card: where the images come from and what was done to them (see `make_card`).
    """

    images: np.ndarray
    labels: np.ndarray | None
    held_out: np.ndarray
    class_names: tuple[str, ...]
    card: dict[str, Any]

    def __post_init__(self) -> None:
        if self.images.ndim != 4 or self.images.dtype != np.uint8:
            raise ValueError(f"images must be uint8 [N, C, H, W], not {self.images.dtype} {self.images.shape}")
        count = len(self.images)
        if self.held_out.shape != (count,) or self.held_out.dtype != np.bool_:
            raise ValueError(f"held_out must be bool [{count}], not {self.held_out.dtype} {self.held_out.shape}")
        if self.labels is not None:
            if self.labels.shape != (count,) or self.labels.dtype != np.int64:
                raise ValueError(f"labels must be int64 [{count}], not {self.labels.dtype} {self.labels.shape}")
            if count and not 0 <= self.labels.min() <= self.labels.max() < len(self.class_names):
                raise ValueError(f"labels must lie in 0..{len(self.class_names) - 1}")

    def __len__(self) -> int:
        return len(self.images)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, height and width of one image."""
        _, channels, height, width = self.images.shape
        return channels, height, width

    def indices(self, split: str) -> np.ndarray:
        """Positions (int64) of the images of `split`: "train", "held-out" or "all"."""
        if split == "train":
            return np.flatnonzero(~self.held_out)
        if split == "held-out":
            return np.flatnonzero(self.held_out)
        if split == "all":
            return np.arange(len(self))
        raise UserError(f"no split named {split!r}: it is one of train, held-out, all")

    def split(self, split: str) -> tuple[np.ndarray, np.ndarray | None]:
        """Images and labels (or None) of `split`, copied into memory."""
        chosen = self.indices(split)
        return self.images[chosen], None if self.labels is None else self.labels[chosen]

    def pick(self, split: str, count: int, order: int = 0) -> tuple[np.ndarray, np.ndarray | None]:
        """The first `count` images of `split`, and their labels, in the shuffle number `order`, always the same one."""
        chosen = np.random.Generator(np.random.PCG64(order)).permutation(self.indices(split))[:count]
        return self.images[chosen], None if self.labels is None else self.labels[chosen]


def images_digest(images: np.ndarray) -> str:
    """Hexadecimal SHA-256 of the shape and the pixels, the same for an array in memory and one on disk."""
    running = hashlib.sha256(f"{images.dtype.str}{tuple(images.shape)}".encode())
    for start in range(0, len(images), 1024):
        running.update(np.ascontiguousarray(images[start : start + 1024]).data)
    return running.hexdigest()


def make_card(
    name: str,
    *,
    title: str,
    source: str,
    licence: str,
    citation: str,
    preprocessing: list[str],
    images: np.ndarray,
    held_out: np.ndarray,
) -> dict[str, Any]:
    """The card of a data set: what it is, whose it is, what was done to it, how much of it there is."""
    count, channels, height, width = images.shape
    return {
        "name": name,
        "title": title,
        "source": source,
        "licence": licence,
        "citation": citation,
        "preprocessing": preprocessing,
        "images": count,
        "train": int(count - held_out.sum()),
        "held_out": int(held_out.sum()),
        "channels": channels,
        "height": height,
        "width": width,
        "images_sha256": images_digest(images),
    }


def save_image_set(folder: str | Path, image_set: ImageSet) -> None:
    """Write images.npy, labels.npy (empty if there are none), held_out.npy and, last, card.json into `folder`."""
    folder = Path(folder)
    _save_array(folder / "images.npy", image_set.images)
    _save_array(folder / "labels.npy", np.empty(0, np.int64) if image_set.labels is None else image_set.labels)
    _save_array(folder / "held_out.npy", image_set.held_out)
    write_json(folder / "card.json", {**image_set.card, "class_names": list(image_set.class_names)})


def open_image_set(folder: str | Path, *, verify: bool = False) -> ImageSet:
    """Open what `save_image_set` wrote; the images are mapped from disk, not read.

    `verify` reads them once and compares them with the digest on the card. A folder that is missing, incomplete or
    altered raises a `UserError` that names the command to run.
    """
    folder = Path(folder)
    again = "run `rediffuse prepare` to make it again"
    try:
        card = json.loads((folder / "card.json").read_text(encoding="utf-8"))
        class_names = tuple(card.pop("class_names"))
        images = np.load(folder / "images.npy", mmap_mode="r", allow_pickle=False)
        held_out = np.load(folder / "held_out.npy", allow_pickle=False)
        labels = np.load(folder / "labels.npy", allow_pickle=False) if class_names else None
        image_set = ImageSet(images, labels, held_out, class_names, card)
        expected = card["images_sha256"]
        if len(images) != card["images"]:
            raise ValueError(f"images.npy holds {len(images)} images, the card says {card['images']}")
        if verify and images_digest(images) != expected:
            raise ValueError("images.npy does not match the digest on its card")
    except FileNotFoundError as missing:
        name = Path(missing.filename).name if missing.filename else "a file"
        raise UserError(f"{folder} holds no prepared data set ({name} is missing): {again}") from None
    except (ValueError, KeyError, TypeError, EOFError) as damage:
        raise UserError(f"{folder} is damaged ({damage}): {again}") from None
    return image_set


def _save_array(path: Path, array: np.ndarray) -> None:
    with atomic_path(path) as temporary:
        np.save(temporary, array, allow_pickle=False)
