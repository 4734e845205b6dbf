"""What the checks measure against, from other sources: a perfect network, and the filter in closed form."""

import numpy as np
import pytest
import torch
from torch import nn

from rediffuse.diagnosis.probe import Probe, noise_levels, spectrum, wiener
from rediffuse.diagnosis.readings import sensitivity
from rediffuse.diagnosis.subject import Pictures, Subject
from rediffuse.diffusion import DiffusionProcess, GaussianMixture


class Perfect(nn.Module):
    """The best possible network for Gaussian images of independent pixels."""

    def __init__(self, process: DiffusionProcess, variance: float) -> None:
        super().__init__()
        zero, spread = torch.zeros(1, 1, 8, 8, dtype=torch.float64), torch.tensor(variance, dtype=torch.float64)
        self.model = GaussianMixture(zero, spread).model(process)

    def forward(self, x, t, y=None):
        return self.model(x.double(), t).float()


@pytest.fixture(scope="module")
def probe():
    process, variance = DiffusionProcess.create("cosine", 200), 0.09
    noise = np.random.default_rng(0).normal(0, variance**0.5, (512, 1, 8, 8))
    images = Pictures(np.clip(np.round((noise + 1) * 127.5), 0, 255).astype(np.uint8))
    network = Perfect(process, variance)
    return Probe(Subject("perfect", network, {}, process, "eps", "fixed-small", True, 0, images, None), 256)


def test_white_images_have_a_flat_spectrum_and_the_filter_its_closed_form(probe):
    variances = spectrum(probe.all)
    assert variances.mean() == pytest.approx(0.09, rel=0.02)
    assert variances.std() < 0.1 * variances.mean()  # 512 images know a variance to √(2/512) = 6 %
    assert wiener(np.full(64, 0.09), np.array([0.5]))[0] == pytest.approx(0.045 / 0.545)


def test_the_best_network_for_gaussian_images_is_the_filter(probe):
    measured = probe.measure(probe.training)
    # 256 · 64 squares of normals: a mean is known to √(2/16384) = 1.1 %.
    assert measured.ratio == pytest.approx(np.ones(len(measured.t)), rel=0.05)
    assert measured.slope == pytest.approx(np.ones(len(measured.t)), rel=0.05)


def test_a_filter_changes_with_time_as_a_filter_does(probe):
    found, expected = sensitivity(probe, probe.measure(probe.training))
    assert found == pytest.approx(expected, rel=0.03)


def test_levels_are_spread_over_the_same_noise_whatever_the_schedule():
    for schedule, steps in (("linear", 1000), ("cosine", 4000)):
        process = DiffusionProcess.create(schedule, steps)
        left = process.alphas_bar[noise_levels(process)].numpy()
        assert len(left) == 12
        assert left[[0, -1]] == pytest.approx([0.99, 0.01], rel=0.03)
