import cleanfid.fid
import numpy as np
import pytest
import sklearn.metrics.pairwise

from rediffuse.evaluation.kernel import (
    KernelReference,
    kernel_distance,
    polynomial_kernel,
)


def sets(n: int, m: int, dim: int = 24, shift: float = 0.3):
    random = np.random.default_rng(n + m)
    return random.normal(size=(n, dim)), random.normal(size=(m, dim)) + shift


def test_the_kernel_is_scikit_learns_cubic_one():
    x, y = sets(30, 40)
    expected = sklearn.metrics.pairwise.polynomial_kernel(x, y, degree=3, gamma=1 / 24, coef0=1)
    np.testing.assert_allclose(polynomial_kernel(x, y), expected, rtol=1e-13)


def test_the_distance_is_the_unbiased_estimate_from_scikit_learns_kernel():
    x, y = sets(30, 40)
    kernel = sklearn.metrics.pairwise.polynomial_kernel
    xx, yy, xy = (kernel(a, b, degree=3, gamma=1 / 24, coef0=1) for a, b in ((x, x), (y, y), (x, y)))
    off_diagonal = [(k.sum() - np.trace(k)) / (len(k) * (len(k) - 1)) for k in (xx, yy)]
    assert kernel_distance(x, y) == pytest.approx(sum(off_diagonal) - 2 * xy.mean(), rel=1e-12)


def test_the_distance_of_equal_sized_sets_is_clean_fids():
    x, y = sets(60, 60)
    assert kernel_distance(x, y) == pytest.approx(cleanfid.fid.kernel_distance(y, x, num_subsets=1), rel=1e-10)


def test_sets_larger_than_a_block_give_the_same_as_one_block():
    x, y = sets(2100, 2300, dim=3)
    k = [polynomial_kernel(a, b) for a, b in ((x, x), (y, y), (x, y))]
    expected = sum((m.sum() - np.trace(m)) / (len(m) * (len(m) - 1)) for m in k[:2]) - 2 * k[2].mean()
    assert kernel_distance(x, y) == pytest.approx(expected, rel=1e-10)


def test_one_reference_serves_many_sets():
    x, y = sets(30, 40)
    reference = KernelReference(y)
    for part in (x[:10], x[10:], x):
        assert reference.distance(part) == pytest.approx(kernel_distance(part, y), rel=1e-13)


def test_the_estimate_is_unbiased_for_sets_of_any_size():
    """Two sets of one distribution: the mean over 2,000 draws lies within 4 standard errors of zero."""
    random = np.random.default_rng(0)
    draws = [kernel_distance(random.normal(size=(5, 4)), random.normal(size=(12, 4))) for _ in range(2000)]
    assert abs(np.mean(draws)) < 4 * np.std(draws) / 2000**0.5


def test_one_image_is_too_few():
    x, y = sets(10, 10)
    with pytest.raises(ValueError, match="at least 2 images, not 1"):
        kernel_distance(x[:1], y)


def test_features_of_another_dimension_are_refused():
    with pytest.raises(ValueError, match="24 dimensions, the reference 3"):
        kernel_distance(sets(10, 10)[0], sets(10, 10, dim=3)[1])
