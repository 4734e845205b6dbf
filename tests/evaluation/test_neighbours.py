"""Nearest neighbours against scikit-learn, rank statistics against scipy, and models that copy or do not."""

import numpy as np
import pytest
import scipy.stats
from sklearn.metrics import roc_auc_score
from sklearn.neighbors import NearestNeighbors

from rediffuse.data.registry import load
from rediffuse.errors import UserError
from rediffuse.evaluation import distances
from rediffuse.evaluation.distances import pixel_vectors
from rediffuse.evaluation.neighbours import (
    copying_statistic,
    duplicates,
    memorisation,
    nearest,
    nearest_among,
    rank_statistic,
)


def points(n: int, dim: int = 6, seed: int = 0) -> np.ndarray:
    return np.random.default_rng([seed, n]).normal(size=(n, dim))


def test_neighbours_are_scikit_learns(monkeypatch):
    monkeypatch.setattr(distances, "_ENTRIES", 1000)
    x, y = points(83), points(130, seed=1)
    expected, index = NearestNeighbors(n_neighbors=1).fit(y).kneighbors(x)
    found = nearest(x, y)
    np.testing.assert_array_equal(found.index, index[:, 0])
    np.testing.assert_allclose(found.distance, expected[:, 0], rtol=1e-13)


def test_neighbours_among_themselves_are_scikit_learns(monkeypatch):
    monkeypatch.setattr(distances, "_ENTRIES", 1000)
    x = points(83)
    expected, index = NearestNeighbors(n_neighbors=1).fit(x).kneighbors()
    found = nearest_among(x)
    np.testing.assert_array_equal(found.index, index[:, 0])
    np.testing.assert_allclose(found.distance, expected[:, 0], rtol=1e-13)


def test_a_copy_is_at_distance_zero_and_a_tiny_change_at_its_size_even_far_from_the_origin():
    y = points(50, seed=1) + 1e4
    x = y[[7, 3]].copy()
    x[1, 0] += 1e-5
    found = nearest(x, y)
    assert found.index.tolist() == [7, 3]
    assert found.distance[0] == 0
    assert found.distance[1] == pytest.approx(1e-5, rel=1e-4)


@pytest.mark.parametrize("rounded", [False, True])
def test_the_rank_statistic_is_mann_whitneys(rounded):
    x, y = points(40, 1)[:, 0] + 0.3, points(60, 1)[:, 0]
    if rounded:
        x, y = x.round(), y.round()
    auroc, z = rank_statistic(x, y)
    theirs = scipy.stats.mannwhitneyu(x, y, use_continuity=False, method="asymptotic")
    assert auroc == pytest.approx(theirs.statistic / (40 * 60), rel=1e-13)
    assert 2 * scipy.stats.norm.sf(abs(z)) == pytest.approx(theirs.pvalue, rel=1e-10)
    assert auroc == pytest.approx(roc_auc_score(np.repeat([1, 0], [40, 60]), np.concatenate([x, y])), rel=1e-13)


def test_values_that_are_all_equal_do_not_differ():
    assert rank_statistic(np.ones(4), np.ones(5)) == (0.5, 0.0)


def test_the_numbers_are_those_of_the_distances():
    samples, training, held_out = points(70), points(90, seed=1), points(80, seed=2)
    found = memorisation(samples, training, held_out, quantile=0.1)
    a, b = nearest(samples, training).distance, nearest(held_out, training).distance
    assert found.ratio == pytest.approx(np.median(a) / np.median(b), rel=1e-14)
    assert found.closer == (a < np.quantile(b, 0.1)).mean()
    assert (found.auroc, found.z) == rank_statistic(a, b)
    assert (found.samples, found.held_out, found.training) == (70, 80, 90)


def test_a_model_that_generalises_shows_no_copying_as_often_as_the_level_says():
    """Samples of the true distribution, 400 times: z is standard normal but for the training set that is shared."""
    random = np.random.default_rng(0)
    found = [
        memorisation(random.normal(size=(50, 3)), random.normal(size=(200, 3)), random.normal(size=(50, 3)))
        for _ in range(400)
    ]
    z, closer = np.array([f.z for f in found]), np.mean([f.closer for f in found])
    assert abs(z.mean()) < 4 * z.std() / 400**0.5
    # 2.5 % lie below −1.96; three binomial standard errors are 2.3 points.
    assert abs((z < -1.96).mean() - 0.025) < 0.024
    assert closer == pytest.approx(0.05, abs=0.02)


