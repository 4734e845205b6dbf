"""Colours against colorsys and cases known by hand."""

import colorsys

import numpy as np
import pytest
import scipy.stats

from rediffuse.errors import UserError
from rediffuse.evaluation.colours import colour_statistics


def flat(*colours: tuple[int, int, int]) -> np.ndarray:
    """One flat 2×2 image of each colour."""
    return np.array(colours, dtype=np.uint8)[:, :, None, None].repeat(2, 2).repeat(2, 3)


@pytest.fixture
def noise() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (20, 3, 5, 4), dtype=np.uint8)


def test_means_and_deviations_are_those_of_the_pixels(noise):
    found, pixels = colour_statistics(noise), noise.transpose(1, 0, 2, 3).reshape(3, -1) / 255
    np.testing.assert_allclose(found.mean, pixels.mean(1), rtol=1e-12)
    np.testing.assert_allclose(found.std, pixels.std(1), rtol=1e-12)
    assert found.between == pytest.approx((noise / 255).mean((2, 3)).var(0).sum() / pixels.var(1).sum(), rel=1e-10)


def test_saturation_is_that_of_colorsys(noise):
    pixels = noise.transpose(0, 2, 3, 1).reshape(-1, 3) / 255
    expected = np.mean([colorsys.rgb_to_hsv(*pixel)[1] for pixel in pixels])
    assert colour_statistics(noise).saturation == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(
    ("colour", "hue"),
    [
        ((255, 0, 0), 0),
        ((255, 255, 0), 60),
        ((0, 200, 0), 120),
        ((9, 99, 99), 180),
        ((5, 5, 80), 240),
        ((80, 0, 80), 300),
    ],
)
def test_hues_of_pure_colours_are_colorsyss(colour, hue):
    found = colour_statistics(flat(colour))
    assert 360 * colorsys.rgb_to_hsv(*(c / 255 for c in colour))[0] == pytest.approx(hue)
    assert (found.hue - hue + 180) % 360 - 180 == pytest.approx(0, abs=1e-9)


def test_hues_of_all_colours_lie_within_the_known_difference_to_the_hexagon():
    """The hexagonal hue of HSV and the angle differ by at most 1.12 degrees."""
    random = np.random.default_rng(1)
    for colour in random.integers(0, 256, (200, 3)):
        if colour.max() - colour.min() < 8:
            continue
        theirs = 360 * colorsys.rgb_to_hsv(*(colour / 255))[0]
        assert abs((colour_statistics(flat(tuple(colour))).hue - theirs + 180) % 360 - 180) < 1.13


def test_a_batch_of_one_hue_is_concentrated():
    found = colour_statistics(flat((200, 10, 10), (90, 5, 5), (255, 100, 100)))
    assert found.hue_within == pytest.approx(1)
    assert found.hue_across == pytest.approx(1)
    assert found.hue_spread == pytest.approx(0, abs=1e-5)


def test_images_of_one_hue_each_may_differ_from_one_another():
    found = colour_statistics(flat((255, 0, 0), (0, 255, 0), (0, 0, 255)))
    assert found.hue_within == pytest.approx(1)
    assert found.hue_across == pytest.approx(0, abs=1e-12)
    assert found.between == pytest.approx(1)


def test_images_of_every_hue_have_none_of_their_own():
    image = flat((255, 0, 0), (0, 255, 0), (0, 0, 255), (0, 0, 0))[:, :, 0, 0].T.reshape(1, 3, 2, 2)
    found = colour_statistics(image)
    assert found.hue_within == pytest.approx(0, abs=1e-12)
    assert found.hue is found.hue_across is None
    assert found.chroma == pytest.approx(0.75)


def test_the_spread_is_scipys_circular_standard_deviation():
    angles = np.radians([350.0, 10.0, 40.0, 90.0])
    red = 0.5 + 0.3 * np.cos(angles) * 2 / 3
    green = 0.5 + 0.3 * (-np.cos(angles) / 3 + np.sin(angles) / 3**0.5)
    blue = 0.5 + 0.3 * (-np.cos(angles) / 3 - np.sin(angles) / 3**0.5)
    colours = np.rint(255 * np.stack([red, green, blue], 1)).astype(np.uint8)
    found = colour_statistics(flat(*map(tuple, colours)))
    # Rounding to 8 bits moves hues by up to half a degree.
    assert found.hue_spread == pytest.approx(np.degrees(scipy.stats.circstd(angles)), abs=0.5)
    assert (found.hue - np.degrees(scipy.stats.circmean(angles))) == pytest.approx(0, abs=0.5)


def test_grey_images_have_no_hue():
    one = np.random.default_rng(0).integers(0, 256, (6, 1, 4, 4), dtype=np.uint8)
    for images in (one, one.repeat(3, 1)):
        found = colour_statistics(images)
        assert found.hue is found.hue_within is found.hue_across is found.hue_spread is None
        assert (found.saturation, found.chroma) == (0, pytest.approx(0, abs=1e-12))
        np.testing.assert_allclose(found.mean, one.mean() / 255, rtol=1e-12)


def test_a_flat_batch_has_no_variance_to_share():
    assert colour_statistics(flat((7, 7, 7), (7, 7, 7))).between is None


def test_other_arrays_are_refused():
    for images in (np.zeros((2, 3, 4, 4)), np.zeros((2, 2, 4, 4), np.uint8), np.zeros((0, 3, 4, 4), np.uint8)):
        with pytest.raises(UserError, match="uint8 images"):
            colour_statistics(images)
