import numpy as np
import pytest
import scipy.linalg

from rediffuse.evaluation.frechet import (
    FrechetReference,
    RunningMoments,
    factorise,
    frechet_distance,
    moments,
    trace_sqrt_product,
)


def covariance(dim: int, rank: int, seed: int) -> np.ndarray:
    factor = np.random.default_rng(seed).normal(size=(dim, rank))
    return factor @ factor.T / rank


def features(count: int, dim: int, seed: int) -> np.ndarray:
    random = np.random.default_rng(seed)
    return (random.normal(size=(count, dim)) @ random.normal(size=(dim, dim)) / dim**0.5 + seed).astype(np.float32)


def by_sqrtm(mu1, sigma1, mu2, sigma2) -> float:
    root = scipy.linalg.sqrtm(sigma1 @ sigma2)
    return float(np.sum((mu1 - mu2) ** 2) + np.trace(sigma1) + np.trace(sigma2) - 2 * np.trace(root).real)


def test_one_dimension_has_the_known_closed_form():
    distance = frechet_distance(np.array([1.0]), np.array([[4.0]]), np.array([3.0]), np.array([[9.0]]))
    assert distance == pytest.approx((1 - 3) ** 2 + (2 - 3) ** 2, rel=1e-14)


def test_diagonal_covariances_have_the_known_closed_form():
    a, b = np.array([1.0, 4.0, 9.0]), np.array([4.0, 1.0, 0.25])
    distance = frechet_distance(np.zeros(3), np.diag(a), np.ones(3), np.diag(b))
    assert distance == pytest.approx(3 + np.sum((np.sqrt(a) - np.sqrt(b)) ** 2), rel=1e-13)


@pytest.mark.parametrize("seed", range(3))
def test_the_trace_agrees_with_sqrtm_on_well_conditioned_covariances(seed):
    first, second = covariance(96, 400, seed), covariance(96, 400, seed + 10)
    expected = np.trace(scipy.linalg.sqrtm(first @ second)).real
    assert trace_sqrt_product(first, second) == pytest.approx(expected, rel=1e-12)


def test_the_distance_agrees_with_sqrtm():
    one, two = moments(features(500, 64, 0)), moments(features(400, 64, 1))
    assert frechet_distance(*one, *two) == pytest.approx(by_sqrtm(*one, *two), rel=1e-10)


def test_singular_covariances_give_the_sum_of_singular_values_of_their_factors():
    random = np.random.default_rng(0)
    a, b = random.normal(size=(80, 20)), random.normal(size=(80, 30))
    expected = scipy.linalg.svdvals(a.T @ b).sum()
    assert trace_sqrt_product(a @ a.T, b @ b.T) == pytest.approx(expected, rel=1e-7)


def test_covariances_on_orthogonal_subspaces_share_nothing():
    first, second = np.diag([1.0, 2.0, 0.0, 0.0]), np.diag([0.0, 0.0, 3.0, 4.0])
    assert trace_sqrt_product(first, second) == pytest.approx(0.0, abs=1e-12)


def test_a_covariance_of_zero_leaves_the_other_trace():
    distance = frechet_distance(np.zeros(3), np.zeros((3, 3)), np.zeros(3), np.diag([1.0, 2.0, 3.0]))
    assert distance == pytest.approx(6.0, rel=1e-14)


def test_a_factor_reproduces_its_covariance_with_no_more_columns_than_its_rank():
    sigma = covariance(50, 12, 0)
    factor = factorise(sigma)
    assert factor.shape == (50, 12)
    np.testing.assert_allclose(factor @ factor.T, sigma, atol=1e-12)


@pytest.mark.parametrize(("count", "of_reference"), [(40, 300), (40, 50), (64, 300), (65, 300), (500, 50), (500, 300)])
def test_the_reference_gives_the_distance_of_its_moments(count, of_reference):
    """Fewer and more images than the 64 dimensions, against a singular and a full covariance."""
    sample, real = features(count, 64, 0), features(of_reference, 64, 1)
    expected = frechet_distance(*moments(sample), *moments(real))
    assert FrechetReference(*moments(real)).distance(sample) == pytest.approx(expected, rel=1e-6)


