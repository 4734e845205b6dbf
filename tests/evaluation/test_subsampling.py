"""Subsampling intervals: what they are, and how often they hold the truth."""

import numpy as np
import pytest
import scipy.stats

from rediffuse.errors import UserError
from rediffuse.evaluation.subsampling import subsampled


def test_the_interval_is_students_around_the_statistic_of_all_images():
    values = np.random.default_rng(0).lognormal(size=31)
    found = subsampled(lambda chosen: float(np.median(values[chosen])), 31, repeats=15, seed=3)
    assert found.value == np.median(values)
    assert found.std == pytest.approx(np.std(found.halves, ddof=1), rel=1e-14)
    low, high = scipy.stats.t.interval(0.95, 14, loc=found.value, scale=found.std)
    assert (found.low, found.high) == pytest.approx((low, high), rel=1e-9)
    assert (found.n, len(found.halves)) == (31, 15)


def test_halves_hold_half_of_the_images_each_once_and_repeat_with_their_seed():
    seen = []
    subsampled(lambda chosen: float(seen.append(chosen) or 0), 21, repeats=5)
    assert [len(np.unique(chosen)) for chosen in seen] == [10, 10, 10, 10, 10, 21]
    once, again = (subsampled(lambda chosen: float(chosen[0]), 21, repeats=5, seed=1) for _ in range(2))
    assert once == again


def test_the_deviation_over_halves_is_the_standard_error_of_a_mean():
    """4,000 halves: the relative standard error of a standard deviation is 1.1 %; five of them."""
    values = np.random.default_rng(0).normal(size=200)
    found = subsampled(lambda chosen: float(values[chosen].mean()), 200, repeats=4000)
    assert found.std == pytest.approx(scipy.stats.sem(values), rel=0.055)


def test_the_interval_of_a_mean_holds_the_truth_as_often_as_it_says():
    """600 repetitions; 95 % ± 3 standard errors (2.7 points)."""
    random = np.random.default_rng(0)
    sets = random.exponential(size=(600, 60))
    found = [
        subsampled(lambda chosen, s=s: float(s[chosen].mean()), 60, repeats=30, seed=i) for i, s in enumerate(sets)
    ]
    assert abs(np.mean([f.low <= 1 <= f.high for f in found]) - 0.95) < 0.027


def test_the_interval_of_the_diversity_holds_the_truth_as_often_as_it_says():
    """A mean over pairs of images, twice the trace of the covariance: 500 repetitions; 95 % ± 3 standard errors."""
    random = np.random.default_rng(1)
    scale = np.array([0.5, 1.0, 2.0, 3.0])
    found = []
    for i in range(500):
        x = random.normal(size=(150, 4)) * scale
        found.append(subsampled(lambda chosen, x=x: 2 * float(x[chosen].var(0, ddof=1).sum()), 150, repeats=20, seed=i))
    truth = 2 * (scale**2).sum()
    assert abs(np.mean([f.low <= truth <= f.high for f in found]) - 0.95) < 0.0293


def test_too_few_images_or_repeats_are_refused():
    with pytest.raises(UserError, match="at least 4 images and 2 repeats, not 3 and 40"):
        subsampled(lambda chosen: 0.0, 3)
    with pytest.raises(UserError, match="between 0 and 1"):
        subsampled(lambda chosen: 0.0, 10, confidence=1.0)
