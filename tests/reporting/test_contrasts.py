"""Differences of cells: their intervals against SciPy's, what they cover by simulation, and what would decide them."""

import numpy as np
import pytest
import scipy.stats

from rediffuse.evaluation.frechet import FrechetReference, moments
from rediffuse.reporting.experiments.cells import Cell, Part
from rediffuse.reporting.experiments.contrasts import Sample, against, compare, contrast, gain
from tests.reporting.made_cells import cell, of_groups, of_images, of_seeds


def test_a_higher_inception_score_is_better() -> None:
    high, low = cell(5, metric="inception_score"), cell(2, metric="inception_score")
    assert compare(high, low).outcome == "better"


def test_values_from_different_numbers_of_images_are_not_compared() -> None:
    found = compare(cell(10, n=360), cell(100, n=100))
    assert found.outcome == "undecided"
    assert "100 and 360" in found.reason


def test_two_values_without_intervals_decide_nothing() -> None:
    assert compare(cell(10, None), cell(100, None)).outcome == "undecided"


def test_a_value_without_interval_counts_as_a_point_against_one_with() -> None:
    assert compare(cell(10, None), cell(12)).outcome == "better"
    assert compare(cell(11.5, None), cell(12)).outcome == "undecided"


def test_intervals_of_unknown_origin_must_be_apart() -> None:
    assert compare(cell(10), cell(12.1)).outcome == "better"
    assert compare(cell(10), cell(12)).outcome == "undecided"


def test_values_of_the_same_images_are_compared_image_by_image() -> None:
    """Differences 0.2 ± 0.1 between images that themselves differ by far more; SciPy's paired test decides alike."""
    rng = np.random.default_rng(0)
    easy = rng.normal(5, 2, 60)
    hard = easy + rng.normal(0.2, 0.1, 60)
    first, second = of_images(easy), of_images(hard)
    found = compare(first, second)
    assert found.outcome == "better"
    interval = scipy.stats.ttest_rel(hard, easy).confidence_interval(0.95)
    assert f"[{interval.low:.4f}, {interval.high:.4f}]" in found.reason
    assert compare(second, first).outcome == "worse"


def test_differences_around_nought_decide_nothing() -> None:
    values = np.linspace(4, 6, 30)
    assert compare(of_images(values), of_images(values + np.tile([0.5, -0.49], 15))).outcome == "undecided"


def test_groups_from_the_same_noise_are_paired_and_their_times_too() -> None:
    ours, theirs = [100.0, 120, 90, 110], [110.0, 128, 101, 121]
    for times in (1.0, 1.5):
        found = contrast(of_groups(ours), of_groups(theirs), times)
        wanted = scipy.stats.ttest_1samp(np.array(ours) - times * np.array(theirs), 0).confidence_interval(0.95)
        assert (found.value - found.half, found.value + found.half) == pytest.approx((wanted.low, wanted.high))
    # Their own intervals overlap by far: ±20 around 105 and ±18 around 115.
    assert compare(of_groups(ours), of_groups(theirs)).outcome == "better"


@pytest.mark.parametrize(
    "other", [{"run": "real", "setting": "noise", "seeds": (None,)}, {"setting": "one-pass-1"}, {"seeds": (7,)}]
)
def test_what_shares_no_noise_is_held_apart_by_welchs_interval(other: dict) -> None:
    ours, theirs = [100.0, 120, 90, 110], [130.0, 131, 129, 133, 135]
    found = contrast(of_groups(ours), of_groups(theirs, **other))
    wanted = scipy.stats.ttest_ind(ours, theirs, equal_var=False).confidence_interval(0.95)
    assert (found.value - found.half, found.value + found.half) == pytest.approx((wanted.low, wanted.high))


