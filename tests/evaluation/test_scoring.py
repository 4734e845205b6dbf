import dataclasses
import json

import numpy as np
import pytest

from rediffuse.data.registry import load
from rediffuse.errors import UserError
from rediffuse.evaluation.distances import mean_distance
from rediffuse.evaluation.frechet import FrechetReference
from rediffuse.evaluation.inception_score import inception_score
from rediffuse.evaluation.kernel import kernel_distance
from rediffuse.evaluation.manifold import ManifoldReference
from rediffuse.evaluation.reference import Reference, make_reference
from rediffuse.evaluation.scoring import Scorer, score


@pytest.fixture
def reference(make_features):
    return make_reference(make_features(100, seed=9), dataset="digits", split="train")


def test_the_result_has_the_form_kept_in_a_metrics_file(reference, make_features):
    result = score(make_features(60), reference, group_size=20, groups=3)
    assert json.loads(json.dumps(result, allow_nan=False)) == result
    assert (result["images"], result["features"], result["resize"]) == (60, "made-up", "none")
    assert result["reference"] == {"dataset": "digits", "split": "train", "count": 100, "sha256": None}
    assert set(result["metrics"]) == {
        "frechet_distance",
        "kid",
        "inception_score",
        "precision",
        "recall",
        "density",
        "coverage",
        "diversity",
    }
    for metric in result["metrics"].values():
        assert set(metric) == {"value", "low", "high", "std", "groups", "n", "interval"}
        assert metric["low"] < metric["value"] < metric["high"]
        assert metric["n"] == 20
        assert metric["interval"] == "95 % t-interval over 3 independent groups"


def test_groups_are_consecutive_and_disjoint(reference, make_features):
    sample = make_features(70)
    result = score(sample, reference, group_size=20, groups=3)["metrics"]
    parts = [sample[start : start + 20] for start in (0, 20, 40)]
    frechet = FrechetReference(reference.mu, reference.sigma)
    assert result["frechet_distance"]["groups"] == [frechet.distance(part.features) for part in parts]
    kid = [kernel_distance(part.features, reference.features) for part in parts]
    assert result["kid"]["groups"] == pytest.approx(kid, rel=1e-12)
    scores = [inception_score(part.probabilities, splits=1).mean for part in parts]
    assert result["inception_score"]["groups"] == scores
    manifolds = [ManifoldReference(reference.features).score(part.features) for part in parts]
    for name in ("precision", "recall", "density", "coverage"):
        assert result[name]["groups"] == [getattr(scores, name) for scores in manifolds]
    assert result["diversity"]["groups"] == [mean_distance(part.features) for part in parts]


def test_one_group_has_no_interval(reference, make_features):
    metric = score(make_features(60), reference, group_size=60, groups=1)["metrics"]["frechet_distance"]
    assert metric["low"] is metric["high"] is metric["std"] is None


def test_one_scorer_serves_many_sets(reference, make_features):
    scorer = Scorer(reference)
    for seed in (1, 2):
        sample = make_features(40, seed=seed)
        assert scorer.score(sample, group_size=20, groups=2) == score(sample, reference, group_size=20, groups=2)


def test_statistics_without_features_score_what_needs_none(reference, make_features):
    bare = Reference(reference.identity, reference.mu, reference.sigma)
    metrics = score(make_features(60), bare, group_size=20, groups=3)["metrics"]
    assert metrics["kid"]["value"] is None
    assert "only mu and sigma" in metrics["kid"]["unavailable"]
    assert all("only mu and sigma" in metrics[name]["unavailable"] for name in ("precision", "coverage"))
    assert metrics["frechet_distance"]["value"] > 0
    assert metrics["diversity"]["value"] > 0


def test_too_few_images_for_balls_leave_the_manifold_scores_out(reference, make_features):
    metrics = score(make_features(6), reference, group_size=3, groups=2)["metrics"]
    assert metrics["recall"]["unavailable"] == "balls of 3 neighbours need more than 3 images"
    assert metrics["frechet_distance"]["value"] > 0
    few = make_reference(make_features(5, seed=9), dataset="digits", split="train")
    metrics = score(make_features(20), few, group_size=10, groups=2)["metrics"]
    assert "at least 6 are needed, there are 5" in metrics["density"]["unavailable"]


def test_neighbours_are_searched_once_for_a_group(reference, make_features, monkeypatch):
    searched = []
    search = ManifoldReference.score
    monkeypatch.setattr(ManifoldReference, "score", lambda self, x: (searched.append(len(x)), search(self, x))[1])
    score(make_features(60), reference, group_size=20, groups=3)
    assert searched == [20, 20, 20]


def test_a_network_without_classes_has_no_inception_score(reference, make_features):
    metrics = score(make_features(60, classes=None), reference, group_size=20, groups=3)["metrics"]
    assert "no class probabilities" in metrics["inception_score"]["unavailable"]


def test_too_few_images_say_how_many_are_needed(reference, make_features):
    with pytest.raises(UserError, match="3 groups of 20 images need 60 images, there are 59"):
        score(make_features(59), reference, group_size=20, groups=3)


def test_groups_of_one_image_are_refused(reference, make_features):
    with pytest.raises(UserError, match="at least 2 images"):
        score(make_features(59), reference, group_size=1, groups=3)


def test_a_reference_for_another_network_is_refused(reference, make_features):
    with pytest.raises(UserError, match=r"reference is for made-up .* of another .*run `rediffuse reference`"):
        score(make_features(60, network="another"), reference, group_size=20, groups=3)


def test_a_reference_made_with_other_weights_is_refused(reference, make_features):
    sample = dataclasses.replace(make_features(60), weights_sha256="f" * 64)
    with pytest.raises(UserError, match="other weights of made-up"):
        score(sample, reference, group_size=20, groups=3)


def test_features_with_nan_are_refused(make_features):
    sample = make_features(10)
    with pytest.raises(ValueError, match="NaN or infinity"):
        dataclasses.replace(sample, features=sample.features * np.nan)


def test_real_digits_score_far_better_than_noise(efficientnet):
    digits = load("digits")
    real = efficientnet.extract(digits.split("train")[0][:400])
    reference = make_reference(real, dataset="digits", split="train")
    held_out = efficientnet.extract(digits.split("held-out")[0][:120])
    noise = efficientnet.extract(np.random.default_rng(0).integers(0, 256, (120, 1, 8, 8), dtype=np.uint8))
    scores = [Scorer(reference).score(part, group_size=60, groups=2)["metrics"] for part in (held_out, noise)]
    assert 5 * scores[0]["frechet_distance"]["value"] < scores[1]["frechet_distance"]["value"]
    assert 100 * abs(scores[0]["kid"]["value"]) < scores[1]["kid"]["value"]
