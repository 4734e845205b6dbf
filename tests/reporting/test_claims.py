import dataclasses

import numpy as np
import pytest
import scipy.stats

from rediffuse.reporting.experiments.cells import Cell, compare
from rediffuse.reporting.experiments.claims import judge, tally
from tests.reporting.study_tree import StudyTree


def cell(value: float, half: float | None = 1.0, *, n: int = 8, metric: str = "frechet_distance") -> Cell:
    low, high = (None, None) if half is None else (value - half, value + half)
    return Cell("run", "setting", metric, value, low, high, n, (0,), "test", ("file",))


@pytest.mark.parametrize(
    ("better", "worse", "verdict"),
    [
        (cell(10), cell(20), "holds"),
        (cell(20), cell(10), "does not hold"),
        (cell(10), cell(11), "undecided"),
        (cell(10), cell(12), "undecided"),
        (None, cell(10), "not run"),
        (cell(10), None, "not run"),
    ],
)
def test_verdict(empty_tree: StudyTree, better: Cell | None, worse: Cell | None, verdict: str) -> None:
    names = {("improved", "ancestral-5"): better, ("baseline", "ancestral-5"): worse}
    cells = {(*name, "frechet_distance"): found for name, found in names.items() if found is not None}
    assert [item.verdict for item in judge(empty_tree.loaded, cells)] == [verdict]


def test_an_undecided_claim_says_which_way_the_values_lean(empty_tree: StudyTree) -> None:
    cells = {
        ("improved", "ancestral-5", "frechet_distance"): cell(11),
        ("baseline", "ancestral-5", "frechet_distance"): cell(10),
    }
    assert "lean against the claim" in judge(empty_tree.loaded, cells)[0].reason


def test_a_higher_inception_score_is_better() -> None:
    high, low = cell(5, metric="inception_score"), cell(2, metric="inception_score")
    assert compare(high, low).outcome == "better"


def test_values_from_different_numbers_of_images_are_not_compared() -> None:
    found = compare(cell(10, n=360), cell(100, n=100))
    assert found.outcome == "undecided"
    assert "360 and 100" in found.reason


def test_two_values_without_intervals_decide_nothing() -> None:
    assert compare(cell(10, None), cell(100, None)).outcome == "undecided"


def test_a_value_without_interval_counts_as_a_point_against_one_with() -> None:
    assert compare(cell(10, None), cell(12)).outcome == "better"
    assert compare(cell(11.5, None), cell(12)).outcome == "undecided"


def test_values_of_the_same_images_are_compared_image_by_image() -> None:
    """Differences 0.2 ± 0.1 between images that themselves differ by far more; SciPy's paired test decides alike."""
    rng = np.random.default_rng(0)
    easy = rng.normal(5, 2, 60)
    hard = easy + rng.normal(0.2, 0.1, 60)
    first, second = (
        dataclasses.replace(cell(v.mean(), 0.5, n=60, metric="bits_per_dim"), per_image=tuple(v)) for v in (easy, hard)
    )
    found = compare(first, second)
    assert found.outcome == "better"
    interval = scipy.stats.ttest_rel(hard, easy).confidence_interval(0.95)
    assert f"[{interval.low:.4f}, {interval.high:.4f}]" in found.reason
    assert compare(second, first).outcome == "worse"


def test_differences_around_nought_decide_nothing() -> None:
    values = np.linspace(4, 6, 30)
    first, second = (
        dataclasses.replace(cell(v.mean(), n=30, metric="bits_per_dim"), per_image=tuple(v))
        for v in (values, values + np.tile([0.5, -0.49], 15))
    )
    assert compare(first, second).outcome == "undecided"


def test_the_tally_counts_each_kind_of_verdict(empty_tree: StudyTree) -> None:
    assert tally(judge(empty_tree.loaded, {})) == "Of 1 claim, 1 was not run."
