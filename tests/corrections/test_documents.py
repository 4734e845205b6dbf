"""Mistakes of the documents that are no formula of sampling, each beside what is right."""

import numpy as np
import pytest
import torch

from rediffuse.diffusion import DiffusionProcess, GaussianMixture
from rediffuse.evaluation.manifold import ManifoldReference
from rediffuse.machine import environment
from rediffuse.models.blocks import SelfAttention
from rediffuse.models.presets import preset
from rediffuse.models.unet import UNet


def test_d0_what_ran_is_recorded_and_not_typed():
    assert environment()["torch"] == torch.__version__.partition("+")[0]


def test_d1_dropout_zero_does_nothing():
    config = preset("micro-digits", dropout=0.0)
    network, x, t = UNet(config), torch.randn(2, 1, 8, 8), torch.tensor([3, 500])
    assert torch.equal(network.train()(x, t), network.eval()(x, t))


def test_d1_the_noise_points_away_from_the_data():
    # Data near 0.5: right of √ᾱ 0.5 the predicted noise points right, left of it left.
    process, t = DiffusionProcess.create("linear", 1000), torch.tensor([300, 300])
    mixture = GaussianMixture(torch.tensor([[0.5]], dtype=torch.float64), torch.tensor(0.01, dtype=torch.float64))
    middle = 0.5 * process.alphas_bar[300].sqrt()
    eps = mixture.model(process)(torch.stack([middle + 0.2, middle - 0.2])[:, None], t)
    assert eps[0] > 0 > eps[1]


def test_d2_the_first_ddpm_attends():
    # At 16×16: behind its two blocks on the way down and three on the way up; once in the middle.
    with torch.device("meta"):
        network = UNet(preset("base"))
    assert sum(isinstance(module, SelfAttention) for module in network.modules()) == 2 + 1 + 3


def test_d4_a_table_that_was_never_set_stops_the_trainer():
    class Trainer:
        def __init__(self):
            self.betas = torch.linspace(1e-4, 0.02, 10)
            self.alphas_bar = torch.cumprod(1 - self.betas, 0)
            self.posterior_variance = self.betas * (1 - self.alphas_bar_prev) / (1 - self.alphas_bar)

    with pytest.raises(AttributeError, match="alphas_bar_prev"):
        Trainer()
    process = DiffusionProcess.create("linear", 1000)
    wanted = process.betas * (1 - process.alphas_bar_prev) / (1 - process.alphas_bar)
    assert torch.equal(process.posterior_variance, wanted)


def test_d4_noise_has_high_quality_by_its_deviation():
    noise = np.random.default_rng(0).uniform(-1, 1, 10_000)
    assert noise.std() == pytest.approx(1 / 3**0.5, rel=0.02)
    assert noise.std() > 0.3


def test_d4_precision_looks_at_every_ball_and_not_at_the_nearest_images():
    # Two real images close together at 0, others at 10 and 20 with large balls: a sample at 2 lies in none of the small
    # ones of its nearest images, but within the ball of 10, whose nearest neighbour is 0.1 away from 0.
    real = np.array([[0.0], [0.1], [10.0], [30.0]])
    radii = [0.1, 0.1, 9.9, 20.0]  # distance to the nearest other real image
    sample = np.array([[2.0]])
    distances = np.abs(real - sample)[:, 0]
    assert distances.min() > radii[int(distances.argmin())]  # D4: outside
    assert (distances <= radii).any()
    assert ManifoldReference(real, k=1, density_k=1).score(np.repeat(sample, 2, 0)).precision == 1.0
