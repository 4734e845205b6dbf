"""Torchmetrics' numbers on the same features and weights."""

import numpy as np
import pytest
import torch
from torchmetrics.functional.image.lpips import _LPIPS
from torchmetrics.image.fid import FrechetInceptionDistance
from torchmetrics.image.inception import InceptionScore
from torchmetrics.image.kid import KernelInceptionDistance

from rediffuse.evaluation.frechet import frechet_distance, moments
from rediffuse.evaluation.inception_score import inception_score
from rediffuse.evaluation.kernel import kernel_distance
from rediffuse.evaluation.lpips import LpipsDistance


class Identity(torch.nn.Module):
    """Takes features for images, so that only the metric is compared."""

    num_features = 12

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x


@pytest.fixture
def sets() -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    return random.normal(size=(200, 12)) * 0.9 + 0.2, random.normal(size=(200, 12))


def fed(metric, sets):
    metric.set_dtype(torch.float64)
    metric.update(torch.from_numpy(sets[1]), real=True)
    metric.update(torch.from_numpy(sets[0]), real=False)
    return metric.compute()


def test_the_kernel_distance_of_everything(sets):
    mean, _ = fed(KernelInceptionDistance(feature=Identity(), subsets=1, subset_size=200), sets)
    assert kernel_distance(*sets) == pytest.approx(float(mean), rel=1e-10)


def test_the_frechet_distance(sets):
    metric = FrechetInceptionDistance(feature=Identity(), input_img_size=(12,), normalize=True)
    assert frechet_distance(*moments(sets[0]), *moments(sets[1])) == pytest.approx(float(fed(metric, sets)), rel=1e-8)


def test_the_inception_score():
    logits = np.random.default_rng(0).normal(size=(300, 10)) * 2
    metric = InceptionScore(feature=Identity(), splits=1)
    metric.update(torch.from_numpy(logits))
    probabilities = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    assert inception_score(probabilities, 1).mean == pytest.approx(float(metric.compute()[0]), rel=1e-12)


@pytest.mark.parametrize("network", ["alex", "vgg"])
def test_lpips_with_the_authors_heads_on_a_random_network(network, tmp_path):
    """Single precision on both sides: 1e-5 relative."""
    torch.manual_seed(0)
    with torch.no_grad():
        module = _LPIPS(pretrained=True, net=network, pnet_rand=True, use_dropout=True).eval()
        torch.save(module.state_dict(), tmp_path / "whole.pth")
        images = np.random.default_rng(0).integers(0, 256, (4, 3, 40, 40), dtype=np.uint8)
        scaled = torch.from_numpy(images).float() / 127.5 - 1
        theirs = module(scaled[:2], scaled[2:]).flatten().numpy()
    ours = LpipsDistance(network, tmp_path / "whole.pth").distance(images[:2], images[2:])
    np.testing.assert_allclose(ours, theirs, rtol=1e-5)
