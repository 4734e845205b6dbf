"""Handwritten digits that ship inside scikit-learn: 1,797 real scans of 8×8 pixels."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rediffuse.data.image_set import ImageSet, make_card
from rediffuse.data.splits import stratified_held_out
from rediffuse.download import OnProgress

HELD_OUT = 360
SMOKE_TRAIN, SMOKE_HELD_OUT = 40, 24

_SOURCE = "scikit-learn's load_digits: the test part of UCI 'Optical Recognition of Handwritten Digits'"
_LICENCE = "CC BY 4.0"
_CITATION = (
    "E. Alpaydin and C. Kaynak, Optical Recognition of Handwritten Digits, UCI Machine Learning Repository, 1998, "
    "https://doi.org/10.24432/C50P49"
)
_TO_UINT8 = "counts 0..16 (dark pixels of a 4x4 block) to uint8 as floor(count * 255 / 16 + 1/2); invertible"


@dataclass(frozen=True)
class DigitsOptions:
    """The digits take no options."""


def digits(
    options: DigitsOptions | None = None,
    download_dir: Path | None = None,
    progress: OnProgress | None = None,
) -> ImageSet:
    """All 1,797 digits, 1×8×8, with a fixed stratified split that holds out 360."""
    images, labels = _scans()
    held_out = stratified_held_out(labels, HELD_OUT, "digits")
    split = f"{HELD_OUT} held out, stratified by class, fixed"
    return _image_set("digits", "Handwritten digits, 8x8", images, labels, held_out, [_TO_UINT8, split])


def smoke(
    options: DigitsOptions | None = None,
    download_dir: Path | None = None,
    progress: OnProgress | None = None,
) -> ImageSet:
    """64 of the digits, for tests: 40 to train on (4 a class) and 24 held out, each from the same part of `digits`."""
    images, labels = _scans()
    held_out = stratified_held_out(labels, HELD_OUT, "digits")
    train = _spread_over_classes(labels, np.flatnonzero(~held_out), SMOKE_TRAIN)
    kept_out = _spread_over_classes(labels, np.flatnonzero(held_out), SMOKE_HELD_OUT)
    chosen = np.sort(np.concatenate([train, kept_out]))
    subset = f"the first {SMOKE_TRAIN} training and {SMOKE_HELD_OUT} held-out digits, class by class in turn"
    return _image_set(
        "smoke",
        "A few handwritten digits, 8x8",
        images[chosen],
        labels[chosen],
        held_out[chosen],
        [_TO_UINT8, subset],
    )


def _scans() -> tuple[np.ndarray, np.ndarray]:
    from sklearn.datasets import load_digits

    bunch = load_digits()
    counts = bunch.images.astype(np.int64)
    images = ((counts * 255 + 8) // 16).astype(np.uint8)[:, None]
    return images, bunch.target.astype(np.int64)


def _spread_over_classes(labels: np.ndarray, candidates: np.ndarray, count: int) -> np.ndarray:
    """The first `count` candidates when the classes take turns: 0, 1, ..., 9, 0, 1, ..."""
    seen: dict[int, int] = {}
    turns = []
    for position, index in enumerate(candidates):
        label = int(labels[index])
        turns.append((seen.get(label, 0), label, position))
        seen[label] = seen.get(label, 0) + 1
    return candidates[[position for _, _, position in sorted(turns)[:count]]]


def _image_set(
    name: str, title: str, images: np.ndarray, labels: np.ndarray, held_out: np.ndarray, preprocessing: list[str]
) -> ImageSet:
    card = make_card(
        name,
        title=title,
        source=_SOURCE,
        licence=_LICENCE,
        citation=_CITATION,
        preprocessing=preprocessing,
        images=images,
        held_out=held_out,
    )
    return ImageSet(images, labels, held_out, tuple("0123456789"), card)
