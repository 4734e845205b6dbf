"""Inception score: exp of the mean divergence between each image's class probabilities and their mean.

IS = exp( mean_i KL( p(y|xᵢ) ‖ p(y) ) ), Salimans et al. 2016, computed on parts of the images and averaged over them.
The name belongs to Inception-v3's probabilities; with another classifier it is the same formula on other numbers.
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike


@dataclass(frozen=True)
class InceptionScore:
    """Mean over the parts, their standard deviation (divisor: number of parts, as published), and each part's score."""

    mean: float
    std: float
    parts: tuple[float, ...]


def inception_score(probabilities: np.ndarray, splits: int = 10) -> InceptionScore:
    """Inception score of class probabilities [N, K] in `splits` consecutive parts.

    Between 1 and K. Smaller parts give lower scores, so compare only equal N / splits.
    """
    edges = split_edges(len(probabilities), splits)
    return summarised([_score(probabilities[start:stop]) for start, stop in pairwise(edges)])


def split_edges(count: int, splits: int) -> list[int]:
    """Where each of `splits` consecutive parts of `count` images begins, and where the last one ends."""
    if not 1 <= splits <= count:
        raise ValueError(f"{count} images cannot be cut into {splits} parts")
    return [count * part // splits for part in range(splits + 1)]


def summarised(parts: ArrayLike) -> InceptionScore:
    """The scores of parts with their mean and deviation."""
    found = np.asarray(parts, dtype=np.float64)
    return InceptionScore(float(np.mean(found)), float(np.std(found)), tuple(found.tolist()))


def _score(probabilities: np.ndarray) -> float:
    p = np.asarray(probabilities, dtype=np.float64)
    p = p / p.sum(1, keepdims=True)
    # mean KL = entropy of the mean minus mean entropy.
    divergence = entropy(p.mean(0)) - entropy(p).mean()
    return float(np.exp(max(divergence, 0.0)))


def entropy(p: np.ndarray) -> np.ndarray:
    """Entropy in nats of probabilities [..., K], with 0 log 0 = 0."""
    return -(p * np.log(np.where(p > 0, p, 1.0))).sum(-1)
