"""The noise of gradients against losses whose gradients' mean and covariance are known."""

import math

import numpy as np
import pytest
import torch

from rediffuse.training.gradient_noise import gram_matrix, noise_and_signal, noise_to_signal, relative_variance

#: Loss ½‖w − c‖² of points c ~ N(0, diag(SPREAD²)): the gradient at w is w − c, its mean w, its covariance that of c.
SPREAD = np.concatenate([np.full(40, 1.0), np.full(60, 0.2)])
AT = np.zeros(100)
AT[:2] = 1.5
BATCH = 8
#: tr(Σ)/B and |G|².
NOISE, SIGNAL = float((SPREAD**2).sum()) / BATCH, float((AT**2).sum())


def batch_gradients(count: int, random: np.random.Generator) -> np.ndarray:
    points = random.normal(size=(count, BATCH, 100)) * SPREAD
    return AT - points.mean(axis=1)


def test_both_parts_are_unbiased():
    random = np.random.default_rng(0)
    draws = np.array([noise_and_signal(g @ g.T) for g in (batch_gradients(5, random) for _ in range(2000))])
    error = draws.std(axis=0, ddof=1) / math.sqrt(len(draws))
    assert np.all(np.abs(draws.mean(axis=0) - (NOISE, SIGNAL)) < 4 * error)


def test_the_interval_covers_as_often_as_it_says():
    random, hits = np.random.default_rng(1), 0
    for _ in range(200):
        gradients = batch_gradients(16, random)
        found = noise_to_signal(gradients @ gradients.T)
        hits += found["low"] <= NOISE / SIGNAL <= found["high"]
    # 95 % of 200, and four standard deviations of a binomial.
    assert abs(hits - 190) <= 4 * math.sqrt(200 * 0.95 * 0.05)


def test_noise_that_drowns_the_signal_has_no_value():
    gradients = np.random.default_rng(2).normal(size=(8, 500))
    found = noise_to_signal(gradients @ gradients.T)
    assert found["value"] is None
    assert "8 batches" in found["unavailable"]


def test_the_products_are_those_of_float64_whatever_is_held_at_once(monkeypatch):
    vectors = torch.randn(3, 10, generator=torch.Generator().manual_seed(0))
    monkeypatch.setattr("rediffuse.training.gradient_noise.CHUNK", 4)
    np.testing.assert_allclose(gram_matrix(vectors), vectors.double().numpy() @ vectors.double().numpy().T)


def test_the_variance_of_losses_is_relative_to_their_mean_and_covered():
    random, hits = np.random.default_rng(3), 0
    for _ in range(200):
        found = relative_variance(random.normal(5.0, 0.5, 16))
        hits += found["low"] <= 0.01 <= found["high"]
    assert abs(hits - 190) <= 4 * math.sqrt(200 * 0.95 * 0.05)
    assert relative_variance(np.array([1.0, 2.0, 3.0]))["value"] == pytest.approx(1 / 4)