def test_the_same_seeds_are_paired_and_other_seeds_are_not() -> None:
    ours, theirs = [100.0, 120, 90], [104.0, 125, 93]
    paired = contrast(of_seeds(ours), of_seeds(theirs))
    wanted = scipy.stats.ttest_rel(ours, theirs).confidence_interval(0.95)
    assert (paired.value - paired.half, paired.value + paired.half) == pytest.approx((wanted.low, wanted.high))
    apart = contrast(of_seeds(ours), of_seeds(theirs, first=3))
    wanted = scipy.stats.ttest_ind(ours, theirs, equal_var=False).confidence_interval(0.95)
    assert apart.half == pytest.approx((wanted.high - wanted.low) / 2)


def test_of_more_seeds_those_are_paired_that_both_have() -> None:
    ours, theirs = [100.0, 120, 90], [104.0, 125, 93, 300, 310]
    found = contrast(of_seeds(ours), of_seeds(theirs))
    wanted = scipy.stats.ttest_rel(ours, theirs[:3]).confidence_interval(0.95)
    assert (found.value - found.half, found.value + found.half) == pytest.approx((wanted.low, wanted.high))
    # The value of all five seeds, 186.4, would not give the difference: what it is of is said.
    assert found.why.startswith("the difference over the same 3 training seeds, 103.3 less 107.3, is -4.000 [")
    assert "less" not in contrast(of_seeds(ours), of_seeds(theirs[:3])).why


def test_several_seeds_against_one_are_compared_by_the_seed_that_both_have() -> None:
    """The further seeds say nothing of a sampler that was tried with the first alone."""
    parts = (Part(0, 10.0, (9.0, 11.0, 10.0)), Part(1, 50.0, (49.0, 51.0, 50.0)))
    many = Cell("run", "setting", "frechet_distance", 30.0, 0, 60, 8, (0, 1), "test", ("a", "b"), parts)
    found = contrast(many, of_groups([8.0, 10.5, 9.0]))
    wanted = scipy.stats.ttest_1samp([1.0, 0.5, 1.0], 0).confidence_interval(0.95)
    assert (found.value - found.half, found.value + found.half) == pytest.approx((wanted.low, wanted.high))


def test_of_different_numbers_of_groups_those_that_both_have_are_paired() -> None:
    """20 groups against 4, true difference 3, half of the variance shared: the interval covers as often as it says."""
    rng = np.random.default_rng(3)
    covered = 0
    for _ in range(2000):
        common = rng.normal(0, 2, 20)
        ours, theirs = 100 + common + rng.normal(0, 2, 20), (97 + common + rng.normal(0, 2, 20))[:4]
        found = contrast(of_groups(ours), of_groups(theirs))
        covered += abs(found.value - 3) <= found.half
    assert covered / 2000 == pytest.approx(0.95, abs=3 * (0.95 * 0.05 / 2000) ** 0.5)
    wanted = scipy.stats.ttest_rel(ours[:4], theirs).confidence_interval(0.95)
    assert (found.value - found.half, found.value + found.half) == pytest.approx((wanted.low, wanted.high))
    assert "over 4 groups from the same noise" in found.why


def test_a_multiple_is_said_of_the_one_it_is_taken_of() -> None:
    """Lower is better: 20 less 1.7 times 10; higher: 10 less 1.7 times 20. Exact values have no interval to show."""
    times = gain(cell(10), cell(20), 1.7).why
    assert times.startswith("the second less 1.7 times the first is 3.000 [")
    assert gain(cell(10, metric="recall"), cell(20, metric="recall"), 1.7).why.startswith(
        "the first less 1.7 times the second"
    )
    assert gain(cell(10, 0.0), cell(20, 0.0), 1.7).why.endswith(" is 3.000")


