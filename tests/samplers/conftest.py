"""Exact denoisers (the data is a known Gaussian mixture) and noise given as tensors."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch import Tensor

from rediffuse.diffusion.analytic import GaussianMixture
from rediffuse.diffusion.denoiser import Denoiser
from rediffuse.diffusion.process import DiffusionProcess


def level_of_time(process: DiffusionProcess, times: Tensor) -> Tensor:
    """alpha_bar at fractional times of the network, float64: what `continuous.time_of_level` inverts."""
    log_snr = torch.logit(process.alphas_bar).numpy()
    known = process.timestep_map.to(torch.float64).numpy()
    return torch.sigmoid(torch.from_numpy(np.interp(times.to("cpu", torch.float64).numpy(), known, log_snr)))


@dataclass
class GivenNoise:
    """Noise from tensors: x_T [B, ...] and one draw a step [S, B, ...]."""

    first: Tensor
    steps: Tensor | None = None

    def initial(self) -> Tensor:
        return self.first

    def step(self, k: int) -> Tensor:
        assert self.steps is not None, "this sampler should draw no noise"
        return self.steps[k]


class UnitNoises:
    """Image j has 1 in draw j - 1 (x_T is draw 0) and 0 elsewhere, image 0 has none: a linear map's coefficients."""

    def __init__(self, draws: int) -> None:
        self.unit = torch.eye(draws + 1, dtype=torch.float64).reshape(draws + 1, draws + 1, 1, 1, 1)

    def initial(self) -> Tensor:
        return self.unit[1]

    def step(self, k: int) -> Tensor:
        return self.unit[k + 2]


@pytest.fixture
def unit_noises() -> type[UnitNoises]:
    return UnitNoises


@pytest.fixture
def given_noise() -> type[GivenNoise]:
    return GivenNoise


@pytest.fixture
def exact_denoiser() -> Callable[..., Denoiser]:
    """exact_denoiser(mixture, process, ...): the perfect eps of the mixture, at fractional times too."""

    def build(
        mixture: GaussianMixture, process: DiffusionProcess, *, clip: bool = False, variance: str = "fixed-small"
    ) -> Denoiser:
        def model(x: Tensor, t: Tensor) -> Tensor:
            alpha_bar = level_of_time(process.origin, t).to(x)
            return mixture.eps(x, alpha_bar.sqrt(), (1 - alpha_bar).sqrt())

        return Denoiser(model, process, clip=clip, variance=variance)

    return build


@pytest.fixture
def two_modes() -> GaussianMixture:
    """One pixel: 30 % around -0.6 and 70 % around 0.5."""
    return GaussianMixture(
        torch.tensor([-0.6, 0.5]).reshape(2, 1, 1, 1),
        torch.tensor([0.1, 0.2]).square().reshape(2, 1, 1, 1),
        torch.tensor([0.3, 0.7]),
    )
