import numpy as np
import pytest
from scipy.spatial.distance import pdist
from scipy.special import gamma

from rediffuse.errors import UserError
from rediffuse.evaluation import distances
from rediffuse.evaluation.distances import mean_distance, pixel_vectors


def features(n: int = 60, dim: int = 12) -> np.ndarray:
    return np.random.default_rng(n).normal(size=(n, dim)) + 3


def test_the_mean_is_that_of_all_pairs():
    x = features()
    assert mean_distance(x) == pytest.approx(pdist(x).mean(), rel=1e-13)


def test_many_blocks_give_what_one_block_gives(monkeypatch):
    x = features(77)
    whole = mean_distance(x)
    monkeypatch.setattr(distances, "_ENTRIES", 200)
    assert mean_distance(x) == pytest.approx(whole, rel=1e-14)


def test_gaussian_images_have_the_known_mean_distance():
    # |x − y| / √2 has the chi distribution of `dim` degrees of freedom.
    x = np.random.default_rng(0).normal(size=(3000, 6))
    assert mean_distance(x) == pytest.approx(2 * gamma(3.5) / gamma(3), rel=0.01)


def test_copies_have_no_diversity():
    assert mean_distance(np.repeat([[0.1, 1e3, -7.3]], 5, axis=0)) == 0


def test_the_number_of_images_does_not_bias_it():
    """The mean over 2,000 sets of 3 images lies within 4 standard errors of the closed form."""
    random = np.random.default_rng(4)
    found = np.array([mean_distance(random.normal(size=(3, 2))) for _ in range(2000)])
    assert abs(found.mean() - 2 * gamma(1.5) / gamma(1)) < 4 * found.std() / 2000**0.5


def test_one_image_is_too_few():
    with pytest.raises(UserError, match="at least 2 are needed, there are 1"):
        mean_distance(features(1))


def test_nan_is_refused():
    with pytest.raises(UserError, match="NaN"):
        mean_distance(features() * np.nan)


def test_pixels_count_as_values_from_zero_to_one():
    images = np.zeros((2, 1, 2, 2), dtype=np.uint8)
    images[1] = 255
    assert mean_distance(pixel_vectors(images)) == 2.0
