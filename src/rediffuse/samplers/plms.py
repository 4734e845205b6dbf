"""PLMS: pseudo linear multistep sampling, Liu et al. 2022 (PNDM, arXiv:2202.09778), equations 11 to 13.

Past estimates of eps are combined with the Adams-Bashforth coefficients, and x_t moves along the combination by the
same map that DDIM uses (PNDM's transfer). The Runge-Kutta warm-up of the paper is replaced by one Heun step and by
lower orders for the next two (eq. 22, 23), as in the latent-diffusion code and diffusers' `skip_prk_steps`. The map is
linear in sigma while the steps are not equal in sigma, so the whole method is of second order, as the paper finds.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from rediffuse.errors import UserError
from rediffuse.samplers.interfaces import Callback, DenoiserLike, NoiseSource
from rediffuse.samplers.levels import alpha_bar_levels
from rediffuse.samplers.probability_flow import heun_step, probability_flow_step

ADAMS_BASHFORTH: tuple[tuple[float, ...], ...] = (
    (1.0,),
    (3 / 2, -1 / 2),
    (23 / 12, -16 / 12, 5 / 12),
    (55 / 24, -59 / 24, 37 / 24, -9 / 24),
)


def multistep_eps(history: Sequence[Tensor]) -> Tensor:
    """The Adams-Bashforth combination of up to four estimates of eps, newest first (PNDM eq. 12).

    `history`: one to four tensors [B, C, H, W]. Raises `UserError` for none or more.
    """
    if not 1 <= len(history) <= 4:
        raise UserError(f"PLMS combines one to four estimates of eps, not {len(history)}")
    weights = ADAMS_BASHFORTH[len(history) - 1]
    combined = weights[0] * history[0]
    for weight, eps in zip(weights[1:], history[1:], strict=True):
        combined = combined + weight * eps
    return combined


@torch.no_grad()
def plms(denoiser: DenoiserLike, noise: NoiseSource, *, callback: Callback | None = None) -> Tensor:
    """Sample by PLMS over the denoiser's process, whose steps should be evenly spaced in t.

    Deterministic given x_T. S > 1 steps cost S + 1 network evaluations (two in the first step), one step costs one.
    Returns x0, [B, C, H, W]; x0 is not clipped again after eps has been combined.
    """
    levels = alpha_bar_levels(denoiser.process)
    x = noise.initial()
    history: list[Tensor] = []
    for k, t in enumerate(reversed(range(denoiser.process.num_timesteps))):
        denoised = denoiser(x, t)
        if callback is not None:
            callback(k, t, x, denoised)
        history = [denoised.eps, *history[:3]]
        moved = probability_flow_step(x, multistep_eps(history), levels[t + 1], levels[t])
        if k == 0 and t > 0:
            moved = heun_step(x, denoised.eps, denoiser(moved, t - 1).eps, levels[t + 1], levels[t])
        x = moved
    return x
