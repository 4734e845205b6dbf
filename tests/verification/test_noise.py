"""Replicate noise: what two trainings of the same code differ by is nearly never called different, gross errors are."""

import numpy as np
import pytest
from scipy import stats

from rediffuse.verification.noise import LEVEL, Cell, Noise, measure, standard_error

RUNS, SETTINGS, SEEDS, GROUPS = 2, 12, 3, 4
SPREAD, INSIDE = 0.02, 0.015  # of the values: between trainings, and within the mean over groups of one


def training(random: np.random.Generator, level: np.ndarray, seed: int) -> list[Cell]:
    """One training of each run: values by setting, with the standard error of a few groups."""
    cells = []
    for run, values in enumerate(level):
        for setting, value in enumerate(values):
            groups = value * (1 + random.normal(0, SPREAD) + random.normal(0, INSIDE * GROUPS**0.5, GROUPS))
            error = standard_error({"groups": list(groups)})
            cells.append(Cell(f"run{run}", f"s{setting}", "frechet_distance", seed, float(groups.mean()), error))
    return cells


def outside(noise: Noise, said: list[Cell], made: list[Cell]) -> int:
    """Numbers that moved further than noise does."""
    return sum(
        abs(a.value - b.value) > (noise.reach(a.run, a.setting, a.metric, min(a.value, b.value)) or 0)
        for a, b in zip(said, made, strict=True)
    )


def studies(count: int, times: float) -> list[int]:
    """Numbers outside in reports made again elsewhere, their values `times` as large."""
    random, found = np.random.default_rng(0), []
    for _ in range(count):
        level = random.uniform(200, 2000, (RUNS, SETTINGS))
        said, made = training(random, level, 0), training(random, times * level, 0)
        # Of two settings each the study has trained other seeds.
        others = [cell for seed in (1, 2) for cell in training(random, level, seed) if cell.setting in ("s0", "s1")]
        noise = measure([*said, *others], {}, {}, len(said))
        assert noise is not None
        found.append(outside(noise, said, made))
    return found


def test_a_faithful_report_is_called_different_no_more_often_than_stated():
    wrong = sum(count > 0 for count in studies(100, 1.0))
    assert stats.binomtest(wrong, 100, LEVEL, alternative="greater").pvalue > 0.01


def test_values_half_as_large_again_are_called_different():
    assert min(studies(20, 1.5)) > RUNS * SETTINGS / 2


def test_the_factor_is_the_spread_over_seeds_in_standard_errors():
    cells = [Cell("a", "s", "kid", seed, value, 0.5) for seed, value in enumerate((1.0, 2.0, 3.0))]
    noise = measure(cells, {"a": [0.09, 0.1, 0.11]}, {}, 1)
    assert noise is not None
    assert noise.factors == {"kid": 2.0}  # variance 1 over a squared error of 1/4
    assert noise.freedom == 2
    assert noise.loss is not None
    np.testing.assert_allclose(noise.loss, 0.1)  # standard deviation 0.01 of 0.1


@pytest.mark.filterwarnings("error")
def test_of_a_metric_that_is_zero_everywhere_no_usual_error_is_known():
    cells = [
        Cell("a", "s", name, seed, value * seed, 0.5 * value)
        for name, value in (("kid", 1.0), ("recall", 0.0))
        for seed in (1, 2)
    ]
    noise = measure(cells, {}, {}, 1)
    assert noise is not None
    assert set(noise.usual) == {"kid"}


def test_without_replicates_nothing_is_known():
    assert measure([Cell("a", "s", "kid", 0, 1.0, 0.5)], {}, {}, 1) is None


def test_the_standard_error_of_a_mean_over_images_comes_from_its_interval():
    half = stats.t.ppf(0.975, 59) * 0.25
    estimate = {"value": 3.0, "low": 3.0 - half, "high": 3.0 + half, "n": 60}
    np.testing.assert_allclose(standard_error(estimate), 0.25)
