"""Precision and recall, density and coverage: fidelity and variety as two numbers, from k-nearest-neighbour balls.

The ball of an image has the distance to its k-th nearest neighbour in its own set as radius, the image itself not
counted; its border belongs to it.

- precision: share of samples that lie in the ball of some real image; recall: share of real images that lie in the
  ball of some sample (Kynkäänniemi et al. 2019, "improved precision and recall"; k = 3).
- density: mean over samples of the number of real balls that hold it, divided by k (it may exceed 1); coverage: share
  of real images whose ball holds a sample (Naeem et al. 2020, section 3; k = 5).

All four depend on both counts, recall and coverage strongly on the number of samples: compare only equal numbers.
"""

from dataclasses import dataclass

import numpy as np

from rediffuse.errors import UserError
from rediffuse.evaluation.distances import DistanceBlocks


@dataclass(frozen=True)
class ManifoldScores:
    """Precision, recall and coverage lie in [0, 1], density is at least 0; all four are higher for better samples.

    images, reference_images: how many samples and real images they were computed from.
    """

    precision: float
    recall: float
    density: float
    coverage: float
    images: int
    reference_images: int


class ManifoldReference:
    """The real side of many such scores: the radii of the real balls are computed once.

    features: [M, dim] of real images; k: neighbour of precision and recall; density_k: that of density and coverage.
    Memory beside the features stays at about 64 MiB whatever the counts. Raises UserError unless M > max(k, density_k).
    """

    def __init__(self, features: np.ndarray, k: int = 3, density_k: int = 5) -> None:
        if min(k, density_k) < 1:
            raise UserError(f"a ball reaches to its 1st or a later neighbour, not to number {min(k, density_k)}")
        self.k, self.density_k = k, density_k
        self._real = DistanceBlocks(
            features, f"real images for balls of {max(k, density_k)} neighbours", max(k, density_k) + 1
        )
        self._radii, self._density_radii = squared_radii(self._real, (k, density_k))

    def score(self, features: np.ndarray) -> ManifoldScores:
        """All four scores of features [N, dim], N > k."""
        samples = DistanceBlocks(features, f"samples for balls of {self.k} neighbours", self.k + 1)
        [radii] = squared_radii(samples, (self.k,))
        count, inside, within = len(samples), 0, 0
        recalled = np.zeros(len(self._real), dtype=bool)
        nearest = np.full(len(self._real), np.inf)
        for rows, squared in self._real.to(features, "samples"):
            inside += int((squared <= self._radii).any(1).sum())
            within += int((squared <= self._density_radii).sum())
            recalled |= (squared <= radii[rows, None]).any(0)
            np.minimum(nearest, squared.min(0), out=nearest)
        return ManifoldScores(
            precision=inside / count,
            recall=float(recalled.mean()),
            density=within / (self.density_k * count),
            coverage=float((nearest <= self._density_radii).mean()),
            images=count,
            reference_images=len(self._real),
        )


def squared_radii(blocks: DistanceBlocks, ks: tuple[int, ...]) -> tuple[np.ndarray, ...]:
    """Squared distance [N] of each vector to its k-th nearest other one, for each k in `ks`.

    Widened by what rounding can do (1e-13 of the largest squared norm), so that a ball holds its border.
    """
    places = sorted({k - 1 for k in ks})
    radii = np.empty((len(ks), len(blocks)))
    for rows, squared in blocks.among():
        squared.partition(places, axis=1)
        for row, k in zip(radii, ks, strict=True):
            row[rows] = squared[:, k - 1] + blocks.rounding
    return tuple(radii)
