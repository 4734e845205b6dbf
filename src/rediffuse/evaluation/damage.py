"""Known damage to images, each in rising degrees: what a metric makes of it says what the metric can tell.

Each is a function of images uint8 [N, C, H, W], the amount, randomness and labels int64 [N] (or None) → uint8.
"""

from collections.abc import Callable
from typing import NamedTuple, TypeAlias

import numpy as np
import scipy.ndimage

Random: TypeAlias = np.random.Generator
Labels: TypeAlias = np.ndarray | None


class Degree(NamedTuple):
    """One degree of a kind of damage."""

    kind: str
    degree: str
    damage: Callable[[np.ndarray, float, Random, Labels], np.ndarray]
    amount: float

    def of(self, images: np.ndarray, random: Random, labels: Labels) -> np.ndarray:
        """The images, damaged."""
        return self.damage(images, self.amount, random, labels)


def noised(images: np.ndarray, sigma: float, random: Random, labels: Labels = None) -> np.ndarray:
    """Gaussian noise of standard deviation `sigma`, in levels of 255."""
    return _levels(images + random.normal(0, sigma, images.shape))


def blurred(images: np.ndarray, sigma: float, random: Random | None = None, labels: Labels = None) -> np.ndarray:
    """A Gaussian blur of standard deviation `sigma` pixels, the borders mirrored."""
    return _levels(scipy.ndimage.gaussian_filter(images.astype(np.float64), (0, 0, sigma, sigma), mode="reflect"))


def mixed(images: np.ndarray, share: float, random: Random, labels: Labels = None) -> np.ndarray:
    """A share of the images, drawn at random, replaced by uniform noise."""
    images = images.copy()
    chosen = random.permutation(len(images))[: round(share * len(images))]
    images[chosen] = random.integers(0, 256, (len(chosen), *images.shape[1:]), dtype=np.uint8)
    return images


def repeated(images: np.ndarray, times: float, random: Random | None = None, labels: Labels = None) -> np.ndarray:
    """The first of every `times` images in a row, in place of all of them."""
    return images[np.arange(len(images)) // int(times) * int(times)]


def without_classes(images: np.ndarray, left: float, random: Random | None, labels: Labels) -> np.ndarray:
    """The images of the first `left` classes alone: fewer images."""
    assert labels is not None
    return images[labels < left]


def _levels(values: np.ndarray) -> np.ndarray:
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)


def degrees(classes: int) -> list[Degree]:
    """Every kind in rising degrees; classes: how many there are, 0 for images that have none."""
    found = [Degree("noise", f"σ = {sigma}", noised, sigma) for sigma in (8, 16, 32, 64)]
    found += [Degree("blur", f"σ = {sigma:g} pixels", blurred, sigma) for sigma in (0.5, 0.8, 1.2, 2.0)]
    found += [Degree("mixture", f"{share:.0%} noise", mixed, share) for share in (0.1, 0.3, 0.6)]
    found += [Degree("copies", f"each {times} times", repeated, times) for times in (2, 5, 20)]
    for left in dict.fromkeys((classes * 7 // 10, classes * 4 // 10)):
        if 0 < left < classes:
            found.append(Degree("missing classes", f"{left} of {classes} left", without_classes, left))
    return found
