"""How far two cells are apart: a difference with its 95 % interval,
and how much more would decide on which side it lies.

What the two have in common is taken out of the difference, by a t-interval of paired differences:
- one training seed each: group g of every setting starts from the same noise and is scored against the same reference,
  so the differences of groups are taken, of as many groups as both have; of likelihoods, those of the same images;
- several seeds each, all those of one among those of the other: the differences of the seeds that both have.
A cell of several seeds is held against one of a single seed by that seed, where both have it. Anything else (held-out
images and noise, one-pass models, other seeds) has nothing in common: Welch's interval. A value without an interval
counts as a point beside one that has one.
"""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy.special

from rediffuse.evaluation.intervals import CONFIDENCE, t_half_width
from rediffuse.reporting.experiments.cells import Cell
from rediffuse.reporting.terms import direction
from rediffuse.reporting.values import counted, decimals, number, whole
from rediffuse.runs import facts

#: More images, or training seeds, than anyone would make.
MOST_IMAGES, MOST_SEEDS = 1_000_000, 100


def quantile(freedom: float) -> float:
    """Of Student's t, for an interval."""
    return float(scipy.special.stdtrit(freedom, 0.5 + CONFIDENCE / 2))


@dataclass(frozen=True)
class Sample:
    """What an interval rests on: `count` values of standard deviation `std`.

    kind: "group" (of n images), "image" or "training seed". samples: 2 where it is that of two independent samples of
    so many each, `std` that of the difference of one of each.
    """

    kind: str
    count: int
    std: float
    n: int = 1
    samples: int = 1

    @classmethod
    def of(cls, kind: str, values: Sequence[float], n: int) -> "Sample":
        """Of two or more values."""
        return cls(kind, len(values), float(np.std(values, ddof=1)), n)

    def half(self, count: int) -> float:
        """Half the width of the interval from `count` such values."""
        return quantile(self.samples * (count - 1)) * self.std / count**0.5

    def enough(self, distance: float) -> int | None:
        """The least number of values, more than there are, whose interval is narrower than `distance` to each side.

        None where it is more than anyone would make.
        """
        most = MOST_SEEDS if self.kind == "training seed" else MOST_IMAGES // self.n
        counts = range(self.count + 1, most + 1)
        found = bisect_left(counts, True, key=lambda count: self.half(count) < distance)
        return counts[found] if found < len(counts) else None

    def decided_by(self, distance: float) -> str:
        """`enough` in words."""
        things = "training seeds" if self.kind == "training seed" else "images"
        if distance == 0 or (count := self.enough(distance)) is None:
            return f"no sensible number of {things} would decide it"
        each = " for each" if self.samples == 2 else ""
        if self.kind == "training seed":
            return f"about {count} training seeds{each} would decide it, if the difference stays"
        images = count * self.n
        images = round(images, 2 - len(str(images)))
        groups = f" ({whole(count)} groups of {self.n})" if self.kind == "group" else ""
        key = " (key sampling.images_of)" if self.kind == "group" else ""
        return f"about {counted(images, 'image')}{groups}{each} would decide it{key}, if the difference stays"


@dataclass(frozen=True)
class Contrast:
    """A difference and half the width of its interval, None where nothing tells it.

    why: what says so, in words. sample: what the interval rests on, where it is one thing.
    """

    value: float
    half: float | None
    why: str
    sample: Sample | None = None

    def side(self, bound: float = 0.0) -> int:
        """1 where it is clearly above the bound, −1 clearly below, 0 undecided."""
        if self.half is None:
            return 0
        return 1 if self.value - self.half > bound else -1 if self.value + self.half < bound else 0

    def inside(self, bound: float) -> int:
        """1 where its size is clearly at most the bound, −1 clearly more, 0 undecided."""
        if self.half is None:
            return 0
        return 1 if abs(self.value) + self.half <= bound else -1 if abs(self.value) - self.half > bound else 0

    def decided_by(self, distance: float) -> str:
        """What would decide it, when it lies this far from where it turns."""
        if self.half is None:
            return "several groups of as many images for each would tell"
        return "narrower intervals would decide it" if self.sample is None else self.sample.decided_by(distance)


