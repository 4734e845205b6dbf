"""What a set of samples says beyond its scores, against brute force and closed forms."""

import numpy as np
import pytest
from sklearn.neighbors import NearestNeighbors

from rediffuse.evaluation.examination import (
    LEAST_OF_A_CLASS,
    ImageGroup,
    by_class,
    class_shares,
    copies,
    distance_by_count,
)
from rediffuse.evaluation.frechet import FrechetReference, frechet_distance, moments

CLASSES = 3


def group(count: int, seed: int, channels: int = 1) -> ImageGroup:
    """Images whose class is their brightness, with rows' and columns' means as features."""
    random = np.random.default_rng(seed)
    labels = np.arange(count) % CLASSES
    images = random.integers(0, 80, (count, channels, 4, 4)) + 80 * labels[:, None, None, None]
    images = images.astype(np.uint8)
    return ImageGroup(images, np.concatenate([images.mean((1, 2)), images.mean((1, 3))], axis=1), labels)


def take(source: ImageGroup, chosen: np.ndarray) -> ImageGroup:
    assert source.labels is not None
    return ImageGroup(source.images[chosen], source.features[chosen], source.labels[chosen])


@pytest.fixture(scope="module")
def training() -> ImageGroup:
    return group(150, 0)


@pytest.fixture(scope="module")
def held_out() -> ImageGroup:
    return group(90, 1)


@pytest.mark.parametrize("space", ["pixels", "features"])
def test_neighbours_are_those_of_scikit_learn(training, held_out, space):
    samples = group(60, 2)
    found = copies(samples, training, held_out, shown=5)["neighbours"]
    for name, of in (("samples", samples), ("held_out", held_out)):
        sides = [g.features if space == "features" else g.images.reshape(len(g), -1) / 255.0 for g in (training, of)]
        distance, index = NearestNeighbors(n_neighbors=1, algorithm="brute").fit(sides[0]).kneighbors(sides[1][:5])
        assert [row["position"] for row in found[name]] == list(range(5))
        assert [row[space]["training"] for row in found[name]] == index[:, 0].tolist()
        assert [row[space]["distance"] for row in found[name]] == pytest.approx(distance[:, 0].tolist(), rel=1e-10)


def test_copies_of_training_images_are_called_copies(training, held_out):
    found = copies(take(training, np.arange(40)), training, held_out)
    assert found["duplicates"]["samples"]["exact"] == 40
    assert found["duplicates"]["held_out"]["exact"] == 0
    for scores in found["memorisation"].values():
        assert scores["ratio"] == scores["auroc"] == scores["median_samples"] == 0
        assert scores["closer"] == 1
        assert scores["z"] < -8


def test_held_out_images_as_samples_are_not_called_copies(training, held_out):
    for scores in copies(held_out, training, held_out)["memorisation"].values():
        assert (scores["ratio"], scores["auroc"], scores["z"]) == (1, 0.5, 0)
        assert scores["median_samples"] == scores["median_held_out"]


def test_the_last_count_is_the_distance_of_all_images(training, held_out):
    reference = FrechetReference(*moments(training.features))
    found = distance_by_count(held_out.features, reference)
    exact = frechet_distance(*moments(held_out.features), *moments(training.features))
    assert [row["n"] for row in found["counts"]] == [10, 20, 90]
    assert found["counts"][-1]["value"] == pytest.approx(exact, rel=1e-9)
    assert found["extrapolation"]["distances"][0] == pytest.approx(exact, rel=1e-9)
    assert [len(row["groups"]) for row in found["counts"]] == [8, 4, 1]


def test_the_extrapolated_distance_of_a_large_gaussian_sample_lies_nearer_the_exact_one():
    """n = 4,000 in 4 dimensions, exact distance 4 · 0.5²; the bias at 100 images is 30 times that at 4,000."""
    features = np.random.default_rng(3).normal(0.5, 1, (4000, 4))
    found = distance_by_count(features, FrechetReference(np.zeros(4), np.eye(4)))
    at_ten = found["counts"][0]["value"]
    line = found["extrapolation"]
    assert line["low"] < 1 < line["high"]
    assert abs(line["value"] - 1) < 0.2 * (at_ten - 1)
    assert line["curvature"] is not None


def test_too_few_images_say_why_they_are_not_extrapolated():
    features = np.random.default_rng(4).normal(size=(14, 4))
    found = distance_by_count(features, FrechetReference(np.zeros(4), np.eye(4)))
    assert found["extrapolation"] is None
    assert "14 images are too few" in found["reason"]


def test_classes_are_those_of_the_brightness(training, held_out):
    samples = take(group(60, 5), np.arange(60)[np.arange(60) % CLASSES != 2])  # the brightest are missing
    found = class_shares(samples, training, held_out, ["a", "b", "c"])
    assert found is not None
    assert found["accuracy"] == 1
    assert found["samples"]["counts"] == (20, 20, 0)
    assert found["samples"]["covered"] == pytest.approx(2 / 3, rel=1e-15)
    assert found["samples"]["divergence"] == pytest.approx(np.log(1.5), rel=1e-12)
    assert found["held_out"]["counts"] == (30, 30, 30)
    assert found["held_out"]["divergence"] == pytest.approx(0, abs=1e-12)


def test_a_class_without_training_images_leaves_no_shares(training, held_out):
    assert class_shares(held_out, training, held_out, ["a", "b", "c", "d"]) is None


def test_distances_by_class_are_those_of_as_many_images_of_the_class_alone(training, held_out):
    samples = group(75, 6)  # 25 of each class, where held-out images have 30
    found = by_class(samples, training, held_out)
    assert found is not None
    assert found["count"] == 25
    for name, of in (("samples", samples), ("held_out", held_out)):
        exact = [
            frechet_distance(
                *moments(of.features[of.labels == k][:25]), *moments(training.features[training.labels == k])
            )
            for k in range(CLASSES)
        ]
        assert found[name]["distances"] == pytest.approx(exact, rel=1e-8)
        assert found[name]["mean"] == pytest.approx(np.mean(exact), rel=1e-8)


def test_too_few_images_of_a_class_have_no_distances_by_class(training, held_out):
    assert by_class(group(CLASSES * LEAST_OF_A_CLASS - 1, 7), training, held_out) is None


def test_samples_that_were_not_asked_for_by_class_have_no_distances_by_class(training, held_out):
    samples = group(75, 8)
    assert by_class(ImageGroup(samples.images, samples.features), training, held_out) is None


def test_parts_of_a_group_must_agree_in_number():
    with pytest.raises(ValueError, match=r"differ in number: \[2, 3\]"):
        ImageGroup(np.zeros((3, 1, 2, 2), np.uint8), np.zeros((2, 4)))
