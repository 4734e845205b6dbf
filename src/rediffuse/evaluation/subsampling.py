"""Uncertainty of a statistic of one set of images that cannot be cut into groups without changing what it measures.

The statistic is computed again on random halves of the images, drawn without replacement (subsampling; Politis &
Romano 1994). For statistics that are smooth means over images, the variance over halves of N images is that of the
statistic of N itself: (1/m − 1/N) σ² = σ²/N at m = N/2 (the delete-half jackknife, Shao & Wu 1989). Unlike a bootstrap
with replacement it shows the statistic no image twice, which a distance between distributions or neighbours would
take for copies.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import scipy.special

from rediffuse.errors import UserError
from rediffuse.evaluation.intervals import CONFIDENCE


@dataclass(frozen=True)
class Subsampled:
    """A statistic of N images and its interval, which is centred on it and so holds it.

    std: standard deviation over the halves, the standard error of `value`. halves: the statistic of each.
    """

    value: float
    low: float
    high: float
    std: float
    halves: tuple[float, ...]
    n: int
    interval: str


def subsampled(
    statistic: Callable[[np.ndarray], float],
    count: int,
    *,
    repeats: int = 40,
    seed: int = 0,
    confidence: float = CONFIDENCE,
) -> Subsampled:
    """`statistic(positions)` of all of `count` images, with its interval from `repeats` random halves.

    `positions` is an int64 array of images to use. The statistic should hardly depend on how many there are: a Fréchet
    distance does and belongs in `extrapolation`. Raises UserError for fewer than 4 images or 2 repeats.
    """
    if count < 4 or repeats < 2:
        raise UserError(f"subsampling needs at least 4 images and 2 repeats, not {count} and {repeats}")
    if not 0 < confidence < 1:
        raise UserError(f"confidence must lie between 0 and 1, not {confidence}")
    random = np.random.default_rng(seed)
    halves = [float(statistic(random.permutation(count)[: count // 2])) for _ in range(repeats)]
    return around(float(statistic(np.arange(count))), halves, count, confidence)


def around(value: float, halves: list[float], n: int, confidence: float = CONFIDENCE) -> Subsampled:
    """The interval of `value`, a statistic of n images, from those of its random halves."""
    std = float(np.std(halves, ddof=1))
    half = float(scipy.special.stdtrit(len(halves) - 1, 0.5 + confidence / 2)) * std
    text = f"{100 * confidence:g} % interval by subsampling: {len(halves)} random halves"
    return Subsampled(value, value - half, value + half, std, tuple(halves), n, text)