def contrast(first: Cell, second: Cell, times: float = 1.0, name: str = "the difference") -> Contrast:
    """`first` less `times` × `second`, which is called `name`."""
    value = first.value - times * second.value
    if first.n != second.n:
        return Contrast(value, None, "the numbers of images differ ({} and {})".format(*sorted((first.n, second.n))))
    if first.low is None and second.low is None:
        return Contrast(value, None, "neither value has an interval")
    if (pairs := _pairs(first, second)) is not None:
        kind, ours, theirs = pairs
        differences = np.subtract(ours, np.multiply(times, theirs))
        mean, half = float(differences.mean()), t_half_width(differences)
        same = {"group": "groups from the same noise", "image": "images", "training seed": "training seeds"}
        over = f"over {'' if kind == 'group' else 'the same '}{len(differences)} {same[kind]}"
        means = float(np.mean(ours)), float(np.mean(theirs))
        if not np.allclose(means, (first.value, second.value), rtol=1e-4, atol=0):
            # Of more seeds or groups than the other has, a value is shown of all: the difference is not of these.
            multiple = "" if times == 1 else f"{times:g} times "
            over += f", {number(means[0])} less {multiple}{number(means[1])},"
        sample = Sample.of(kind, list(differences), first.n if kind == "group" else 1)
        return Contrast(mean, half, f"{name} {over} is {spread(mean, half)}", sample)
    one, other = sample_of(first), sample_of(second)
    if one is None or other is None:
        half = first.half + times * second.half
        alone = one or (other and Sample(other.kind, other.count, times * other.std, other.n))
        apart = "are apart" if abs(value) > half else "overlap"
        why = f"the intervals {apart}" if times == 1 else f"{name} is {spread(value, half)}"
        return Contrast(value, half, why, alone if first.low is None or second.low is None else None)
    variances = np.array([one.std**2 / one.count, times**2 * other.std**2 / other.count])
    total = float(variances.sum())
    freedom = total**2 / float((variances**2 / [one.count - 1, other.count - 1]).sum()) if total else 1.0
    half = quantile(freedom) * total**0.5
    both = Sample(one.kind, min(one.count, other.count), float(np.hypot(one.std, times * other.std)), one.n, 2)
    why = f"{name} of independent values is {spread(value, half)}"
    return Contrast(value, half, why, both if one.kind == other.kind else None)


def against(cell: Cell, bound: float) -> Contrast:
    """A cell less a number."""
    value = cell.value - bound
    if cell.low is None:
        return Contrast(value, None, "the value has no interval")
    why = f"{spread(cell.value, cell.half)} against {number(bound)}"
    return Contrast(value, cell.half, why, sample_of(cell))


def sample_of(cell: Cell) -> Sample | None:
    """What a cell's interval rests on, as far as it is known."""
    if len(cell.parts) > 1:
        return Sample.of("training seed", [part.value for part in cell.parts], 1)
    for part in cell.parts:
        for kind, values, n in (("image", part.per_image, 1), ("group", part.groups, cell.n)):
            if len(values) > 1:
                return Sample.of(kind, values, n)
    return None


def spread(value: float, half: float) -> str:
    """A value with its interval, where that has a width."""
    if not half:
        return number(value)
    places = decimals(max(abs(value), half))
    return f"{value:.{places}f} [{value - half:.{places}f}, {value + half:.{places}f}]"


def _pairs(first: Cell, second: Cell) -> tuple[str, Sequence[float], Sequence[float]] | None:
    """What of two cells belongs together: (kind, values of the first, values of the second),
    None where nothing does.
    """
    ours, theirs = ({part.seed: part for part in cell.parts} for cell in (first, second))
    shared = [seed for seed in ours if seed in theirs]
    if len(shared) > 1 and len(shared) == min(len(ours), len(theirs)):
        return "training seed", [ours[s].value for s in shared], [theirs[s].value for s in shared]
    if len(shared) == 1 and 1 in (len(ours), len(theirs)):
        one, other = ours[shared[0]], theirs[shared[0]]
        if len(one.per_image) == len(other.per_image) > 1:
            return "image", one.per_image, other.per_image
        both = min(len(one.groups), len(other.groups))
        if both > 1 and _shares_noise(first) and _shares_noise(second):
            return "group", one.groups[:both], other.groups[:both]
    return None


def _shares_noise(cell: Cell) -> bool:
    """Whether its images start from noise that other settings start from too."""
    return cell.run != "real" and cell.setting != facts.ONE_PASS[0]


@dataclass(frozen=True)
class Comparison:
    """How a first cell stands against a second.

    outcome: "better" or "worse" when the interval of their difference leaves out 0, "undecided" otherwise; leaning:
    "better", "worse" or "equal", by the values alone; reason: why.
    """

    outcome: str
    leaning: str
    reason: str


def compare(first: Cell, second: Cell) -> Comparison:
    """Compare two cells of one metric."""
    found = gain(first, second)
    leaning = "better" if found.value > 0 else "worse" if found.value < 0 else "equal"
    return Comparison(leaning if found.side() else "undecided", leaning, found.why)


def gain(first: Cell, second: Cell, times: float = 1.0, name: str = "the difference") -> Contrast:
    """How much better the first is: the larger value less `times` the smaller, if the first is better."""
    lower = direction(first.metric) == "lower"
    pair, order = ((second, first), ("second", "first")) if lower else ((first, second), ("first", "second"))
    return contrast(*pair, times, name if times == 1 else f"the {order[0]} less {times:g} times the {order[1]}")
