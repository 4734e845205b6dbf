"""Each form of claim with each verdict; what a claim known to be wrong comes to."""

from typing import Any

import pytest

from rediffuse.config.experiment import Claim
from rediffuse.reporting.experiments import forms
from rediffuse.reporting.experiments.cells import Cell
from rediffuse.reporting.experiments.claims import judge
from rediffuse.reporting.experiments.contrasts import Sample
from rediffuse.reporting.read.trained import Losses
from tests.reporting.made_cells import cell, of_groups
from tests.reporting.study_tree import StudyTree

HOLDS, FAILS, UNDECIDED = "holds", "does not hold", "undecided"


def claim(**keys: Any) -> Claim:
    return Claim(claim="a claim", source="a test", **keys)


def verdict(asked: Claim, *cells: Cell) -> str:
    return forms.FORMS[asked.form](asked, cells).verdict


PAIR = {"better": "a/x-5", "worse": "b/x-5"}
#: Values 10 and 20, each ± 1: their difference is 10 ± 2, the worse less k times the better 20 − 10k ± (1 + k).
TEN, TWENTY = cell(10), cell(20)


@pytest.mark.parametrize(
    ("keys", "better", "worse", "wanted"),
    [
        ({}, TEN, TWENTY, HOLDS),
        ({}, TWENTY, TEN, FAILS),
        ({}, TEN, cell(11), UNDECIDED),
        ({}, TEN, cell(12), UNDECIDED),
        ({"margin": 7.9}, TEN, TWENTY, HOLDS),
        ({"margin": 12.1}, TEN, TWENTY, FAILS),
        ({"margin": 10.0}, TEN, TWENTY, UNDECIDED),
        ({"times": 1.7}, TEN, TWENTY, HOLDS),  # 3 ± 2.7
        ({"times": 2.4}, TEN, TWENTY, FAILS),  # −4 ± 3.4
        ({"times": 1.8}, TEN, TWENTY, UNDECIDED),  # 2 ± 2.8
        ({"times": 1.5, "margin": 12.1}, TEN, TWENTY, FAILS),  # twice as large is true, twelve apart is not
        ({"times": 1.5, "margin": 9.0}, TEN, TWENTY, UNDECIDED),
        ({"times": 1.5}, TWENTY, TEN, FAILS),
        ({"times": 1.5}, cell(-10), TWENTY, UNDECIDED),  # of which no value is a multiple
        ({}, cell(10, None), TWENTY, HOLDS),
        ({}, cell(10, None), cell(20, None), UNDECIDED),
        ({"metric": "recall"}, cell(20, metric="recall"), cell(10, metric="recall"), HOLDS),
        ({"metric": "recall", "times": 1.7}, cell(20, metric="recall"), cell(10, metric="recall"), HOLDS),
        ({"metric": "recall", "times": 2.4}, cell(20, metric="recall"), cell(10, metric="recall"), FAILS),
    ],
)
def test_a_pair(keys: dict[str, Any], better: Cell, worse: Cell, wanted: str) -> None:
    assert verdict(claim(**PAIR, **keys), better, worse) == wanted


@pytest.mark.parametrize(
    ("keys", "wanted"),
    [
        ({"below": 11.1}, HOLDS),
        ({"below": 8.9}, FAILS),
        ({"below": 10.5}, UNDECIDED),
        ({"above": 8.9}, HOLDS),
        ({"above": 11.1}, FAILS),
        ({"above": 9.5}, UNDECIDED),
    ],
)
def test_a_value_and_a_number(keys: dict[str, float], wanted: str) -> None:
    asked = claim(cell="a/x-5", **keys)
    assert verdict(asked, TEN) == wanted
    assert verdict(asked, cell(10, None)) == UNDECIDED


def test_an_undecided_number_leans_the_way_of_the_value() -> None:
    assert "lean towards" in forms.FORMS["below"](claim(cell="a/x-5", below=10.5), [TEN]).reason
    assert "lean against" in forms.FORMS["above"](claim(cell="a/x-5", above=10.5), [TEN]).reason


