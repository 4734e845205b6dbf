"""DDIM: Song, Meng & Ermon 2021 (arXiv:2010.02502), equations 12 and 16.

x_prev = sqrt(abar_prev) x0 + sqrt(1 - abar_prev - sigma^2) eps + sigma noise,
sigma = eta sqrt((1 - abar_prev) / (1 - abar)) sqrt(1 - abar / abar_prev).

eta = 0 is deterministic; eta = 1 is ancestral sampling with the variance beta-tilde, identical for the same noise
provided that `eps` belongs to the `x0` in use: after clipping x0, eps must be derived anew from x_t and the clipped x0
(the denoiser does so). Ancestral sampling with its noise switched off is not DDIM: the direction term grows to make up
for sigma = 0.
"""

import torch
from torch import Tensor

from rediffuse.errors import UserError
from rediffuse.samplers.interfaces import Callback, DenoiserLike, NoiseSource
from rediffuse.samplers.levels import Level, alpha_bar_levels, as_level, check_eta, check_levels, clamped_root, scaled


def ddim_sigma(alpha_bar: Level, alpha_bar_prev: Level, eta: float) -> Level:
    """Standard deviation of a step's noise (DDIM eq. 16), 0 where abar_prev = 1; numbers, or float64 tensors."""
    return eta * ((1 - alpha_bar_prev) / (1 - alpha_bar)) ** 0.5 * (1 - alpha_bar / alpha_bar_prev) ** 0.5


def ddim_step(
    x0: Tensor,
    eps: Tensor,
    alpha_bar: Level,
    alpha_bar_prev: Level,
    *,
    eta: float = 0.0,
    noise: Tensor | None = None,
) -> Tensor:
    """x_prev from the estimates of x0 and eps at x_t (DDIM eq. 12); x_t itself enters only through them.

    `x0`, `eps`, `noise`: [B, C, H, W]; `alpha_bar`, `alpha_bar_prev`: a number or [B], 0 < abar < abar_prev <= 1.
    `noise` may be None where eta = 0 or abar_prev = 1. Returns [B, C, H, W] in the dtype of `x0`.
    Raises `UserError` if eta lies outside [0, 1], levels are not in this order, or noise is needed and missing.
    """
    check_eta(eta)
    level, previous = as_level(alpha_bar, x0), as_level(alpha_bar_prev, x0)
    check_levels(level, previous)
    sigma = ddim_sigma(level, previous, eta)
    x = scaled(previous**0.5, x0) + scaled(clamped_root(1 - previous - sigma**2), eps)
    if noise is not None:
        return x + scaled(sigma, noise)
    if (sigma > 0).any() if isinstance(sigma, Tensor) else sigma > 0:
        raise UserError(f"a DDIM step with eta = {eta} needs noise; pass noise=... or use eta = 0")
    return x


@torch.no_grad()
def ddim(denoiser: DenoiserLike, noise: NoiseSource, *, eta: float = 0.0, callback: Callback | None = None) -> Tensor:
    """Sample by DDIM over the denoiser's process, whose last step goes to abar = 1 and returns the estimate of x0.

    Draw k = 0, 1, ... of `noise` goes into the step from t = S - 1 - k, as in ancestral sampling; eta = 0 draws none.
    Network evaluations: one a step. Returns x0, [B, C, H, W]. Raises `UserError` if eta lies outside [0, 1].
    """
    check_eta(eta)
    levels = alpha_bar_levels(denoiser.process)
    x = noise.initial()
    for k, t in enumerate(reversed(range(denoiser.process.num_timesteps))):
        denoised = denoiser(x, t)
        if callback is not None:
            callback(k, t, x, denoised)
        drawn = noise.step(k) if eta > 0 and t > 0 else None
        x = ddim_step(denoised.x0, denoised.eps, levels[t + 1], levels[t], eta=eta, noise=drawn)
    return x
