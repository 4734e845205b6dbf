"""DPM-Solver++ (2M): Lu et al. 2022 (arXiv:2211.01095), Algorithm 2, in its x0-predicting form.

The ODE is integrated exactly in its linear part, with lambda = 1/2 log(abar / (1 - abar)) as the time; the estimate of
x0 is extrapolated linearly from the last two steps. The first step has no history and is of first order (1S, which is
DDIM with eta = 0), and so is the last, to abar = 1, where the step in lambda is infinite and only the latest x0 counts.
"""

import math

import torch
from torch import Tensor

from rediffuse.errors import UserError
from rediffuse.samplers.interfaces import Callback, DenoiserLike, NoiseSource
from rediffuse.samplers.levels import Level, alpha_bar_levels, as_level, check_levels, half_log_snr, scaled


def dpm_solver_pp_1s_step(xt: Tensor, x0: Tensor, alpha_bar: Level, alpha_bar_prev: Level) -> Tensor:
    """First-order step (DPM-Solver++ eq. 9 for k = 1): (sigma_prev / sigma) x_t - alpha_prev (exp(-h) - 1) x0.

    Here alpha = sqrt(abar), sigma = sqrt(1 - abar), h = lambda_prev - lambda > 0. `xt`, `x0`: [B, C, H, W]; levels:
    numbers or [B], 0 < abar < abar_prev <= 1; at abar_prev = 1 the result is x0. Returns [B, C, H, W] in the dtype of
    `xt`. Raises `UserError` for levels that are not in this order.
    """
    level, previous = as_level(alpha_bar, xt), as_level(alpha_bar_prev, xt)
    check_levels(level, previous)
    shrink = ((1 - previous) / (1 - level)) ** 0.5
    return scaled(shrink, xt) + scaled(previous**0.5 - shrink * level**0.5, x0)


def dpm_solver_pp_2m_step(
    xt: Tensor, x0: Tensor, x0_last: Tensor, alpha_bar: Level, alpha_bar_prev: Level, alpha_bar_last: Level
) -> Tensor:
    """Second-order multistep step (DPM-Solver++ Algorithm 2, line 8).

    The first-order step with x0 replaced by (1 + 1/(2r)) x0 - 1/(2r) x0_last, r = (lambda - lambda_last) / (lambda_prev
    - lambda). `x0_last` is the estimate of the step before, made at `alpha_bar_last` < `alpha_bar` < `alpha_bar_prev`.
    Levels are numbers or [B]. Where abar_prev = 1 the step is of first order: r would be 0. Raises `UserError` for
    levels that are not in this order.
    """
    level, previous, last = (as_level(value, xt) for value in (alpha_bar, alpha_bar_prev, alpha_bar_last))
    check_levels(level, previous)
    check_levels(last, level)
    if bool((last == level).any() if isinstance(last == level, Tensor) else last == level):
        raise UserError(f"alpha_bar_last = {float(alpha_bar_last):g} must be below alpha_bar: nothing to extrapolate")
    here = half_log_snr(level)
    ahead, behind = half_log_snr(previous) - here, here - half_log_snr(last)
    if isinstance(ahead, Tensor):
        weight: Level = torch.where(torch.isinf(ahead), 0.0, 0.5 * ahead / behind)
    else:
        weight = 0.0 if ahead == math.inf else 0.5 * ahead / behind
    extrapolated = scaled(1 + weight, x0) - scaled(weight, x0_last)
    return dpm_solver_pp_1s_step(xt, extrapolated, level, previous)


@torch.no_grad()
def dpm_solver_pp(
    denoiser: DenoiserLike, noise: NoiseSource, *, order: int = 2, callback: Callback | None = None
) -> Tensor:
    """Sample by DPM-Solver++ over the denoiser's process: 2M with a 1S first step (`order=2`) or 1S throughout
    (`order=1`).

    Deterministic given x_T. Network evaluations: one a step. Returns x0, [B, C, H, W]. Raises `UserError` for another
    order.
    """
    if order not in (1, 2):
        raise UserError(f"DPM-Solver++ of order {order} is not available: order is 1 or 2")
    levels = alpha_bar_levels(denoiser.process)
    steps = denoiser.process.num_timesteps
    x = noise.initial()
    x0_last: Tensor | None = None
    for k, t in enumerate(reversed(range(steps))):
        denoised = denoiser(x, t)
        if callback is not None:
            callback(k, t, x, denoised)
        if order == 1 or x0_last is None:
            x = dpm_solver_pp_1s_step(x, denoised.x0, levels[t + 1], levels[t])
        else:
            x = dpm_solver_pp_2m_step(x, denoised.x0, x0_last, levels[t + 1], levels[t], levels[t + 2])
        x0_last = denoised.x0
    return x
