"""Uncertainty of a metric from disjoint groups of samples.

A metric of n images is biased by n (a Fréchet distance strongly), and a with-replacement bootstrap changes the number
of distinct images, so that its interval can exclude its own estimate. Here the metric is computed on G disjoint
groups of n images each: the groups are independent, share one n, and their mean always lies inside its own interval.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.special


@dataclass(frozen=True)
class Estimate:
    """Mean of a metric over groups of n images.

    low, high: ends of the interval, std: standard deviation over groups (divisor G − 1); all three None for one group.
    The interval is for the expected metric of n new images against the same reference.
    """

    value: float
    low: float | None
    high: float | None
    std: float | None
    groups: tuple[float, ...]
    n: int
    interval: str

    def to_dict(self) -> dict[str, Any]:
        """The form kept in a metrics file."""
        return {
            "value": self.value,
            "low": self.low,
            "high": self.high,
            "std": self.std,
            "groups": list(self.groups),
            "n": self.n,
            "interval": self.interval,
        }


def grouped(values: Sequence[float], n: int, *, confidence: float = 0.95) -> Estimate:
    """Mean and Student-t interval of the metric's `values` on independent groups of `n` images each."""
    if len(values) == 0:
        raise ValueError("there is no group to average over")
    if not 0 < confidence < 1:
        raise ValueError(f"confidence must lie between 0 and 1, not {confidence}")
    groups = tuple(float(value) for value in values)
    mean = float(np.mean(groups))
    if len(groups) == 1:
        return Estimate(mean, None, None, None, groups, n, "none: a single group")
    std = float(np.std(groups, ddof=1))
    quantile = float(scipy.special.stdtrit(len(groups) - 1, 0.5 + confidence / 2))
    half = quantile * std / len(groups) ** 0.5
    text = f"{100 * confidence:g} % t-interval over {len(groups)} independent groups"
    return Estimate(mean, mean - half, mean + half, std, groups, n, text)
