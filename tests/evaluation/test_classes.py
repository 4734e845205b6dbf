"""Class accuracy and diversity within a class."""

import numpy as np
import pytest
from scipy.spatial.distance import pdist
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from rediffuse.errors import UserError
from rediffuse.evaluation.classes import FeatureClassifier, class_diversity


def clusters(classes: int, each: int, dims: int = 5, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(classes), each)
    centres = np.random.default_rng(7).normal(size=(classes, dims))
    return centres[labels] + 0.8 * rng.normal(size=(len(labels), dims)), labels


@pytest.mark.parametrize("classes", [2, 3, 10])
def test_the_classifier_is_scikit_learns_logistic_regression(classes: int):
    features, labels = clusters(classes, 30)
    others, truth = clusters(classes, 50, seed=1)
    theirs = make_pipeline(StandardScaler(), LogisticRegression(C=0.5, max_iter=2000)).fit(features, labels)
    ours = FeatureClassifier.fit(features, labels, regularisation=2.0)
    assert np.array_equal(ours.predict(others), theirs.predict(others))
    assert ours.accuracy(others, truth) == theirs.score(others, truth)


def test_a_feature_that_never_changes_is_no_obstacle():
    features, labels = clusters(3, 20)
    constant = np.concatenate([features, np.ones((len(features), 1))], axis=1)
    assert FeatureClassifier.fit(constant, labels).accuracy(constant, labels) > 0.5


def test_every_class_must_be_there():
    features, labels = clusters(3, 5)
    with pytest.raises(UserError, match="every class from 0 on"):
        FeatureClassifier.fit(features[labels != 1], labels[labels != 1])


def test_diversity_is_the_mean_distance_within_classes():
    features, labels = clusters(4, 12)
    expected = np.mean([pdist(features[labels == label]).mean() for label in range(4)])
    assert class_diversity(features, labels) == pytest.approx(expected, rel=1e-12)


def test_copies_of_one_image_have_no_diversity():
    features, labels = np.repeat([[1.0, 2.0], [5.0, 6.0]], 4, axis=0), np.repeat([0, 1], 4)
    assert class_diversity(features, labels) == 0


def test_diversity_of_gaussian_clouds_is_that_of_the_closed_form():
    # The distance of two standard normal points of D dimensions has mean 2 Γ((D + 1)/2) / Γ(D/2).
    from scipy.special import gamma

    features = np.random.default_rng(0).normal(size=(2000, 6))
    expected = 2 * gamma(3.5) / gamma(3)
    assert class_diversity(features, np.zeros(2000, int)) == pytest.approx(expected, rel=0.01)


def test_a_class_of_one_image_is_refused():
    with pytest.raises(UserError, match="two images of every class; class 1 has 1"):
        class_diversity(np.zeros((3, 2)), np.array([0, 0, 1]))
