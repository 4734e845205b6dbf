"""The probability-flow ODE on the process's own grid, by Euler and by Heun (Song et al. 2021, arXiv:2011.13456, eq.
13).

The time variable is sigma = sqrt((1 - abar) / abar) and the state x_t / sqrt(abar), the variance-exploding coordinates
of Karras et al. 2022 (arXiv:2206.00364, EDM, Algorithm 1), in which the ODE is d(x / sqrt(abar)) / d sigma = eps(x_t,
t). Euler in sigma is DDIM with eta = 0 (Song, Meng & Ermon 2021, eq. 14). `adaptive.py` has the method with a
tolerance.
"""

import torch
from torch import Tensor

from rediffuse.samplers.interfaces import Callback, DenoiserLike, NoiseSource
from rediffuse.samplers.levels import Level, alpha_bar_levels, as_level, check_levels, noise_to_signal, scaled


def probability_flow_step(xt: Tensor, eps: Tensor, alpha_bar: Level, alpha_bar_prev: Level) -> Tensor:
    """Move x_t along `eps` from one noise level to a cleaner one, or to a noisier one: Euler's step in sigma.

    x_prev = sqrt(abar_prev / abar) x_t + sqrt(abar_prev) (sigma_prev - sigma) eps. With the mean of two eps it is a
    step of Heun's method, with a combination of past ones a step of PLMS (PNDM, Liu et al. 2022, eq. 11, is the same
    map).

    `xt`, `eps`: [B, C, H, W]; levels: numbers or [B], in (0, 1]. Returns [B, C, H, W] in the dtype of `xt`. Raises
    `UserError` for other levels: at alpha_bar = 0 there is no image left, and sigma is infinite.
    """
    level, previous = as_level(alpha_bar, xt), as_level(alpha_bar_prev, xt)
    check_levels(level)
    check_levels(previous)
    moved = previous**0.5 * (noise_to_signal(previous) - noise_to_signal(level))
    return scaled((previous / level) ** 0.5, xt) + scaled(moved, eps)


def heun_step(xt: Tensor, eps: Tensor, eps_prev: Tensor, alpha_bar: Level, alpha_bar_prev: Level) -> Tensor:
    """Heun's second-order step in sigma (EDM Algorithm 1, lines 6-8): from x_t along the mean of two eps.

    `eps_prev` is the estimate at the end of the Euler step, that is at `probability_flow_step(xt, eps, ...)`.
    """
    return probability_flow_step(xt, 0.5 * (eps + eps_prev), alpha_bar, alpha_bar_prev)


@torch.no_grad()
def euler(denoiser: DenoiserLike, noise: NoiseSource, *, callback: Callback | None = None) -> Tensor:
    """Sample the probability-flow ODE by Euler's method in sigma: one network evaluation a step. Returns x0."""
    levels = alpha_bar_levels(denoiser.process)
    x = noise.initial()
    for k, t in enumerate(reversed(range(denoiser.process.num_timesteps))):
        denoised = denoiser(x, t)
        if callback is not None:
            callback(k, t, x, denoised)
        x = probability_flow_step(x, denoised.eps, levels[t + 1], levels[t])
    return x


@torch.no_grad()
def heun(denoiser: DenoiserLike, noise: NoiseSource, *, callback: Callback | None = None) -> Tensor:
    """Sample the probability-flow ODE by Heun's method in sigma.

    The last step, to sigma = 0, is Euler's, because eps has no value there (as in EDM): S steps cost 2 S - 1 network
    evaluations. Returns x0, [B, C, H, W].
    """
    levels = alpha_bar_levels(denoiser.process)
    x = noise.initial()
    for k, t in enumerate(reversed(range(denoiser.process.num_timesteps))):
        denoised = denoiser(x, t)
        if callback is not None:
            callback(k, t, x, denoised)
        guess = probability_flow_step(x, denoised.eps, levels[t + 1], levels[t])
        if t == 0:
            return guess
        x = heun_step(x, denoised.eps, denoiser(guess, t - 1).eps, levels[t + 1], levels[t])
    return x
