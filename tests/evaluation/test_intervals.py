import json

import numpy as np
import pytest
import scipy.stats

from rediffuse.evaluation.frechet import FrechetReference
from rediffuse.evaluation.intervals import grouped, over_images


def test_the_interval_is_students():
    values = [3.0, 4.5, 3.9]
    estimate = grouped(values, 360)
    low, high = scipy.stats.t.interval(0.95, 2, loc=np.mean(values), scale=scipy.stats.sem(values))
    assert (estimate.low, estimate.high) == pytest.approx((low, high), rel=1e-9)
    assert estimate.value == pytest.approx(np.mean(values), rel=1e-15)
    assert estimate.std == pytest.approx(np.std(values, ddof=1), rel=1e-15)
    assert estimate.interval == "95 % t-interval over 3 independent groups"


def test_one_group_has_a_value_and_no_interval():
    estimate = grouped([5.0], 360)
    assert (estimate.value, estimate.low, estimate.high, estimate.std) == (5.0, None, None, None)
    assert estimate.interval == "none: a single group"


def test_equal_groups_have_an_interval_of_no_width():
    estimate = grouped([2.0, 2.0], 10)
    assert (estimate.low, estimate.value, estimate.high) == (2.0, 2.0, 2.0)


def test_every_interval_contains_its_own_estimate():
    random = np.random.default_rng(0)
    for count in range(2, 50):
        estimate = grouped(random.lognormal(3, 2, size=count), 10)
        assert estimate.low <= estimate.value <= estimate.high


def test_a_mean_over_images_has_students_interval_too():
    values = np.array([4.1, 4.6, 3.8, 5.0])
    estimate = over_images(values)
    low, high = scipy.stats.t.interval(0.95, 3, loc=values.mean(), scale=scipy.stats.sem(values))
    assert (estimate["low"], estimate["high"]) == pytest.approx((low, high), rel=1e-9)
    assert (estimate["n"], estimate["interval"]) == (4, "95 % t-interval over 4 images")
    assert over_images([4.1])["low"] is None


def test_no_group_is_refused():
    with pytest.raises(ValueError, match="no group"):
        grouped([], 10)


def test_an_estimate_is_plain_json():
    text = json.dumps(grouped(np.array([1.0, 2.0], dtype=np.float32), 10).to_dict(), allow_nan=False)
    assert json.loads(text)["groups"] == [1.0, 2.0]


@pytest.mark.parametrize("groups", [3, 5])
def test_the_interval_of_a_frechet_distance_covers_its_expectation_as_often_as_it_says(groups):
    """600 repetitions on real Fréchet distances of 40 images in 4 dimensions; 95 % ± 3 standard errors (2.7 points)."""
    random = np.random.default_rng(0)
    reference = FrechetReference(np.zeros(4), np.eye(4))
    values = np.array([reference.distance(random.normal(size=(40, 4)) * 1.1 + 0.1) for _ in range(600 * groups)])
    expectation = values.mean()
    estimates = [grouped(part, 40) for part in values.reshape(600, groups)]
    covered = np.mean([estimate.low <= expectation <= estimate.high for estimate in estimates])
    assert abs(covered - 0.95) < 0.027
