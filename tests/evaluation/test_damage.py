"""Damage that is done to real images on purpose."""

import numpy as np
import pytest

from rediffuse.evaluation.damage import blurred, degrees, mixed, noised, repeated, without_classes


@pytest.fixture
def random() -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(0))


@pytest.fixture
def images(random: np.random.Generator) -> np.ndarray:
    return random.integers(64, 192, (200, 1, 8, 8), dtype=np.uint8)


def test_noise_has_the_standard_deviation_asked_for(images: np.ndarray, random: np.random.Generator):
    difference = noised(images, 8, random).astype(float) - images
    # 12,800 pixels; rounding adds a variance of 1/12, and 64 to 191 is 8 standard deviations from both ends.
    assert difference.std() == pytest.approx((8**2 + 1 / 12) ** 0.5, rel=4 / (2 * difference.size) ** 0.5)
    assert abs(difference.mean()) < 4 * 8 / difference.size**0.5


def test_a_blur_keeps_a_flat_image_and_spreads_a_point_as_a_gaussian():
    assert (blurred(np.full((1, 1, 9, 9), 77, np.uint8), 1.0) == 77).all()
    point = np.zeros((1, 1, 15, 15), np.uint8)
    point[0, 0, 7, 7] = 255
    weights = np.exp(-(np.arange(-4, 5) ** 2) / 2)  # 4 standard deviations to each side
    weights /= weights.sum()
    assert blurred(point, 1.0)[0, 0, 7, 7] == round(255 * weights[4] ** 2)
    assert blurred(point, 1.0)[0, 0, 7, 8] == round(255 * weights[4] * weights[5])


def test_a_mixture_replaces_the_share_asked_for(images: np.ndarray, random: np.random.Generator):
    changed = (mixed(images, 0.3, random) != images).any(axis=(1, 2, 3))
    assert changed.sum() == 60


def test_copies_leave_one_image_of_each_row(images: np.ndarray):
    made = repeated(images, 5)
    assert len(np.unique(made.reshape(200, -1), axis=0)) == 40
    np.testing.assert_array_equal(made[:6], images[[0, 0, 0, 0, 0, 5]])


def test_missing_classes_are_missing(images: np.ndarray):
    labels = np.arange(200) % 10
    np.testing.assert_array_equal(without_classes(images, 4, None, labels), images[labels < 4])


def test_images_without_classes_miss_none():
    assert {one.kind for one in degrees(0)} == {"noise", "blur", "mixture", "copies"}
    assert [one.degree for one in degrees(10) if one.kind == "missing classes"] == ["7 of 10 left", "4 of 10 left"]
