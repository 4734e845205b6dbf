"""Precision, recall, density and coverage against scikit-learn's neighbours, full matrices and cases known by hand."""

import numpy as np
import pytest
from scipy.spatial.distance import cdist
from sklearn.neighbors import NearestNeighbors

from rediffuse.errors import UserError
from rediffuse.evaluation import distances
from rediffuse.evaluation.manifold import ManifoldReference, ManifoldScores


def manifold_scores(x: np.ndarray, real: np.ndarray, *, k: int = 3, density_k: int = 5) -> ManifoldScores:
    return ManifoldReference(real, k, density_k).score(x)


def sets(n: int, m: int, dim: int = 8, shift: float = 0.5) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(n * m)
    return random.normal(size=(n, dim)) * 0.9 + shift, random.normal(size=(m, dim))


def by_scikit_learn(x: np.ndarray, real: np.ndarray, k: int, density_k: int) -> tuple[float, float, float, float]:
    """The four definitions written out over whole matrices; neighbours of a training point leave out itself."""

    def radii(points: np.ndarray, neighbour: int) -> np.ndarray:
        return NearestNeighbors(n_neighbors=neighbour).fit(points).kneighbors()[0][:, -1]

    between = cdist(x, real)
    in_real = between <= radii(real, k)[None]
    in_dense = between <= radii(real, density_k)[None]
    in_sample = between <= radii(x, k)[:, None]
    return in_real.any(1).mean(), in_sample.any(0).mean(), in_dense.sum(1).mean() / density_k, in_dense.any(0).mean()


@pytest.mark.parametrize(("k", "density_k"), [(3, 5), (1, 1), (5, 2)])
@pytest.mark.parametrize(("n", "m"), [(40, 90), (120, 60)])
def test_the_scores_are_their_definitions_over_scikit_learns_neighbours(n, m, k, density_k):
    x, real = sets(n, m)
    scores = manifold_scores(x, real, k=k, density_k=density_k)
    found = (scores.precision, scores.recall, scores.density, scores.coverage)
    assert found == pytest.approx(by_scikit_learn(x, real, k, density_k), abs=1e-12)
    assert (scores.images, scores.reference_images) == (n, m)


def test_many_blocks_give_what_one_block_gives(monkeypatch):
    x, real = sets(70, 110)
    whole = manifold_scores(x, real)
    monkeypatch.setattr(distances, "_ENTRIES", 300)
    assert manifold_scores(x, real) == whole


def test_single_precision_features_far_from_the_origin_score_as_double_ones():
    x, real = sets(80, 100)
    single = manifold_scores((x + 1000).astype(np.float32), (real + 1000).astype(np.float32))
    both = (x + 1000).astype(np.float32).astype(float) - 1000, (real + 1000).astype(np.float32).astype(float) - 1000
    assert single == manifold_scores(*both)


def test_one_reference_serves_many_sets():
    x, real = sets(40, 90)
    reference = ManifoldReference(real)
    assert [reference.score(part) for part in (x[:20], x)] == [manifold_scores(part, real) for part in (x[:20], x)]


def test_a_set_against_itself_is_precise_and_complete():
    real = sets(10, 60)[1]
    scores = manifold_scores(real, real)
    assert (scores.precision, scores.recall, scores.coverage) == (1, 1, 1)
    # Each ball holds its own image and its k nearest: k + 1 of them, for each of the N balls.
    assert scores.density == pytest.approx(6 / 5, rel=1e-12)


def test_samples_far_away_have_nothing_in_common_with_the_real_ones():
    x, real = sets(30, 40, shift=100.0)
    scores = manifold_scores(x, real)
    assert (scores.precision, scores.recall, scores.density, scores.coverage) == (0, 0, 0, 0)


def test_samples_of_one_of_two_modes_are_precise_and_recall_half():
    random = np.random.default_rng(0)
    modes = np.array([[0.0, 0.0], [50.0, 0.0]])
    real = np.concatenate([mode + random.normal(size=(200, 2)) for mode in modes])
    scores = manifold_scores(modes[0] + random.normal(size=(200, 2)), real)
    assert scores.precision > 0.9
    assert 0.4 < scores.recall <= 0.5
    assert 0.4 < scores.coverage <= 0.5


def test_coverage_of_equal_distributions_has_its_closed_form_expectation():
    """Naeem et al. 2020, lemma 2: all k nearest of the N + M − 1 others are real ones with probability
    (M − 1)…(M − k) / ((N + M − 1)…(N + M − k)); else the ball holds a sample."""
    n, m, k = 40, 60, 3
    random = np.random.default_rng(1)
    found = [
        manifold_scores(random.normal(size=(n, 2)), random.normal(size=(m, 2)), density_k=k).coverage
        for _ in range(400)
    ]
    expected = 1 - np.prod([(m - 1 - i) / (n + m - 1 - i) for i in range(k)])
    assert abs(np.mean(found) - expected) < 4 * np.std(found) / 400**0.5


def test_density_of_equal_distributions_is_one_in_expectation():
    """Naeem et al. 2020, lemma 1: a sample lies in each of M balls with probability k / M."""
    random = np.random.default_rng(2)
    found = [manifold_scores(random.normal(size=(30, 3)), random.normal(size=(50, 3))).density for _ in range(400)]
    assert abs(np.mean(found) - 1) < 4 * np.std(found) / 400**0.5


def test_too_few_images_for_a_ball_are_refused():
    x, real = sets(10, 10)
    with pytest.raises(UserError, match="real images for balls of 5 neighbours: at least 6 are needed, there are 5"):
        manifold_scores(x, real[:5])
    with pytest.raises(UserError, match="samples for balls of 3 neighbours: at least 4 are needed, there are 3"):
        manifold_scores(x[:3], real)


def test_features_of_another_dimension_are_refused():
    with pytest.raises(UserError, match="samples have 8 dimensions, the reference 3"):
        manifold_scores(sets(10, 10)[0], sets(10, 10, dim=3)[1])


def test_neighbour_zero_is_refused():
    with pytest.raises(UserError, match="not to number 0"):
        ManifoldReference(sets(10, 10)[0], k=0)