def test_few_images_agree_with_the_exact_singular_values():
    sample, real = features(30, 64, 0).astype(float), features(45, 64, 1).astype(float)
    x, y = (sample - sample.mean(0)) / 29**0.5, (real - real.mean(0)) / 44**0.5
    exact = np.sum((sample.mean(0) - real.mean(0)) ** 2) + np.sum(x**2) + np.sum(y**2)
    exact -= 2 * scipy.linalg.svdvals(x @ y.T).sum()
    assert FrechetReference(*moments(real)).distance(sample) == pytest.approx(exact, rel=1e-7)


@pytest.mark.parametrize("count", [40, 300])
def test_a_set_is_at_distance_zero_from_itself(count):
    real = features(count, 64, 0)
    scale = np.trace(moments(real)[1])
    assert FrechetReference(*moments(real)).distance(real) <= 1e-6 * scale


def test_the_distance_is_symmetric():
    one, two = moments(features(300, 32, 0)), moments(features(200, 32, 1))
    assert frechet_distance(*one, *two) == pytest.approx(frechet_distance(*two, *one), rel=1e-12)


def test_the_distance_does_not_depend_on_the_basis():
    one, two = features(300, 32, 0).astype(float), features(200, 32, 1).astype(float)
    rotation = np.linalg.qr(np.random.default_rng(0).normal(size=(32, 32)))[0]
    turned = frechet_distance(*moments(one @ rotation), *moments(two @ rotation))
    assert turned == pytest.approx(frechet_distance(*moments(one), *moments(two)), rel=1e-11)


def test_streamed_moments_are_those_of_the_whole():
    real = features(1000, 32, 2)
    running = RunningMoments(32)
    for start in range(0, 1000, 77):
        running.update(real[start : start + 77])
    assert running.count == 1000
    np.testing.assert_allclose(running.mean, real.astype(float).mean(0), rtol=1e-12)
    np.testing.assert_allclose(running.covariance(), np.cov(real.astype(float), rowvar=False), rtol=1e-10, atol=1e-13)


def test_merged_moments_are_those_of_the_whole():
    real = features(300, 16, 0)
    left, right, empty = RunningMoments(16), RunningMoments(16), RunningMoments(16)
    left.update(real[:100])
    right.update(real[100:])
    left.merge(right)
    left.merge(empty)
    mu, sigma = moments(real)
    np.testing.assert_allclose(left.mean, mu, rtol=1e-12)
    np.testing.assert_allclose(left.covariance(), sigma, rtol=1e-10, atol=1e-13)


def test_a_large_common_offset_does_not_spoil_the_covariance():
    real = np.random.default_rng(0).normal(size=(500, 8))
    np.testing.assert_allclose(moments(real + 1e6)[1], moments(real)[1], rtol=1e-6, atol=1e-9)


def test_one_image_has_no_covariance():
    with pytest.raises(ValueError, match="at least 2 images, not 1"):
        moments(features(1, 8, 0))


@pytest.mark.parametrize("where", ["mu", "sigma"])
def test_nan_in_the_moments_is_refused(where):
    mu, sigma = moments(features(20, 4, 0))
    bad = (mu * np.nan, sigma) if where == "mu" else (mu, sigma * np.nan)
    with pytest.raises(ValueError, match="NaN"):
        frechet_distance(*bad, mu, sigma)


def test_moments_of_different_dimensions_are_refused():
    with pytest.raises(ValueError, match="differ in dimension: 4 and 5"):
        frechet_distance(*moments(features(20, 4, 0)), *moments(features(20, 5, 0)))
    with pytest.raises(ValueError, match="features have 5 dimensions, the reference 4"):
        FrechetReference(*moments(features(20, 4, 0))).distance(features(20, 5, 0))
