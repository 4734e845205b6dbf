"""Errors of known predictions against quadrature, brute force and simulation."""

import math

import pytest
import torch

from rediffuse.diffusion import GaussianMixture
from rediffuse.diffusion.irreducible import covariance_eigenvalues, empirical_means, linear_errors

F64 = torch.float64


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=F64)


def test_one_coordinate_of_a_gaussian_errs_as_quadrature_says(linear):
    gaussian = GaussianMixture(torch.tensor([[0.3]], dtype=F64), torch.tensor([[0.04]], dtype=F64))
    times = [0, 300, 999]
    kept = linear.alphas_bar[times]
    found = linear_errors(torch.tensor([0.04]), kept.sqrt(), (1 - kept).sqrt())
    expected = [gaussian.irreducible_error(linear, t).value for t in times]
    torch.testing.assert_close(found.eps, torch.tensor(expected, dtype=F64), rtol=1e-6, atol=1e-9)


def test_correlated_data_err_as_the_regression_of_draws_does():
    # The best linear prediction is a least-squares fit, here to draws; with 40,000 of them it is good to a per cent.
    mixing, a, s = normal(4, 4, seed=1), 0.8, 0.6
    x0 = normal(40_000, 4, seed=2) @ mixing
    noise = normal(40_000, 4, seed=3)
    xt = torch.cat([a * x0 + s * noise, torch.ones(len(x0), 1, dtype=F64)], dim=1)
    found = linear_errors(covariance_eigenvalues([x0]), torch.tensor([a]), torch.tensor([s]))
    for target, ours in ((noise, found.eps), (x0, found.x0)):
        residual = target - xt @ torch.linalg.lstsq(xt, target).solution
        assert float(residual.square().mean()) == pytest.approx(float(ours), rel=0.02)


def test_a_covariance_in_parts_is_that_of_the_whole():
    images = normal(30, 1, 2, 2)
    expected = torch.linalg.eigvalsh(torch.cov(images.flatten(1).T, correction=0))
    torch.testing.assert_close(covariance_eigenvalues(images.split(7)), expected)


def test_the_mean_of_the_training_images_is_the_weighted_sum_over_them():
    images, xt = normal(9, 1, 2, 2), normal(5, 1, 2, 2, seed=1)
    a, s = torch.full((5,), 0.7), torch.tensor([0.1, 0.5, 1.0, 2.0, 0.3])
    expected = []
    for x, deviation in zip(xt, s.tolist(), strict=True):
        logs = [-float((x - a[0].item() * m).square().sum()) / (2 * deviation**2) for m in images]
        weights = [math.exp(one - max(logs)) for one in logs]
        expected.append(sum(w * m for w, m in zip(weights, images, strict=True)) / sum(weights))
    chunks = [(part, None) for part in images.split(4)]
    torch.testing.assert_close(empirical_means(xt, a, s, chunks), torch.stack(expected), rtol=1e-6, atol=1e-7)


def test_where_the_class_is_known_only_its_images_count():
    images, classes = normal(8, 3), torch.arange(8) % 2
    queries, labels = normal(4, 3, seed=1), torch.tensor([0, 1, 1, 0])
    a, s = torch.ones(4), torch.full((4,), 0.5)
    # In the first part there is no image of class 1.
    order = torch.cat([torch.arange(0, 8, 2), torch.arange(1, 8, 2)])
    chunks = [(images[part], classes[part]) for part in order.split(4)]
    found = empirical_means(queries, a, s, chunks, labels)
    for row, label in enumerate(labels.tolist()):
        alone = empirical_means(queries[row : row + 1], a[:1], s[:1], [(images[classes == label], None)])
        torch.testing.assert_close(found[row], alone[0])


def test_far_from_all_images_nothing_overflows():
    images = normal(3, 2)
    found = empirical_means(images[:1] + 100, torch.ones(1), torch.full((1,), 1e-4), [(images, None)])
    assert found.isfinite().all()
