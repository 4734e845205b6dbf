"""Ancestral sampling: Ho, Jain & Abbeel 2020 (DDPM, arXiv:2006.11239), Algorithm 2.

With fewer steps than the model was trained on it runs over a respaced process (Nichol & Dhariwal 2021, section 4): the
betas of the kept steps are recomputed from alpha_bar. Rebuilding the schedule with fewer steps, or cutting it short, is
not the same: the first step would then see a noise level that the start x_T ~ N(0, I) does not have.
"""

import math

import torch
from torch import Tensor

from rediffuse.errors import UserError
from rediffuse.samplers.interfaces import Callback, DenoiserLike, NoiseSource
from rediffuse.samplers.levels import Level, as_level, check_levels, scaled


def ancestral_step(mean: Tensor, log_variance: Level, noise: Tensor | None) -> Tensor:
    """One draw from N(mean, exp(log_variance)): DDPM Algorithm 2, line 4.

    `mean`, `noise`: [B, C, H, W]; `log_variance`: a number, [B], or anything that broadcasts against `mean`.
    `noise=None` returns the mean, which is what the last step (t = 0) does.
    """
    if noise is None:
        return mean
    log_variance = as_level(log_variance, mean)
    sigma = torch.exp(0.5 * log_variance) if isinstance(log_variance, Tensor) else math.exp(0.5 * log_variance)
    return mean + scaled(sigma, noise)


def ddpm_step(
    xt: Tensor,
    x0: Tensor,
    alpha_bar: Level,
    alpha_bar_prev: Level,
    noise: Tensor | None,
    *,
    variance: str = "fixed-large",
) -> Tensor:
    """x_{t-1} from x_t and an estimate of x0, with one of DDPM's two fixed variances (DDPM eq. 6, 7 and section 3.2).

    mean = sqrt(abar_prev) beta / (1 - abar) x0 + sqrt(alpha) (1 - abar_prev) / (1 - abar) x_t, with alpha = abar /
    abar_prev and beta = 1 - alpha; sigma^2 = beta ("fixed-large") or (1 - abar_prev) / (1 - abar) beta ("fixed-small").

    `xt`, `x0`, `noise`: [B, C, H, W]; `alpha_bar`, `alpha_bar_prev`: a number or [B], 0 < abar < abar_prev <= 1. Where
    abar_prev = 1 (the last step), and with `noise=None`, no noise is added. Returns [B, C, H, W] in the dtype of `xt`.
    Raises `UserError` for another variance, or levels that are not in this order.
    """
    level, previous = as_level(alpha_bar, xt), as_level(alpha_bar_prev, xt)
    check_levels(level, previous)
    alpha = level / previous
    beta, shrink = 1 - alpha, (1 - previous) / (1 - level)
    mean = scaled(previous**0.5 * beta / (1 - level), x0) + scaled(alpha**0.5 * shrink, xt)
    if variance not in ("fixed-large", "fixed-small"):
        raise UserError(f"variance {variance!r} is unknown: 'fixed-large' or 'fixed-small'")
    if noise is None:
        return mean
    sigma = (beta if variance == "fixed-large" else beta * shrink) ** 0.5 * (previous < 1)
    return mean + scaled(sigma, noise)


@torch.no_grad()
def ancestral(denoiser: DenoiserLike, noise: NoiseSource, *, callback: Callback | None = None) -> Tensor:
    """Sample by Algorithm 2 over the denoiser's process; the variance is the denoiser's (fixed or learned).

    A denoiser that clips recomputes the mean from the clipped x0, also of a network that predicts mu, whose mean the
    code of DDPM and IDDPM leaves as it is: with clip=False it is theirs.

    Draw k = 0, 1, ... of `noise` goes into the step from t = S - 1 - k; the step from t = 0 adds none.
    Network evaluations: one a step. Returns x0, [B, C, H, W].
    """
    x = noise.initial()
    for k, t in enumerate(reversed(range(denoiser.process.num_timesteps))):
        denoised = denoiser(x, t)
        if callback is not None:
            callback(k, t, x, denoised)
        x = ancestral_step(denoised.mean, denoised.log_variance, noise.step(k) if t > 0 else None)
    return x
