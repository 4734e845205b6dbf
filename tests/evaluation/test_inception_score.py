from itertools import pairwise

import numpy as np
import pytest

from rediffuse.evaluation.inception_score import inception_score


def probabilities(count: int, classes: int = 10) -> np.ndarray:
    return np.random.default_rng(0).dirichlet(np.full(classes, 0.3), size=count)


def test_certain_and_evenly_spread_predictions_score_the_number_of_classes():
    assert inception_score(np.tile(np.eye(7), (4, 1)), splits=1).mean == pytest.approx(7.0, rel=1e-12)


def test_equal_predictions_score_one():
    assert inception_score(np.tile(probabilities(1), (20, 1)), splits=1).mean == pytest.approx(1.0, rel=1e-12)


def test_the_score_is_exp_of_the_mean_divergence_from_the_mean():
    p = probabilities(50)
    divergence = (p * (np.log(p) - np.log(p.mean(0)))).sum(1).mean()
    assert inception_score(p, splits=1).mean == pytest.approx(np.exp(divergence), rel=1e-12)


def test_parts_are_consecutive_and_averaged():
    p = probabilities(103)
    edges = [0, 25, 51, 77, 103]
    expected = [inception_score(p[a:b], splits=1).mean for a, b in pairwise(edges)]
    score = inception_score(p, splits=4)
    np.testing.assert_allclose(score.parts, expected, rtol=1e-12)
    assert score.mean == pytest.approx(np.mean(expected), rel=1e-12)
    assert score.std == pytest.approx(np.std(expected), rel=1e-12)


def test_probabilities_of_zero_are_no_trouble():
    score = inception_score(np.array([[1.0, 0.0, 0.0], [0.5, 0.5, 0.0]]), splits=1).mean
    expected = np.exp(0.5 * (np.log(1 / 0.75) + 0.5 * np.log(0.5 / 0.75) + 0.5 * np.log(0.5 / 0.25)))
    assert score == pytest.approx(expected, rel=1e-12)


def test_single_precision_probabilities_score_as_double():
    p = probabilities(500)
    single = inception_score(p.astype(np.float32), splits=1).mean
    assert single == pytest.approx(inception_score(p, splits=1).mean, rel=1e-6)


@pytest.mark.parametrize("splits", [0, 6])
def test_more_parts_than_images_are_refused(splits):
    with pytest.raises(ValueError, match="5 images cannot be cut"):
        inception_score(probabilities(5), splits=splits)
