"""Extrapolation of the Fréchet distance on Gaussians, whose exact distance is known."""

import numpy as np
import pytest

from rediffuse.errors import UserError
from rediffuse.evaluation.extrapolation import by_count, extrapolated
from rediffuse.evaluation.frechet import FrechetReference, frechet_distance

DIM = 4
SCALE, SHIFT = np.linspace(0.7, 1.4, DIM), 0.3
EXACT = frechet_distance(np.full(DIM, SHIFT), np.diag(SCALE**2), np.zeros(DIM), np.eye(DIM))


def sample(n: int, seed: int) -> np.ndarray:
    return np.random.default_rng([seed, n]).normal(size=(n, DIM)) * SCALE + SHIFT


@pytest.fixture(scope="module")
def reference() -> FrechetReference:
    return FrechetReference(np.zeros(DIM), np.eye(DIM))


@pytest.fixture(scope="module")
def many(reference):
    """250 independent sets of 200 images, each extrapolated."""
    return [extrapolated(sample(200, i), reference, parts=4, permutations=1, halves=16, seed=i) for i in range(250)]


def test_the_interval_holds_the_exact_distance_as_often_as_it_says(many):
    """250 repetitions; 95 % ± 3 standard errors (4.1 points)."""
    assert abs(np.mean([found.low <= EXACT <= found.high for found in many]) - 0.95) < 0.041


def test_the_extrapolated_distance_is_unbiased_and_the_plain_one_is_not(many):
    values, plain = np.array([f.value for f in many]), np.array([f.plain for f in many])
    error = values.std() / len(many) ** 0.5
    assert abs(values.mean() - EXACT) < 3 * error
    assert plain.mean() - EXACT > 8 * plain.std() / len(many) ** 0.5


def test_the_stated_error_is_the_spread_over_independent_sets(many):
    assert np.mean([f.std for f in many]) == pytest.approx(np.std([f.value for f in many]), rel=0.15)


def test_the_slope_is_the_bias_times_the_number_of_images(many):
    differences = np.array([found.plain - EXACT - found.slope / 200 for found in many])
    assert abs(differences.mean()) < 3 * differences.std() / len(many) ** 0.5


def test_every_interval_holds_its_own_estimate(many):
    assert all(found.low < found.value < found.high for found in many)


def test_the_points_use_every_image_and_the_line_is_the_least_squares_one(reference):
    x = sample(60, 0)
    found = extrapolated(x, reference, parts=3, permutations=2, halves=2, seed=5)
    assert found.counts == (60, 30, 20)
    assert found.plain == pytest.approx(reference.distance(x), rel=1e-12)
    slope, intercept = np.polyfit(1 / np.array(found.counts), found.distances, 1)
    assert (found.slope, found.value) == pytest.approx((slope, intercept), rel=1e-12)
    line = intercept + slope / np.array(found.counts)
    drop = slope * (1 / 20 - 1 / 60)
    assert found.curvature == pytest.approx(np.abs(line - found.distances).max() / drop, rel=1e-6)
    order = np.random.default_rng(5)
    first, second = order.permutation(60), order.permutation(60)
    halves = [reference.distance(x[p[part]]) for p in (first, second) for part in (slice(0, 30), slice(30, 60))]
    assert found.distances[1] == pytest.approx(np.mean(halves), rel=1e-12)


def test_a_hundred_images_of_the_true_distribution_score_high_and_all_of_it_is_bias():
    """The case of a distance quoted from 100 images: rank 99 in 200 dimensions, and nothing wrong with the images."""
    random = np.random.default_rng(0)
    scale = np.geomspace(1, 0.1, 200)
    reference = FrechetReference(np.zeros(200), np.diag(scale**2))
    x = random.normal(size=(4000, 200)) * scale
    few = by_count(x, reference, [100])[100].value
    found = extrapolated(x, reference, parts=4, permutations=1, halves=4)
    assert few > 0.2 * (scale**2).sum()
    assert found.curvature < 0.05
    assert found.excess(few) == pytest.approx(few, rel=0.03)


def test_fewer_images_than_dimensions_show_as_curvature():
    random = np.random.default_rng(1)
    reference = FrechetReference(np.zeros(100), np.eye(100))
    found = [extrapolated(random.normal(size=(n, 100)), reference, permutations=1, halves=2) for n in (60, 3000)]
    assert found[0].curvature > 3 * found[1].curvature


def test_the_distance_by_count_falls_with_the_count(reference):
    x = sample(400, 1)
    found = by_count(x, reference, [20, 100, 400])
    assert [len(found[n].groups) for n in (20, 100, 400)] == [10, 4, 1]
    assert found[20].value > found[100].value > found[400].value
    assert found[400].value == pytest.approx(reference.distance(x), rel=1e-12)
    assert found[20].low < found[20].value < found[20].high


def test_counts_that_cannot_be_had_are_refused(reference):
    with pytest.raises(UserError, match="of 11 images cannot be had from 10"):
        by_count(sample(10, 0), reference, [11])
    with pytest.raises(UserError, match="10 images are too few to cut their halves into 5 parts"):
        extrapolated(sample(10, 0), reference)
    with pytest.raises(UserError, match="at least 2 parts"):
        extrapolated(sample(100, 0), reference, parts=1)
