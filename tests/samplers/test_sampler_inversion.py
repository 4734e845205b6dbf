"""From an image to its noise and back by DDIM: Song, Meng & Ermon 2021, section 4.3."""

import numpy as np
import pytest
import torch
from torch import Tensor

from rediffuse.diffusion.analytic import GaussianMixture
from rediffuse.diffusion.process import DiffusionProcess
from rediffuse.samplers.ddim import ddim
from rediffuse.samplers.interfaces import EvaluationCounter
from rediffuse.samplers.inversion import ddim_invert
from rediffuse.samplers.partial import StartFrom
from rediffuse.samplers.trajectory import Trajectory

MEAN, VARIANCE = 0.2, 0.09
GAUSSIAN = GaussianMixture(torch.full((1, 1, 1, 1), MEAN), torch.full((1, 1, 1, 1), VARIANCE))
WHOLE = DiffusionProcess.create("cosine", 1000)
IMAGES = torch.linspace(-0.7, 1.1, 7, dtype=torch.float64).reshape(-1, 1, 1, 1)
STEPS = [25, 50, 100]


def grid(steps: int) -> DiffusionProcess:
    # Up to t = 900: the schedule's clip at 0.999 plays no part there.
    return WHOLE.respace(np.linspace(0, 900, steps).round().astype(int).tolist())


def fitted_order(errors: list[float]) -> float:
    return -float(np.polyfit(np.log(STEPS), np.log(errors), 1)[0])


def encoded_exactly(x0: Tensor) -> Tensor:
    """Where the ODE takes x0 at t = 900: it keeps the standard score of a Gaussian's point."""
    level = float(WHOLE.alphas_bar[900])
    return level**0.5 * MEAN + (x0 - MEAN) * ((level * VARIANCE + 1 - level) / VARIANCE) ** 0.5


def test_the_encoding_of_gaussian_data_converges_to_that_of_the_ode(exact_denoiser):
    errors = []
    for steps in STEPS:
        encoded = ddim_invert(exact_denoiser(GAUSSIAN, grid(steps)), IMAGES)
        errors.append(float((encoded - encoded_exactly(IMAGES)).abs().max()))
    assert fitted_order(errors) == pytest.approx(1, abs=0.15)
    assert errors[-1] < 0.03 * float(encoded_exactly(IMAGES).abs().max())


def test_the_error_of_a_round_trip_falls_with_the_steps(two_modes, exact_denoiser, given_noise):
    errors = []
    for steps in STEPS:
        denoiser = exact_denoiser(two_modes, grid(steps))
        start = StartFrom(ddim_invert(denoiser, IMAGES), given_noise(IMAGES))
        errors.append(float((ddim(denoiser, start) - IMAGES).abs().mean()))
    assert errors[0] > errors[1] > errors[2]
    assert fitted_order(errors) > 0.7


def test_an_inversion_asks_the_network_once_a_step_from_its_cleanest_time_on(exact_denoiser):
    counter, watched = EvaluationCounter(exact_denoiser(GAUSSIAN, grid(25))), Trajectory()
    ddim_invert(counter, IMAGES, callback=watched)
    assert counter.forwards == 25
    assert watched.t == [0, *range(24)]
    assert torch.equal(watched.x[0], IMAGES)
