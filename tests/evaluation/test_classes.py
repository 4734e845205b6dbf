"""Class accuracy and diversity within a class."""

import numpy as np
import pytest
import scipy.stats
from scipy.spatial.distance import pdist
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from rediffuse.errors import UserError
from rediffuse.evaluation.classes import ClassReference, FeatureClassifier, class_diversity, class_histogram
from rediffuse.evaluation.frechet import frechet_distance, moments


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


def test_the_frechet_distance_of_a_class_is_that_of_its_images():
    (real, truth), (samples, asked) = clusters(3, 40), clusters(3, 25, seed=1)
    found = ClassReference(real, truth).distance(samples, asked)
    expected = {k: frechet_distance(*moments(samples[asked == k]), *moments(real[truth == k])) for k in range(3)}
    assert found.distances == pytest.approx(expected, rel=1e-9)
    assert found.mean == pytest.approx(np.mean(list(expected.values())), rel=1e-9)
    assert found.counts == {0: 25, 1: 25, 2: 25}


def test_samples_of_swapped_classes_are_far_only_within_classes():
    (real, truth), (samples, asked) = clusters(4, 200), clusters(4, 200, seed=1)
    reference = ClassReference(real, truth)
    assert reference.distance(samples, (asked + 1) % 4).mean > 5 * reference.distance(samples, asked).mean


def test_a_class_that_cannot_be_compared_is_named():
    real, truth = clusters(3, 10)
    with pytest.raises(UserError, match=r"no class 7; they have \[0, 1, 2\]"):
        ClassReference(real, truth).distance(real[:4], np.array([0, 0, 7, 7]))
    with pytest.raises(UserError, match="class 1 has one sample"):
        ClassReference(real, truth).distance(real[:3], np.array([0, 0, 1]))
    with pytest.raises(UserError, match="real class 2 has one"):
        ClassReference(real[:21], truth[:21])


def test_a_histogram_has_scipys_entropy_and_divergence():
    random = np.random.default_rng(0)
    labels, real = random.choice(5, 60, p=[0.5, 0.3, 0.2, 0, 0]), random.integers(0, 5, 90)
    found = class_histogram(labels, 5, real)
    counts, others = np.bincount(labels, minlength=5), np.bincount(real, minlength=5)
    assert found.counts == tuple(counts)
    assert found.covered == 0.6
    assert found.entropy == pytest.approx(scipy.stats.entropy(counts), rel=1e-13)
    assert found.effective == pytest.approx(np.exp(scipy.stats.entropy(counts)), rel=1e-13)
    assert found.divergence == pytest.approx(scipy.stats.entropy(counts, others), rel=1e-13)


def test_one_class_alone_has_no_entropy_and_all_alike_the_most():
    one, all_alike = class_histogram(np.zeros(9, int), 10), class_histogram(np.arange(10), 10)
    assert (one.covered, one.entropy, one.effective) == (0.1, 0, 1)
    assert (all_alike.covered, all_alike.effective) == (1, pytest.approx(10))


def test_labels_outside_the_classes_are_refused():
    with pytest.raises(UserError, match="labels from 0 to 9"):
        class_histogram(np.array([0, 10]), 10)
    with pytest.raises(UserError, match="class that the real images lack"):
        class_histogram(np.array([0, 1]), 2, real=np.array([0, 0]))