STEPS = ("a/x-5", "a/x-10", "a/x-20")


@pytest.mark.parametrize(
    ("trend", "values", "wanted"),
    [
        ("rising", (10, 15, 20), HOLDS),
        ("rising", (10, 11, 13), HOLDS),  # the ends are apart, neighbours need not be
        ("rising", (10, 10.5, 11), UNDECIDED),
        ("rising", (10, 25, 20), FAILS),  # the ends rise, the last step falls
        ("rising", (12.5, 11.25, 10), FAILS),  # only the ends are apart, the wrong way
        ("falling", (20, 15, 10), HOLDS),
        ("falling", (11, 10.5, 10), UNDECIDED),
        ("falling", (10, 15, 20), FAILS),
    ],
)
def test_rising_and_falling(trend: str, values: tuple[float, ...], wanted: str) -> None:
    assert verdict(claim(cells=STEPS, trend=trend), *map(cell, values)) == wanted


@pytest.mark.parametrize(
    ("within", "wanted"),
    [
        (31, HOLDS),  # the mean is 100, the farthest pair 10 ± 20 apart
        (9, UNDECIDED),
        (29, UNDECIDED),
    ],
)
def test_flat(within: float, wanted: str) -> None:
    asked = claim(cells=STEPS, trend="flat", within=within)
    assert verdict(asked, *(cell(v, 10) for v in (95, 100, 105))) == wanted


def test_not_flat() -> None:
    asked = claim(cells=STEPS, trend="flat", within=20)
    # Mean 100; the farthest pair is 60 ± 20 apart, of which more than 20 remain.
    assert verdict(asked, *(cell(v, 10) for v in (70, 100, 130))) == FAILS
    assert verdict(asked, *(cell(v, None) for v in (70, 100, 130))) == UNDECIDED


@pytest.mark.parametrize(
    ("values", "at", "wanted"),
    [
        ((10, 15, 25), None, HOLDS),  # 5 + steps, exactly
        ((10, 20, 30), None, FAILS),  # the middle lies 3.33 · 9/14 = 2.14 from the line, of 20 · 5 % = 1
        ((10, 20, 30), (1, 2, 3), HOLDS),
        ((10, 16.5, 25), None, UNDECIDED),  # 1.5 · 9/14 = 0.96 ± 0.12 from the line, of 0.86
    ],
)
def test_linear(values: tuple[float, ...], at: tuple[float, ...] | None, wanted: str) -> None:
    """Off the line through three points at x = 5, 10, 20, the middle is 9/14 of its distance from the chord.

    With deviations of x from their mean −20/3, −5/3 and 25/3, a point δ above the chord at the middle leaves the
    residual δ·(1 − 1/3 − (5/3)²/(350/3)) = δ·9/14 there.
    """
    asked = claim(cells=STEPS, trend="linear", within=5, at=at)
    assert verdict(asked, *(cell(v, 0.12) for v in values)) == wanted
    assert verdict(asked, *(cell(v, None) for v in values)) == UNDECIDED


@pytest.mark.parametrize("cells", [("a/likelihood", "b/likelihood", "c/likelihood"), ("a/x-5", "b/x-5", "c/x-10")])
def test_a_line_needs_different_numbers(cells: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match="at: must say what `linear` is linear in"):
        claim(cells=cells, trend="linear", within=5)


@pytest.mark.parametrize(
    ("first", "second", "wanted"),
    [
        (cell(100, 1), cell(101, 1), HOLDS),  # 1 ± 2 of 5
        (cell(100, 1), cell(110, 1), FAILS),  # 10 ± 2 of 5.25
        (cell(100, 3), cell(101, 3), UNDECIDED),  # 1 ± 6
        (cell(100, None), cell(104, None), HOLDS),  # 3.92 % apart
        (cell(100, None), cell(106, None), FAILS),  # 5.83 % apart
        (cell(100, None), cell(106, None, n=9), UNDECIDED),
        (of_groups([90, 100, 110]), of_groups([90.1, 100.1, 110.1]), HOLDS),
    ],
)
def test_two_ways_to_one_value(first: Cell, second: Cell, wanted: str) -> None:
    assert verdict(claim(same=("a/x-5", "b/x-5"), within=5), first, second) == wanted


