"""A velocity read as a denoiser, held against the exact velocity of Gaussian data and the flow it belongs to."""

import itertools

import pytest
import torch
from torch import Tensor

from rediffuse.diffusion.analytic import GaussianMixture
from rediffuse.diffusion.interpolant import VelocityField
from rediffuse.diffusion.process import DiffusionProcess
from rediffuse.diffusion.straight import VelocityDenoiser, straight_process
from rediffuse.samplers.ddim import ddim
from rediffuse.samplers.flow import flow_step
from rediffuse.samplers.partial import StartFrom
from rediffuse.samplers.restoration import denoise

MEAN, VARIANCE = 0.2, 0.09


def exact_velocity(x: Tensor, t: Tensor, y: None = None) -> Tensor:
    """E[ε − x0 | x_t] of x_t = (1 − t) x0 + t ε with x0 ~ N(MEAN, VARIANCE): by regression on x_t, which is Gaussian.

    Cov(ε − x0, x_t) = t − (1 − t) VARIANCE, Var(x_t) = (1 − t)² VARIANCE + t².
    """
    time = (t / 1000).reshape(-1, 1, 1, 1)
    gain = (time - (1 - time) * VARIANCE) / ((1 - time) ** 2 * VARIANCE + time**2)
    return gain * (x - (1 - time) * MEAN) - MEAN


def noise(shape: tuple[int, ...] = (5, 1, 2, 2)) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


@pytest.mark.parametrize("process", [DiffusionProcess.create("linear", 1000), straight_process(50)])
def test_at_every_level_it_gives_the_posterior_mean(process):
    denoiser = VelocityDenoiser(exact_velocity, process, clip=False)
    x = noise((process.num_timesteps, 1, 1, 1))
    denoised = denoiser(x, torch.arange(process.num_timesteps))
    # Conjugate Gaussians: x_t/√ᾱ is x0 with noise of variance (1 − ᾱ)/ᾱ.
    level = process.alphas_bar.reshape(-1, 1, 1, 1)
    weight = VARIANCE / (VARIANCE + (1 - level) / level)
    torch.testing.assert_close(denoised.x0, MEAN + weight * (x / level**0.5 - MEAN), rtol=0, atol=1e-9)
    torch.testing.assert_close(level**0.5 * denoised.x0 + (1 - level) ** 0.5 * denoised.eps, x)


def test_noise_is_removed_by_the_posterior_mean_at_the_time_sigma_by_one_plus_sigma():
    sigma = 0.5
    noisy = MEAN + noise()
    denoiser = VelocityDenoiser(exact_velocity, straight_process(4000), clip=False)
    exact = GaussianMixture(torch.full((1, 1, 2, 2), MEAN), torch.full((1, 1, 2, 2), VARIANCE))
    torch.testing.assert_close(
        denoise(denoiser, noisy, sigma), exact.posterior(noisy, 1.0, sigma)[0], rtol=0, atol=1e-3
    )
    # The network is asked at t = σ/(1 + σ) with the noisy image by 1 + σ.
    t = sigma / (1 + sigma)
    on_path = noisy / (1 + sigma)
    direct = on_path - t * VelocityField(exact_velocity)(on_path, t)
    torch.testing.assert_close(denoise(denoiser, noisy, sigma), direct, rtol=0, atol=1e-3)


def test_ddim_is_eulers_method_along_the_straight_path():
    steps, field = 7, VelocityField(exact_velocity)
    times = [(i + 0.5) / steps for i in reversed(range(steps))] + [0.0]
    start = x = noise()
    for t, t_next in itertools.pairwise(times):
        x = flow_step(x, field(x, t), t, t_next)
    # The same start in the process's units, where x_t has the variance of unit noise.
    scale = ((1 - times[0]) ** 2 + times[0] ** 2) ** 0.5
    process = straight_process(steps)
    made = ddim(VelocityDenoiser(exact_velocity, process, clip=False), StartFrom(start / scale, None))
    torch.testing.assert_close(made, x, rtol=0, atol=1e-12)


def test_a_limited_estimate_takes_its_noise_along():
    process = straight_process(10)
    x = 30 * noise()
    denoised = VelocityDenoiser(exact_velocity, process)(x, 3)
    assert denoised.x0.abs().max() == 1
    level = process.alphas_bar[3]
    torch.testing.assert_close(level**0.5 * denoised.x0 + (1 - level) ** 0.5 * denoised.eps, x)
