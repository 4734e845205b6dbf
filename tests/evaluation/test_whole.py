"""One value of all samples, as papers quote it: checked against the formulas on all features at once."""

import tracemalloc

import numpy as np
import pytest

from rediffuse.evaluation.features import Features
from rediffuse.evaluation.frechet import frechet_distance, moments
from rediffuse.evaluation.inception_score import inception_score
from rediffuse.evaluation.reference import make_reference
from rediffuse.evaluation.scoring import Scorer
from rediffuse.evaluation.whole import WholeScore, whole_score


@pytest.fixture
def scorer(make_features):
    return Scorer(make_reference(make_features(80, seed=1), dataset="made-up", split="train"))


@pytest.mark.parametrize("count", [5, 16, 17, 300, 2500], ids=lambda count: f"{count} of 16 dimensions")
def test_the_distance_is_that_of_all_samples_against_all_training_images(make_features, scorer, count):
    samples = make_features(count, seed=2)
    found = whole_score(scorer, [samples[: count // 3], samples[count // 3 :]], count)
    expected = frechet_distance(*moments(samples.features), *moments(make_features(80, seed=1).features))
    assert found["metrics"]["frechet_distance"]["value"] == pytest.approx(expected, rel=1e-8)


def test_the_value_says_its_n_and_its_reference_and_claims_no_interval(make_features, scorer):
    found = whole_score(scorer, [make_features(48, seed=2)], 48)
    assert found["images"] == 48
    distance = found["metrics"]["frechet_distance"]
    assert distance.pop("value") > 0
    assert distance == {"n": 48, "reference": {"dataset": "made-up", "split": "train", "count": 80}}


@pytest.mark.parametrize(("count", "splits"), [(2500, 10), (20, 10), (11, 5), (3, 1)])
def test_the_inception_score_is_the_mean_over_ten_parts_as_published(make_features, scorer, count, splits):
    samples = make_features(count, seed=2)
    found = whole_score(scorer, [samples[:7], samples[7:]], count)["metrics"]["inception_score"]
    expected = inception_score(samples.probabilities, splits)
    assert found == {
        "value": pytest.approx(expected.mean, rel=1e-12),
        "std": pytest.approx(expected.std, rel=1e-9, abs=1e-12),
        "splits": splits,
        "n": count,
    }


def test_without_class_probabilities_there_is_no_inception_score(make_features):
    scorer = Scorer(make_reference(make_features(80, classes=None), dataset="x", split="train"))
    assert set(whole_score(scorer, [make_features(30, classes=None)], 30)["metrics"]) == {"frechet_distance"}


def peak(scorer: Scorer, count: int) -> int:
    random = np.random.default_rng(0)
    tracemalloc.start()
    whole = WholeScore(scorer, count)
    for _ in range(count // 50):
        vectors = random.random((50, 16), dtype=np.float32)
        whole.update(Features(vectors, np.full((50, 5), 0.2, np.float32), "made-up", "none"))
    whole.to_dict()
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return most


def test_memory_does_not_grow_with_the_number_of_samples(scorer):
    peak(scorer, 100)
    # 38,000 samples more are 2.4 MB of features.
    assert peak(scorer, 40_000) < peak(scorer, 2_000) + 100_000
