"""Euclidean distances between two sets of vectors, block by block, so that memory stays bounded.

|x − y|² = |x|² + |y|² − 2 xᵀy after both sets are moved by the reference's mean, in float64: a matrix product instead
of differences. What cancellation leaves is an absolute error of about 1e-15 × the largest |x|² + |y|² in a squared
distance; where a distance itself is reported (`neighbours.nearest`) it is computed again from the difference.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import ArrayLike

from rediffuse.errors import UserError

# Distances held at once: 2²³ float64 numbers, 64 MiB.
_ENTRIES = 1 << 23


def as_vectors(features: ArrayLike, what: str = "features", least: int = 1) -> np.ndarray:
    """Float64 [N, dim] of `features`; UserError unless they are two-dimensional, finite and at least `least`."""
    vectors = np.asarray(features, dtype=np.float64)
    if vectors.ndim != 2:
        raise UserError(f"{what} must be [N, dim], not {list(vectors.shape)}")
    if len(vectors) < least:
        raise UserError(f"{what}: at least {least} are needed, there are {len(vectors)}")
    if not np.isfinite(vectors).all():
        raise UserError(f"{what} hold NaN or infinity")
    return vectors


def pixel_vectors(images: np.ndarray) -> np.ndarray:
    """uint8 images [N, C, H, W] as float64 vectors [N, C·H·W] of values in [0, 1]."""
    if images.dtype != np.uint8 or images.ndim != 4:
        raise ValueError(f"images must be uint8 [N, C, H, W], not {images.dtype} {list(images.shape)}")
    return images.reshape(len(images), -1) / 255.0


class DistanceBlocks:
    """Squared distances from any set of vectors to one fixed set, some rows at a time."""

    def __init__(self, features: ArrayLike, what: str = "reference features", least: int = 1) -> None:
        vectors = as_vectors(features, what, least)
        self._mean = vectors.mean(0)
        self._vectors = vectors - self._mean
        self._norms = np.square(self._vectors).sum(1)

    def __len__(self) -> int:
        return len(self._vectors)

    @property
    def dim(self) -> int:
        """Length of a vector."""
        return self._vectors.shape[1]

    @property
    def rounding(self) -> float:
        """More than rounding can move a squared distance between vectors that lie no farther out
        than the fixed ones.
        """
        return 1e-13 * float(self._norms.max())

    def to(self, queries: ArrayLike, what: str = "features") -> Iterator[tuple[slice, np.ndarray]]:
        """Yield (rows, d² [rows, M]) until every row of `queries` [N, dim] has met the M fixed vectors.

        The array is the caller's to change. Raises UserError when the dimensions differ.
        """
        vectors = as_vectors(queries, what)
        if vectors.shape[1] != self.dim:
            raise UserError(f"{what} have {vectors.shape[1]} dimensions, the reference {self.dim}")
        rows = max(1, _ENTRIES // len(self))
        for start in range(0, len(vectors), rows):
            chosen = slice(start, min(start + rows, len(vectors)))
            yield chosen, self._block(vectors[chosen] - self._mean)

    def among(self) -> Iterator[tuple[slice, np.ndarray]]:
        """`to` of the fixed vectors themselves, with each one's distance to itself set to infinity."""
        rows = max(1, _ENTRIES // len(self))
        for start in range(0, len(self), rows):
            chosen = slice(start, min(start + rows, len(self)))
            block = self._block(self._vectors[chosen])
            block[np.arange(len(block)), np.arange(chosen.start, chosen.stop)] = np.inf
            yield chosen, block

    def _block(self, centred: np.ndarray) -> np.ndarray:
        block = centred @ self._vectors.T
        block *= -2
        block += np.square(centred).sum(1)[:, None]
        block += self._norms
        return np.maximum(block, 0.0, out=block)


def pixel_diversity(images: np.ndarray) -> float:
    """Mean Euclidean distance between two different images, uint8 [N, C, H, W], with pixels in [0, 1]."""
    return mean_distance(pixel_vectors(images))


def mean_distance(features: ArrayLike) -> float:
    """Mean Euclidean distance between two different rows of features [N, dim], N ≥ 2: all pairs, O(N² dim)."""
    blocks = DistanceBlocks(features, "features", 2)
    total = 0.0
    for rows, block in blocks.among():
        block[np.arange(len(block)), np.arange(rows.start, rows.stop)] = 0.0
        total += float(np.sqrt(block).sum())
    return total / (len(blocks) * (len(blocks) - 1))
