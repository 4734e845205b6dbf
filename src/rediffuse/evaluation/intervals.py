"""Uncertainty of a metric from disjoint groups of samples.

A metric of n images is biased by n (a Fréchet distance strongly), and a with-replacement bootstrap changes the number
of distinct images, so that its interval can exclude its own estimate. Here the metric is computed on G disjoint
groups of n images each: the groups are independent, share one n, and their mean always lies inside its own interval.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.special
from numpy.typing import ArrayLike

CONFIDENCE = 0.95


@dataclass(frozen=True)
class GroupedMean:
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


def t_half_width(values: ArrayLike, confidence: float = CONFIDENCE) -> float:
    """Half the width of Student's interval for the mean of two or more independent values."""
    if not 0 < confidence < 1:
        raise ValueError(f"confidence must lie between 0 and 1, not {confidence}")
    values = np.asarray(values, dtype=np.float64)
    quantile = float(scipy.special.stdtrit(len(values) - 1, 0.5 + confidence / 2))
    return quantile * float(np.std(values, ddof=1)) / len(values) ** 0.5


def t_interval(of: str, confidence: float = CONFIDENCE) -> str:
    """What to call that interval; `of`: number and kind of the values, such as "60 images"."""
    return f"{100 * confidence:g} % t-interval over {of}"


def over_images(values: ArrayLike) -> dict[str, Any]:
    """Mean over images of a quantity that each image has by itself, with its interval, as kept in a metrics file."""
    values = np.asarray(values, dtype=np.float64)
    n, mean = len(values), float(np.mean(values))
    if n == 1:
        return {"value": mean, "low": None, "high": None, "n": n, "interval": "none: a single image"}
    half = t_half_width(values)
    return {"value": mean, "low": mean - half, "high": mean + half, "n": n, "interval": t_interval(f"{n} images")}


def grouped(values: Sequence[float], n: int, *, confidence: float = CONFIDENCE) -> GroupedMean:
    """Mean and Student-t interval of the metric's `values` on independent groups of `n` images each."""
    if len(values) == 0:
        raise ValueError("there is no group to average over")
    groups = tuple(float(value) for value in values)
    mean = float(np.mean(groups))
    if len(groups) == 1:
        return GroupedMean(mean, None, None, None, groups, n, "none: a single group")
    std = float(np.std(groups, ddof=1))
    half = t_half_width(groups, confidence)
    text = t_interval(f"{len(groups)} independent groups", confidence)
    return GroupedMean(mean, mean - half, mean + half, std, groups, n, text)


def jackknifed(
    statistic: Callable[[np.ndarray], float], count: int, of: str, confidence: float = CONFIDENCE
) -> tuple[float, float, str]:
    """A smooth statistic of `count` independent things, half the width of its interval, and what to call that.

    statistic: of the positions that count. The standard error is that of the delete-one jackknife (Efron & Stein 1981),
    taken times Student's quantile with count − 1 degrees of freedom. of: what they are, such as "batches".
    """
    everything = np.arange(count)
    without = np.array([statistic(np.delete(everything, one)) for one in everything])
    error = ((count - 1) / count * float(np.square(without - without.mean()).sum())) ** 0.5
    quantile = float(scipy.special.stdtrit(count - 1, 0.5 + confidence / 2))
    text = f"{100 * confidence:g} % interval by the jackknife over {count} {of}"
    return float(statistic(everything)), quantile * error, text
