"""The reverse-time SDE by Euler-Maruyama: Song et al. 2021 (arXiv:2011.13456), equations 6 and 11.

dx = [-1/2 beta(t) x - beta(t) grad log p_t(x)] dt + sqrt(beta(t)) dw, run backwards. beta(t) dt over one step is the
(respaced) process's beta = 1 - abar / abar_prev, which tends to the SDE's as the steps shrink and stays below 1 where a
cosine schedule's integral of beta(t) would not.
"""

import torch
from torch import Tensor

from rediffuse.samplers.interfaces import Callback, DenoiserLike, NoiseSource
from rediffuse.samplers.levels import Level, alpha_bar_levels, as_level, check_levels, scaled


def euler_maruyama_step(
    xt: Tensor, eps: Tensor, alpha_bar: Level, alpha_bar_prev: Level, noise: Tensor | None
) -> Tensor:
    """x_prev = x_t + beta (x_t / 2 + score) + sqrt(beta) noise, beta = 1 - abar / abar_prev, score = -eps / sqrt(1 -
    abar).

    `xt`, `eps`, `noise`: [B, C, H, W]; levels: numbers or [B], 0 < abar < abar_prev <= 1. `noise=None` leaves the noise
    out, as the last step does. Returns [B, C, H, W] in the dtype of `xt`. Raises `UserError` for levels that are not in
    this order.
    """
    level, previous = as_level(alpha_bar, xt), as_level(alpha_bar_prev, xt)
    check_levels(level, previous)
    beta = 1 - level / previous
    moved = scaled(1 + 0.5 * beta, xt) - scaled(beta / (1 - level) ** 0.5, eps)
    return moved if noise is None else moved + scaled(beta**0.5, noise)


@torch.no_grad()
def reverse_sde(denoiser: DenoiserLike, noise: NoiseSource, *, callback: Callback | None = None) -> Tensor:
    """Sample the reverse SDE by Euler-Maruyama over the denoiser's process.

    Draw k = 0, 1, ... of `noise` goes into the step from t = S - 1 - k; the step from t = 0 returns the estimate of x0,
    so that no noise is left in the image. Network evaluations: one a step. Of weak order 1: it wants many steps
    (hundreds). Returns x0, [B, C, H, W].
    """
    levels = alpha_bar_levels(denoiser.process)
    x = noise.initial()
    for k, t in enumerate(reversed(range(denoiser.process.num_timesteps))):
        denoised = denoiser(x, t)
        if callback is not None:
            callback(k, t, x, denoised)
        if t == 0:
            return denoised.x0
        x = euler_maruyama_step(x, denoised.eps, levels[t + 1], levels[t], noise.step(k))
    return x