def test_the_interval_of_paired_groups_covers_and_is_the_narrower_the_more_they_share() -> None:
    """2,000 studies of 4 groups, true difference 3, correlation 0.9: three standard errors of 95 % are 1.5 %."""
    rng = np.random.default_rng(1)
    covered, paired, welch = 0, [], []
    for _ in range(2000):
        common = rng.normal(0, 3, 4)
        ours, theirs = 100 + common + rng.normal(0, 1, 4), 97 + common + rng.normal(0, 1, 4)
        found = contrast(of_groups(ours), of_groups(theirs))
        covered += abs(found.value - 3) <= found.half
        paired.append(found.half)
        welch.append(contrast(of_groups(ours), of_groups(theirs, seeds=(1,))).half)
    assert covered / 2000 == pytest.approx(0.95, abs=3 * (0.95 * 0.05 / 2000) ** 0.5)
    assert np.mean(paired) < 0.6 * np.mean(welch)


def test_the_interval_covers_for_frechet_distances_of_features_from_the_same_noise() -> None:
    """Groups of 40 Gaussian features in 4 dimensions, scaled by 1.1 and by 1.3: as two samplers of the same noise.

    What they cover is the mean difference of 4,000 groups more, known 22 times as well as by the 8 of a repetition.
    """
    rng = np.random.default_rng(2)
    reference = FrechetReference(*moments(rng.normal(size=(2000, 4))))

    def distances(groups: int) -> tuple[np.ndarray, np.ndarray]:
        noise = rng.normal(size=(groups, 40, 4))
        one, two = ([reference.distance(scale * part) for part in noise] for scale in (1.1, 1.3))
        return np.array(one), np.array(two)

    truth = float(np.subtract(*distances(4000)[::-1]).mean())
    ones, twos = distances(4000)
    repetitions, covered, paired, welch = 500, 0, [], []
    for start in range(repetitions):
        chosen = slice(8 * start, 8 * start + 8)
        found = contrast(of_groups(twos[chosen]), of_groups(ones[chosen]))
        covered += abs(found.value - truth) <= found.half
        paired.append(found.half)
        welch.append(contrast(of_groups(twos[chosen]), of_groups(ones[chosen], seeds=(1,))).half)
    assert covered / repetitions == pytest.approx(0.95, abs=3 * (0.95 * 0.05 / repetitions) ** 0.5)
    assert np.mean(paired) < np.mean(welch)


@pytest.mark.parametrize(("std", "distance"), [(10.0, 5.0), (10.0, 1.0), (3.0, 0.4)])
def test_enough_groups_are_the_least_whose_interval_is_narrower(std: float, distance: float) -> None:
    found = Sample("group", 4, std, n=120).enough(distance)
    counts = np.arange(5, 5000)
    narrower = scipy.stats.t.ppf(0.975, counts - 1) * std / counts**0.5 < distance
    assert found == counts[narrower][0]


def test_what_would_decide_is_said_in_images_or_seeds() -> None:
    # t(10) = 2.228 and t(11) = 2.201: 3.4 · 2.228/√11 = 2.284, 3.4 · 2.201/√12 = 2.160, so twelve groups reach 2.2.
    text = Sample("group", 4, 3.4, n=120).decided_by(2.2)
    assert (
        text == "about 1400 images (12 groups of 120) would decide it (key sampling.images_of), if the difference stays"
    )
    # t(4) = 2.776 and t(3) = 3.182: 2.776/√5 = 1.241, 3.182/√4 = 1.591.
    assert Sample("training seed", 3, 1.0).decided_by(1.3).startswith("about 5 training seeds would")
    assert Sample("group", 4, 3.4, n=120).decided_by(0.001) == "no sensible number of images would decide it"
    assert Sample("group", 4, 3.4, n=120).decided_by(0.0) == "no sensible number of images would decide it"
    assert Sample("training seed", 3, 1.0).decided_by(0.1) == "no sensible number of training seeds would decide it"


def test_a_number_is_held_against_the_values_own_interval() -> None:
    assert [against(cell(10), bound).side() for bound in (8.9, 9.5, 11.1)] == [1, 0, -1]
    assert against(cell(10, None), 1).half is None