@pytest.mark.parametrize(
    ("first", "second", "wanted"),
    [
        (cell(60, 1), cell(100, 1), HOLDS),  # far better is as good, too
        (cell(107, 1), cell(100, 1), HOLDS),  # 7 ± 2 worse, of 10 % of 100
        (cell(113, 1), cell(100, 1), FAILS),  # 13 ± 2
        (cell(109, 1), cell(100, 1), UNDECIDED),  # 9 ± 2
        (cell(109, None), cell(100, None), HOLDS),
        (cell(111, None), cell(100, None), FAILS),
        (cell(100, None), cell(110, None), HOLDS),
        (cell(109, None), cell(100, None, n=9), UNDECIDED),
        (cell(0.92, 0.01, metric="recall"), cell(1.0, 0.01, metric="recall"), HOLDS),  # 0.08 ± 0.02 of 0.1
        (cell(0.8, 0.01, metric="recall"), cell(1.0, 0.01, metric="recall"), FAILS),
        (cell(2.0, 0.01, metric="recall"), cell(1.0, 0.01, metric="recall"), HOLDS),
    ],
)
def test_one_that_is_as_good_as_another(first: Cell, second: Cell, wanted: str) -> None:
    asked = claim(as_good=("a/x-5", "b/x-5"), within=10, metric=first.metric)
    found = forms.FORMS["as_good"](asked, [first, second])
    assert found.verdict == wanted
    assert "(10 % of the second) is allowed" in found.reason


def test_the_reason_says_how_much_worse_the_first_is_whatever_its_interval_is_of() -> None:
    asked = claim(as_good=("a/x-5", "b/x-5"), within=10)
    known, made = forms.FORMS["as_good"](asked, [cell(113, 1), cell(100, 1)]), WIDE[::-2]
    assert (
        known.reason
        == "what the first is worse by is 13.00 [11.00, 15.00]; at most 10.00 (10 % of the second) is allowed"
    )
    found = forms.FORMS["as_good"](asked, made)
    assert found.reason.startswith("what the first is worse by over 4 groups from the same noise is 0.5000 [")


def test_what_is_as_good_is_measured_by_the_other_and_not_by_the_mean_of_both() -> None:
    """20 % of 300 are 60, of the mean of 300 and 362 they are 66: 62 ± 2 lies between them."""
    worse, other = cell(362, 1), cell(300, 1)
    assert verdict(claim(same=("a/x-5", "b/x-5"), within=20), worse, other) == HOLDS
    assert verdict(claim(as_good=("a/x-5", "b/x-5"), within=20), worse, other) == UNDECIDED


def curve(*losses: float) -> Losses:
    """A loss logged every 100 steps."""
    return Losses(tuple((100 * i, value) for i, value in enumerate(losses, 1)), "history.csv")


@pytest.mark.parametrize(
    ("curves", "wanted"),
    [
        ([curve(0.9, 0.4, 0.6)], HOLDS),
        ([curve(0.9, 0.6, 0.4)], FAILS),  # at step 300, which is not before it
        ([curve(0.9, 0.8, 0.7)], FAILS),
        ([curve(0.9, 0.8)], UNDECIDED),  # the training ended before
        ([curve(0.9, 0.4), curve(0.9, 0.8, 0.7)], FAILS),  # every seed must
        ([curve(0.9, 0.4), curve(0.9, 0.8)], UNDECIDED),
        ([curve(0.9, 0.4), curve(0.4)], HOLDS),
    ],
)
def test_a_loss(curves: list[Losses], wanted: str) -> None:
    assert forms.loss(claim(run="a", loss_below=0.5, before=300), dict(enumerate(curves))).verdict == wanted


