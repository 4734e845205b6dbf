"""How a claim of each form is judged from its cells.
Intervals are of 95 %, of differences where two cells are compared.

- pair: holds where the interval of the difference (less `margin`; of the larger value less `times` the smaller, if both
  are above 0) lies on the claimed side of 0, does not hold where it lies on the other.
- below, above: the same of a value and a number.
- rising, falling: does not hold where two neighbours, or the ends, are clearly apart the other way; holds where the
  ends are clearly apart in the claimed direction.
- flat, same: holds where the intervals of all differences lie within ± `within` % of the mean value, does not hold
  where one lies wholly beyond. Two values that both lack an interval are taken as they stand by `same`.
- as_good: holds where the first cell is at most `within` % of the second worse than the second, to the far end of the
  interval; does not hold where it is more to the near end. Two values that both lack an interval as above.
- linear: as flat, of the distances from the least-squares line, each with its value's interval.
- loss: the first logged row whose loss is below the number comes before the step, with every seed. A training that
  ended earlier, without getting there, decides nothing.
Whatever is neither is undecided; what would decide it assumes that differences and spreads stay as they are.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import combinations, pairwise
from typing import NamedTuple

import numpy as np

from rediffuse.config.experiment import Claim
from rediffuse.reporting.experiments.cells import Cell
from rediffuse.reporting.experiments.contrasts import Contrast, against, contrast, gain, sample_of, spread
from rediffuse.reporting.read.trained import Losses
from rediffuse.reporting.values import listed, number

#: What is said of the first of two cells of `as_good`; below 0 it is better.
WORSE_BY = "what the first is worse by"
HOLDS, FAILS, UNDECIDED = "holds", "does not hold", "undecided"


class Finding(NamedTuple):
    """A verdict, its reason in a sentence, and what would decide it where it is undecided."""

    verdict: str
    reason: str
    decided_by: str = ""


def pair(claim: Claim, cells: Sequence[Cell]) -> Finding:
    """`better` against `worse`."""
    better, worse = cells
    if claim.times is not None and min(better.value, worse.value) <= 0:
        return Finding(UNDECIDED, "a value is not above 0, so that no multiple tells how far apart the two are")
    asked = [] if claim.times is None else [(gain(better, worse, claim.times), 0.0)]
    if claim.margin is not None or not asked:
        asked.append((gain(better, worse, name="the difference in the claim's favour"), claim.margin or 0.0))
    sides = [found.side(bound) for found, bound in asked]
    wanted = min(sides)
    found, bound = asked[sides.index(wanted)]
    claimed = f", where at least {number(bound)} is claimed" if bound else ""
    if wanted:
        other = ", the other way round" if wanted < 0 and not bound and claim.times is None else ""
        return Finding(HOLDS if wanted > 0 else FAILS, found.why + claimed + other)
    return _undecided(found, bound, found.why + claimed)


def bound(claim: Claim, cells: Sequence[Cell]) -> Finding:
    """A cell `below` or `above` a number."""
    limit, sign = (claim.below, -1) if claim.below is not None else (claim.above, 1)
    assert limit is not None
    found = against(cells[0], limit)
    found = replace(found, value=sign * found.value)
    if side := found.side():
        return Finding(HOLDS if side > 0 else FAILS, found.why)
    return _undecided(found, 0.0, found.why)


def trend(claim: Claim, cells: Sequence[Cell]) -> Finding:
    """`cells` in the order of what is varied."""
    if claim.trend == "flat":
        return _flat(claim, cells)
    if claim.trend == "linear":
        return _linear(claim, cells)
    rising = claim.trend == "rising"
    name, both = "the rise" if rising else "the fall", [*pairwise(cells), (cells[0], cells[-1])]
    steps = [(contrast(b, a, name=name) if rising else contrast(a, b, name=name), a, b) for a, b in both]
    for found, a, b in steps:
        if found.side() < 0:
            return Finding(
                FAILS, f"from {a.name} to {b.name} it is clearly {'falling' if rising else 'rising'}: {found.why}"
            )
    ends = steps[-1][0]
    if ends.side() > 0:
        return Finding(HOLDS, f"from first to last, {ends.why}, and no step goes clearly the other way")
    return _undecided(ends, 0.0, f"from first to last, {ends.why}")


def same(claim: Claim, cells: Sequence[Cell]) -> Finding:
    """Two cells that are two ways to one value."""
    first, second = cells
    limit = _share(claim, cells)
    found = contrast(first, second)
    if first.low is None and second.low is None and first.n == second.n:
        mean = (abs(first.value) + abs(second.value)) / 2
        off = 100 * abs(found.value) / mean if mean else 0.0
        verdict = HOLDS if abs(found.value) <= limit else FAILS
        return Finding(verdict, f"the values are {number(off)} % apart, and {number(claim.within or 0)} % is allowed")
    return _equal(claim, limit, [found])


def as_good(claim: Claim, cells: Sequence[Cell]) -> Finding:
    """A cell that is hardly worse than another, or better."""
    first, second = cells
    limit = (claim.within or 0) / 100 * abs(second.value)
    worse = gain(second, first, name=WORSE_BY)
    allowed = f"at most {number(limit)} ({claim.within:g} % of the second) is allowed"
    if first.low is None and second.low is None and first.n == second.n:
        verdict = HOLDS if worse.value <= limit else FAILS
        return Finding(verdict, f"{WORSE_BY} is {number(worse.value)}; {allowed}")
    told = WORSE_BY in worse.why or worse.half is None
    why = f"{worse.why if told else f'{WORSE_BY} is {spread(worse.value, worse.half or 0)}'}; {allowed}"
    better = replace(worse, value=-worse.value)
    if side := better.side(-limit):
        return Finding(HOLDS if side > 0 else FAILS, why)
    return _undecided(better, -limit, why)


def _flat(claim: Claim, cells: Sequence[Cell]) -> Finding:
    return _equal(claim, _share(claim, cells), [contrast(b, a) for a, b in combinations(cells, 2)])


def _linear(claim: Claim, cells: Sequence[Cell]) -> Finding:
    values = np.array([cell.value for cell in cells])
    line = np.polynomial.Polynomial.fit(claim.numbers(), values, 1)(np.array(claim.numbers()))
    found = []
    for cell, fitted in zip(cells, line, strict=True):
        off = cell.value - float(fitted)
        if cell.low is None:
            found.append(Contrast(off, None, f"{cell.name} has no interval"))
        else:
            why = f"{cell.name} lies {spread(off, cell.half)} from the line"
            found.append(Contrast(off, cell.half, why, sample_of(cell)))
    return _equal(claim, _share(claim, cells), found)


def _share(claim: Claim, cells: Sequence[Cell]) -> float:
    """`within` % of the mean size of the values."""
    return (claim.within or 0) / 100 * float(np.mean([abs(cell.value) for cell in cells]))


def _equal(claim: Claim, limit: float, found: list[Contrast]) -> Finding:
    """Whether all these are within the limit."""
    allowed = f"{number(limit)} ({claim.within:g} %) is allowed"
    farthest = max(found, key=lambda one: abs(one.value) + (one.half or 0))
    beyond = [one for one in found if one.inside(limit) < 0]
    if beyond:
        return Finding(FAILS, f"{max(beyond, key=lambda one: abs(one.value)).why}; {allowed}")
    unclear = [one for one in found if one.inside(limit) == 0]
    if not unclear:
        return Finding(HOLDS, f"the farthest: {farthest.why}; {allowed}")
    hardest = min(unclear, key=lambda one: abs(abs(one.value) - limit) / one.half if one.half else 0.0)
    decided = hardest.decided_by(abs(abs(hardest.value) - limit))
    return Finding(UNDECIDED, f"{hardest.why}; {allowed}", decided)


def loss(claim: Claim, curves: dict[int, Losses]) -> Finding:
    """The loss of a run, seed by seed."""
    assert claim.loss_below is not None
    assert claim.before is not None
    texts, ends = {}, {}
    for seed, curve in curves.items():
        first = next((step for step, value in curve.rows if value < claim.loss_below), None)
        last = curve.rows[-1][0]
        if first is None:
            texts[seed] = f"never in {last} steps" + (f" (seed {seed})" if len(curves) > 1 else "")
        else:
            texts[seed] = f"first at step {first}" + (f" (seed {seed})" if len(curves) > 1 else "")
        in_time = first is not None and first < claim.before
        ends[seed] = HOLDS if in_time else UNDECIDED if first is None and last < claim.before else FAILS
    worst = next(verdict for verdict in (FAILS, UNDECIDED, HOLDS) if verdict in ends.values())
    shown = [text for seed, text in texts.items() if worst == HOLDS or ends[seed] == worst]
    reason = f"a logged loss lies below {claim.loss_below:g} {listed(shown)}; before step {claim.before} is claimed"
    return Finding(worst, reason, f"training for {claim.before} steps would decide it" if worst == UNDECIDED else "")


def _undecided(found: Contrast, bound: float, why: str) -> Finding:
    """Positive values of `found` beyond `bound` are for the claim."""
    off = found.value - bound
    lean = "lean towards the claim" if off > 0 else "lean against the claim" if off < 0 else "are equal"
    return Finding(UNDECIDED, f"{why}, the values {lean}", found.decided_by(abs(off)))


#: Forms whose cells are compared, by name.
FORMS: dict[str, Callable[[Claim, Sequence[Cell]], Finding]] = {
    "pair": pair,
    "below": bound,
    "above": bound,
    "trend": trend,
    "same": same,
    "as_good": as_good,
}
