"""How alike images of the same noise are."""

import numpy as np
import pytest
from scipy.stats import pearsonr

from rediffuse.config import load_study
from rediffuse.reporting.chapters.same_noise import correlations, deterministic_setting
from rediffuse.reporting.terms import compared_runs
from tests.reporting.study_tree import PROJECT


def test_the_correlation_is_that_of_scipy_image_by_image():
    random = np.random.Generator(np.random.PCG64(0))
    first, second = random.integers(0, 256, (2, 5, 3, 4, 4), dtype=np.uint8)
    wanted = [
        pearsonr(a.ravel().astype(float), b.ravel().astype(float)).statistic for a, b in zip(first, second, strict=True)
    ]
    assert correlations(first, second) == pytest.approx(wanted, rel=1e-12)


def test_an_image_correlates_with_itself_fully_and_a_flat_one_with_nothing():
    images = np.arange(32, dtype=np.uint8).reshape(2, 1, 4, 4)
    assert correlations(images, images) == pytest.approx([1, 1])
    assert correlations(images, np.full_like(images, 7)).tolist() == [0, 0]


def test_the_setting_is_the_finest_that_draws_no_noise_and_that_all_runs_have():
    # Of smoke's runs: ancestral draws noise; DDIM at η = 1 does too, and belongs to the baseline alone.
    runs = compared_runs(load_study(PROJECT / "studies" / "smoke.yaml"))
    assert deterministic_setting(runs) == "ddim-10"