def test_an_undecided_claim_says_how_many_images_would_decide_it() -> None:
    """Four groups whose differences are 1, −1, 3, −1: mean 0.5, deviation √(11/3), 95 % interval ± 3.05.

    t(57)·1.915/√58 = 0.5035 and t(58)·1.915/√59 = 0.4990: 59 groups of 8 are 472 images.
    """
    better = of_groups([10.0, 12, 14, 16])
    worse = of_groups([11.0, 11, 17, 15])
    found = forms.FORMS["pair"](claim(**PAIR), [better, worse])
    assert found.verdict == UNDECIDED
    assert "lean towards the claim" in found.reason
    assert (
        found.decided_by
        == "about 470 images (59 groups of 8) would decide it (key sampling.images_of), if the difference stays"
    )


#: Means 10, 10.25 and 10.5; first and last differ by 1, 0, 1, 0: 0.5 with deviation 1/√3.
WIDE = [of_groups(v) for v in ([9.0, 11, 9, 11], [9.5, 11, 9.5, 11], [10.0, 11, 10, 11])]


@pytest.mark.parametrize(
    ("keys", "cells", "std", "distance"),
    [
        ({"cell": "a/x-5", "below": 10.3}, WIDE[:1], (4 / 3) ** 0.5, 0.3),
        ({"cell": "a/x-5", "above": 10.5}, WIDE[:1], (4 / 3) ** 0.5, 0.5),
        ({"cells": STEPS, "trend": "rising"}, WIDE, (1 / 3) ** 0.5, 0.5),
        ({"cells": STEPS, "trend": "falling"}, WIDE, (1 / 3) ** 0.5, 0.5),
        ({"cells": STEPS, "trend": "flat", "within": 8}, WIDE, (1 / 3) ** 0.5, 0.08 * 10.25 - 0.5),
        ({"same": ("a/x-5", "b/x-5"), "within": 4}, WIDE[::2], (1 / 3) ** 0.5, 0.5 - 0.04 * 10.25),
        ({"as_good": ("a/x-5", "b/x-5"), "within": 4}, WIDE[::-2], (1 / 3) ** 0.5, 0.5 - 0.04 * 10),
        ({**PAIR, "margin": 0.7}, WIDE[::2], (1 / 3) ** 0.5, 0.2),
    ],
)
def test_every_form_says_how_much_would_decide_it(
    keys: dict[str, Any], cells: list[Cell], std: float, distance: float
) -> None:
    asked = claim(**keys)
    found = forms.FORMS[asked.form](asked, cells)
    assert found.verdict == UNDECIDED
    assert found.decided_by == Sample("group", 4, std, n=8).decided_by(distance)


def test_where_nothing_has_an_interval_several_groups_would_tell() -> None:
    found = forms.FORMS["pair"](claim(**PAIR), [cell(10, None), cell(20, None)])
    assert found.decided_by == "several groups of as many images for each would tell"


ASKED = {
    "pair": PAIR,
    "below": {"cell": "a/x-5", "below": 1.0},
    "above": {"cell": "a/x-5", "above": 1.0},
    "trend": {"cells": STEPS, "trend": "rising"},
    "same": {"same": ("a/x-5", "b/x-5"), "within": 1.0},
    "as_good": {"as_good": ("a/x-5", "b/x-5"), "within": 1.0},
    "loss": {"run": "baseline", "loss_below": 0.5, "before": 9},
}


@pytest.mark.parametrize("form", ASKED)
def test_without_values_a_claim_of_any_form_is_not_run(empty_tree: StudyTree, form: str) -> None:
    asked = claim(**ASKED[form])
    assert asked.form == form
    loaded = empty_tree.loaded
    loaded = loaded._replace(study=loaded.study.model_copy(update={"claims": (asked,)}), experiments={})
    [found] = judge(loaded, {})
    assert found.verdict == "not run"
    assert found.reason.startswith(("no value for a with x-5", "no losses of baseline/seed0"))
