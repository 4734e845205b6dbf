"""How different the images of one set are from one another: images or features → number.

A set of copies scores 0. Diversity says nothing of quality (noise is diverse): it stands beside a distance to real
images, and beside the diversity of as many real ones.
"""

from dataclasses import dataclass

import numpy as np

from rediffuse.evaluation.distances import mean_distance, mean_squared_distance


@dataclass(frozen=True)
class Diversity:
    """Mean over all pairs of different images. `distance`: of the Euclidean distance; `squared`: of its square."""

    distance: float
    squared: float
    images: int


def diversity(features: np.ndarray) -> Diversity:
    """Pairwise diversity of features [N, dim], N ≥ 2.

    Both are means over independent pairs of the sampled distribution, so neither is biased by N.
    """
    return Diversity(mean_distance(features), mean_squared_distance(features), len(features))


def pixel_diversity(images: np.ndarray) -> Diversity:
    """Pairwise diversity of uint8 images [N, C, H, W] as vectors of C·H·W pixel values in [0, 1]."""
    return diversity(pixel_vectors(images))


def pixel_vectors(images: np.ndarray) -> np.ndarray:
    """uint8 images [N, C, H, W] as float64 vectors [N, C·H·W] of values in [0, 1]."""
    if images.dtype != np.uint8 or images.ndim != 4:
        raise ValueError(f"images must be uint8 [N, C, H, W], not {images.dtype} {list(images.shape)}")
    return images.reshape(len(images), -1) / 255.0
