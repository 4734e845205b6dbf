import numpy as np
import pytest
from scipy.spatial.distance import pdist
from scipy.special import gamma

from rediffuse.errors import UserError
from rediffuse.evaluation import distances
from rediffuse.evaluation.diversity import diversity, pixel_diversity
from rediffuse.evaluation.frechet import moments


def features(n: int = 60, dim: int = 12) -> np.ndarray:
    return np.random.default_rng(n).normal(size=(n, dim)) + 3


def test_both_means_are_those_of_all_pairs():
    x = features()
    found = diversity(x)
    assert found.distance == pytest.approx(pdist(x).mean(), rel=1e-13)
    assert found.squared == pytest.approx(pdist(x, "sqeuclidean").mean(), rel=1e-13)
    assert found.images == 60


def test_many_blocks_give_what_one_block_gives(monkeypatch):
    x = features(77)
    whole = diversity(x)
    monkeypatch.setattr(distances, "_ENTRIES", 200)
    assert diversity(x).distance == pytest.approx(whole.distance, rel=1e-14)


def test_the_mean_square_is_twice_the_trace_of_the_covariance():
    x = features()
    assert diversity(x).squared == pytest.approx(2 * np.trace(moments(x)[1]), rel=1e-13)


def test_gaussian_images_have_the_known_mean_distance():
    # |x − y| / √2 has the chi distribution of `dim` degrees of freedom.
    x = np.random.default_rng(0).normal(size=(3000, 6))
    assert diversity(x).distance == pytest.approx(2 * gamma(3.5) / gamma(3), rel=0.01)


def test_copies_have_no_diversity():
    found = diversity(np.repeat([[0.1, 1e3, -7.3]], 5, axis=0))
    assert (found.distance, found.squared) == (0, 0)


def test_the_number_of_images_does_not_bias_it():
    """Means over 2,000 sets of 3 images lie within 4 standard errors of the closed forms."""
    random = np.random.default_rng(4)
    found = np.array([[d.distance, d.squared] for d in (diversity(random.normal(size=(3, 2))) for _ in range(2000))])
    expected = np.array([2 * gamma(1.5) / gamma(1), 2 * 2])
    assert (np.abs(found.mean(0) - expected) < 4 * found.std(0) / 2000**0.5).all()


def test_pixels_count_as_values_from_zero_to_one():
    images = np.zeros((2, 1, 2, 2), dtype=np.uint8)
    images[1] = 255
    found = pixel_diversity(images)
    assert (found.distance, found.squared) == (2.0, 4.0)


def test_one_image_is_too_few():
    with pytest.raises(UserError, match="at least 2 are needed, there are 1"):
        diversity(features(1))


def test_nan_is_refused():
    with pytest.raises(UserError, match="NaN"):
        diversity(features() * np.nan)
