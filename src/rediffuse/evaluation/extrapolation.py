"""What the number of images does to a Fréchet distance, and the distance of infinitely many.

The Fréchet distance of n images lies above that of their distribution, because their fitted mean and covariance are
not the true ones; to first order the excess is a/n (Chong & Forsyth 2020, "Effectively unbiased FID"). So distances
of random subsets are fitted by a line in 1/n, whose value at 1/n = 0 is the distance without that bias (their FID∞).
The reference is taken as it is: the bias of its own finite number of images stays.

The line needs n above the dimension of the features. Below it the covariance has rank n − 1 and the distance curves
with 1/n: `curvature` tells, and then `excess` is only how far a distance lies above the extrapolated one.
"""

from dataclasses import dataclass

import numpy as np

from rediffuse.errors import UserError
from rediffuse.evaluation.frechet import FrechetReference
from rediffuse.evaluation.intervals import CONFIDENCE, GroupedMean, grouped
from rediffuse.evaluation.subsampling import around


@dataclass(frozen=True)
class Extrapolation:
    """Fréchet distance of infinitely many images.

    value: intercept of the line; low, high: its interval by subsampling, std: its standard error; slope: of the line,
    so that slope / n is the bias at n. counts, distances: the points of the line, most images first; the first is the
    plain distance of all of them. curvature: largest departure of a point from the line over the whole drop along it
    (None if there is none); beyond a few hundredths the line is not to be trusted.
    """

    value: float
    low: float
    high: float
    std: float
    slope: float
    counts: tuple[int, ...]
    distances: tuple[float, ...]
    curvature: float | None
    interval: str

    @property
    def plain(self) -> float:
        """The distance of all images, as quoted without extrapolation."""
        return self.distances[0]

    def excess(self, distance: float) -> float:
        """How much of a `distance`, such as one of fewer images of the same model, is bias by this estimate."""
        return distance - self.value


def extrapolated(
    features: np.ndarray,
    reference: FrechetReference,
    *,
    parts: int = 5,
    permutations: int = 2,
    halves: int = 20,
    seed: int = 0,
    confidence: float = CONFIDENCE,
) -> Extrapolation:
    """Fréchet distance from features [N, dim] to the reference, extrapolated to infinitely many images.

    For j = 1 … parts the images are cut into j disjoint subsets of N/j: sizes evenly spaced in 1/n, each point using
    every image; the mean is over `permutations` of the order. The interval comes from the same on `halves` random
    halves. Costs about permutations · parts² / 2 · (1 + halves / 2) distances. Raises UserError when the smallest
    subset of a half would have fewer than 2 images.
    """
    if parts < 2 or permutations < 1 or halves < 2:
        raise UserError(
            f"extrapolation needs at least 2 parts, 1 permutation and 2 halves, not {parts}, {permutations}, {halves}"
        )
    if len(features) // 2 // parts < 2:
        raise UserError(f"{len(features)} images are too few to cut their halves into {parts} parts of at least 2")
    random = np.random.default_rng(seed)
    counts, distances = _points(features, reference, parts, permutations, random)
    value, slope = _line(counts, distances)
    again = []
    for _ in range(halves):
        chosen = features[random.permutation(len(features))[: len(features) // 2]]
        again.append(_line(*_points(chosen, reference, parts, permutations, random))[0])
    spread = around(value, again, len(features), confidence)
    departures = np.abs(distances - (value + slope / counts))
    drop = abs(slope) * float(1 / counts[-1] - 1 / counts[0])
    return Extrapolation(
        value=value,
        low=spread.low,
        high=spread.high,
        std=spread.std,
        slope=slope,
        counts=tuple(int(count) for count in counts),
        distances=tuple(float(distance) for distance in distances),
        curvature=float(departures.max()) / drop if drop > 0 else None,
        interval=spread.interval,
    )


def by_count(
    features: np.ndarray, reference: FrechetReference, counts: list[int], *, subsets: int = 10, seed: int = 0
) -> dict[int, GroupedMean]:
    """Fréchet distance at several numbers of images: mean and interval over disjoint random subsets of each size.

    features: [N, dim]; each of `counts` lies between 2 and N and gets min(subsets, N // n) subsets. Subsets of
    different sizes share images.
    """
    order = np.random.default_rng(seed).permutation(len(features))
    found = {}
    for n in counts:
        if not 2 <= n <= len(features):
            raise UserError(
                f"a Fréchet distance of {n} images cannot be had from {len(features)}: take 2 or more of them"
            )
        groups = min(subsets, len(features) // n)
        found[n] = grouped([reference.distance(features[order[g * n : (g + 1) * n]]) for g in range(groups)], n)
    return found


def _points(
    features: np.ndarray, reference: FrechetReference, parts: int, permutations: int, random: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Subset sizes N, N/2, … N/parts [parts] and the mean distance at each."""
    sizes = np.array([len(features) // j for j in range(1, parts + 1)])
    sums = np.zeros(parts)
    for _ in range(permutations):
        order = random.permutation(len(features))
        for j, size in enumerate(sizes, start=1):
            if j == 1 and sums[0] > 0:
                continue  # all images, in another order
            pieces = [reference.distance(features[order[part * size : (part + 1) * size]]) for part in range(j)]
            sums[j - 1] += np.mean(pieces)
    sums[1:] /= permutations
    return sizes, sums


def _line(counts: np.ndarray, distances: np.ndarray) -> tuple[float, float]:
    """Intercept and slope of distances against 1 / counts, by least squares."""
    slope, intercept = np.polyfit(1 / counts, distances, 1)
    return float(intercept), float(slope)
