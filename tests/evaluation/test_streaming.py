import tracemalloc

import numpy as np
import pytest

from rediffuse.errors import UserError
from rediffuse.evaluation.features import Features
from rediffuse.evaluation.frechet import frechet_distance, moments
from rediffuse.evaluation.inception_score import inception_score
from rediffuse.evaluation.kernel import kernel_distance
from rediffuse.evaluation.reference import make_reference
from rediffuse.evaluation.scoring import Scorer
from rediffuse.evaluation.streaming import (
    RunningFeatures,
    extract_batches,
    running_reference,
    score_batches,
    whole_batches,
)


def batches(features: Features, size: int = 7):
    for start in range(0, len(features), size):
        yield features[start : start + size]


@pytest.fixture
def scorer(make_features):
    return Scorer(make_reference(make_features(80, seed=1), dataset="made-up", split="train"))


@pytest.mark.parametrize("size", [1, 7, 64, 1000])
def test_groups_are_scored_as_they_are_in_memory(make_features, scorer, size):
    samples = make_features(65, seed=2)
    whole = scorer.score(samples, group_size=20, groups=3)
    streamed = score_batches(scorer, batches(samples, size), 16, group_size=20, groups=3)
    assert streamed == whole


def test_a_group_beyond_what_is_kept_uses_every_image_where_it_can(make_features, scorer):
    samples = make_features(300, seed=2)
    metrics = score_batches(scorer, batches(samples), 16, group_size=300, groups=1, keep=100)["metrics"]
    reference = scorer.reference
    expected = frechet_distance(*moments(samples.features), reference.mu, reference.sigma)
    assert metrics["frechet_distance"]["value"] == pytest.approx(expected, rel=1e-10)
    assert metrics["inception_score"]["value"] == pytest.approx(inception_score(samples.probabilities, 1).mean, 1e-12)
    assert (metrics["frechet_distance"]["n"], metrics["inception_score"]["n"]) == (300, 300)


def test_other_metrics_take_the_kept_images_and_say_how_many(make_features, scorer):
    samples = make_features(300, seed=2)
    kid = score_batches(scorer, batches(samples), 16, group_size=300, groups=1, keep=100)["metrics"]["kid"]
    assert kid["n"] == 100
    assert kid["value"] == pytest.approx(kernel_distance(samples.features[::3], scorer.reference.features), rel=1e-12)


def test_a_metric_that_cannot_be_had_says_why(make_features):
    without = Scorer(make_reference(make_features(80, classes=None), dataset="x", split="train"))
    samples = make_features(40, seed=2, classes=None)
    metrics = score_batches(without, batches(samples), 16, group_size=20, groups=2)["metrics"]
    assert metrics["inception_score"]["unavailable"] == "made-up gives no class probabilities"


@pytest.mark.parametrize("size", [1, 7, 64])
def test_a_reference_of_batches_is_that_of_the_whole(make_features, size):
    real = make_features(50)
    whole = make_reference(real, dataset="made-up", split="all", keep=20)
    streamed = running_reference(batches(real, size), 50, 16, dataset="made-up", split="all", keep=20)
    assert streamed.identity == whole.identity
    np.testing.assert_allclose(streamed.mu, whole.mu, atol=1e-12)
    np.testing.assert_allclose(streamed.sigma, whole.sigma, atol=1e-12)
    np.testing.assert_array_equal(streamed.features, whole.features)
    np.testing.assert_allclose(streamed.class_marginal, whole.class_marginal, atol=1e-7)


def test_features_that_are_not_finite_are_the_users_to_mend():
    class Broken:
        def extract(self, images, batch_size=32, progress=None):
            return Features(np.full((len(images), 4), np.nan, np.float32), None, "broken", "none")

    with pytest.raises(UserError, match="features of broken hold NaN or infinity"):
        list(extract_batches(Broken(), [np.zeros((2, 1, 4, 4), np.uint8)]))


def test_too_few_images_are_refused(make_features, scorer):
    with pytest.raises(UserError, match="3 groups of 20 images need 60, there are 50"):
        score_batches(scorer, batches(make_features(50)), 16, group_size=20, groups=3)


@pytest.mark.parametrize(("asked", "given"), [(1, 32), (32, 32), (33, 64), (100, 128)])
def test_batches_are_filled_rather_than_padded(asked, given):
    assert whole_batches(asked) == given


def peak(count: int) -> int:
    random = np.random.default_rng(0)
    tracemalloc.start()
    running = RunningFeatures(count, 64, keep=100)
    for _ in range(count // 50):
        running.update(Features(random.random((50, 64), dtype=np.float32), None, "made-up", "none"))
    running.finish()
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return most


def test_memory_does_not_grow_with_the_number_of_images():
    # 38,000 images more are 9.7 MB of features.
    assert peak(40_000) < peak(2_000) + 100_000
