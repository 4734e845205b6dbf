import numpy as np
import pytest

from rediffuse.data.image_set import images_digest
from rediffuse.data.registry import load


@pytest.fixture(scope="module")
def digits():
    return load("digits")


def test_the_digits_are_1797_real_scans_of_8x8(digits):
    assert digits.images.shape == (1797, 1, 8, 8)
    assert digits.images.dtype == np.uint8
    assert digits.shape == (1, 8, 8)


def test_the_pixel_mapping_can_be_undone(digits):
    from sklearn.datasets import load_digits

    counts = np.round(digits.images[:, 0].astype(float) * 16 / 255)
    np.testing.assert_array_equal(counts, load_digits().images)


def test_the_pixel_mapping_reaches_both_ends(digits):
    assert (digits.images.min(), digits.images.max()) == (0, 255)


def test_360_digits_are_held_out(digits):
    assert digits.held_out.sum() == 360
    assert len(digits.indices("train")) == 1437
    assert set(digits.indices("train")) & set(digits.indices("held-out")) == set()


def test_every_class_is_held_out_in_proportion(digits):
    sizes = np.bincount(digits.labels)
    held_out = np.bincount(digits.labels[digits.held_out])
    assert np.abs(held_out - sizes * 360 / 1797).max() < 1


def test_images_and_split_are_the_same_everywhere(digits):
    assert images_digest(digits.images) == "e74bf3b15ac651eb11d9e136b2a9f86c06c9802aa2abaac9603b033495b30ee7"
    assert np.flatnonzero(digits.held_out)[:8].tolist() == [0, 1, 4, 5, 8, 10, 14, 32]


def test_the_card_counts_what_there_is(digits):
    card = digits.card
    assert (card["images"], card["train"], card["held_out"]) == (1797, 1437, 360)
    assert card["images_sha256"] == images_digest(digits.images)
    for key in ("source", "licence", "citation", "preprocessing"):
        assert card[key]


def test_smoke_is_64_digits_with_24_held_out():
    smoke = load("smoke")
    assert len(smoke) == 64
    assert smoke.held_out.sum() == 24
    assert np.bincount(smoke.labels[~smoke.held_out]).tolist() == [4] * 10


def test_smoke_never_trains_on_a_digit_that_digits_holds_out(digits):
    smoke = load("smoke")
    forbidden = {image.tobytes() for image in digits.split("held-out")[0]}
    trained = {image.tobytes() for image in smoke.split("train")[0]}
    assert trained & forbidden == set()