def test_a_model_that_copies_is_found_out():
    training, held_out = points(300, seed=1), points(200, seed=2)
    copies = training[:100] + 0.01 * points(100, seed=3)
    found = memorisation(copies, training, held_out)
    assert found.closer == 1
    assert found.auroc == 0
    assert found.z < -10
    assert found.ratio < 0.05


def test_one_cell_is_the_whole():
    sets = points(70), points(90, seed=1), points(80, seed=2)
    assert copying_statistic(*sets) == pytest.approx(memorisation(*sets).z, rel=1e-14)


def test_cells_show_copying_that_underfitting_elsewhere_hides():
    random = np.random.default_rng(0)
    far = np.array([40.0, 0.0])

    def draw(n):
        return np.concatenate([random.normal(size=(n, 2)), far + random.normal(size=(n, 2))])

    training, held_out = draw(150), draw(100)
    copies = training[:100] + 1e-3
    bad = far + 4 * random.normal(size=(100, 2))
    within = copying_statistic(np.concatenate([copies, copies]), training, np.concatenate([held_out, held_out]))
    hidden = copying_statistic(np.concatenate([copies, bad]), training, held_out)
    cells = [
        copying_statistic(part, training[rows], held_out[other])
        for part, rows, other in (
            (copies, slice(0, 150), slice(0, 100)),
            (bad, slice(150, 300), slice(100, 200)),
        )
    ]
    assert within < -10
    assert abs(hidden) < 6
    assert cells[0] < -10 < 3 < cells[1]
    both = copying_statistic(np.concatenate([copies, bad]), training, held_out, cells=2)
    assert both == pytest.approx(np.mean(cells), rel=0.1)


def test_cells_without_enough_images_are_refused():
    with pytest.raises(UserError, match="none of 4 cells has 500 samples"):
        copying_statistic(points(70), points(90, seed=1), points(80, seed=2), cells=4, least=500)


def test_exact_and_near_duplicates_are_counted():
    random = np.random.default_rng(0)
    training = random.integers(5, 250, (30, 3, 4, 4), dtype=np.uint8)
    samples = random.integers(5, 250, (10, 3, 4, 4), dtype=np.uint8)
    samples[0] = training[4]
    samples[1] = training[9] + 5  # at the threshold of 5.1 grey levels
    samples[2] = training[9] + 6
    samples[4] = samples[5] = samples[3]
    found = duplicates(samples, training)
    assert (found.exact, found.near) == (1, 2)
    # 1 and 2 are one grey level apart; 3, 4 and 5 are the same.
    assert (found.exact_among, found.near_among) == (2, 5)


def test_held_out_digits_are_the_yardstick_on_real_images():
    digits = load("digits")
    training, held_out = pixel_vectors(digits.split("train")[0]), pixel_vectors(digits.split("held-out")[0])
    half = memorisation(held_out[::2], training, held_out[1::2])
    assert abs(half.z) < 3
    assert half.ratio == pytest.approx(1, abs=0.05)
    assert memorisation(training[:200], training, held_out).auroc < 0.01


@pytest.mark.parametrize("quantile", [0, 1])
def test_a_quantile_outside_the_unit_interval_is_refused(quantile):
    with pytest.raises(UserError, match="between 0 and 1"):
        memorisation(points(4), points(5), points(6), quantile=quantile)


def test_images_of_another_shape_are_refused():
    with pytest.raises(UserError, match=r"samples are \[3, 4, 4\], training images \[3, 5, 5\]"):
        duplicates(np.zeros((2, 3, 4, 4), np.uint8), np.zeros((2, 3, 5, 5), np.uint8))
    with pytest.raises(UserError, match="uint8"):
        duplicates(np.zeros((2, 3, 4, 4)), np.zeros((2, 3, 4, 4), np.uint8))
