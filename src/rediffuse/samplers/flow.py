"""Sampling a stochastic interpolant on the straight path (rectified flow), by Euler and by Heun.

The velocity u = dx_t/dt = E[eps - x0 | x_t] is integrated from t = 1 (noise) to t = 0 (data) in equal steps: Liu, Gong
& Liu 2023 (arXiv:2209.03003), Lipman et al. 2023 (arXiv:2210.02747). The straighter the learned paths, the fewer steps:
5 to 10.
"""

import itertools
from collections.abc import Callable

import torch
from torch import Tensor

from rediffuse.diffusion.denoiser import Denoised
from rediffuse.diffusion.interpolant import to_x0_and_noise
from rediffuse.errors import UserError
from rediffuse.samplers.interfaces import Callback, NoiseSource
from rediffuse.samplers.levels import as_level, scaled

Velocity = Callable[[Tensor, float], Tensor]
"""field(x [B, C, H, W], t) -> velocity [B, C, H, W]; `rediffuse.diffusion.interpolant.VelocityField` is one."""


def flow_step(xt: Tensor, velocity: Tensor, t: float | Tensor, t_next: float | Tensor) -> Tensor:
    """x_t + (t_next - t) velocity. `xt`, `velocity`: [B, C, H, W]; times: numbers or [B], from 1 down to 0."""
    return xt + scaled(as_level(t_next, xt) - as_level(t, xt), velocity)


def flow_heun_step(
    xt: Tensor, velocity: Tensor, velocity_next: Tensor, t: float | Tensor, t_next: float | Tensor
) -> Tensor:
    """Heun's step: along the mean of the velocity at x_t and that at the end of the Euler step (`velocity_next`)."""
    return flow_step(xt, 0.5 * (velocity + velocity_next), t, t_next)


@torch.no_grad()
def flow_euler(field: Velocity, noise: NoiseSource, *, steps: int = 10, callback: Callback | None = None) -> Tensor:
    """Integrate by Euler's method; one network evaluation a step. Returns x0, [B, C, H, W]."""
    x = noise.initial()
    for k, (t, t_next) in enumerate(_intervals(steps)):
        velocity = field(x, t)
        moved = flow_step(x, velocity, t, t_next)
        if callback is not None:
            callback(k, t, x, _estimate(x, velocity, moved, t))
        x = moved
    return x


@torch.no_grad()
def flow_heun(field: Velocity, noise: NoiseSource, *, steps: int = 5, callback: Callback | None = None) -> Tensor:
    """Integrate by Heun's method; two network evaluations a step, one in the last. Returns x0, [B, C, H, W].

    The last step, into t = 0, is Euler's (as in Karras et al. 2022, algorithm 1): a corrector would ask for the
    velocity of an image without noise, and a trained network has learned it for t > 0 only.
    """
    x = noise.initial()
    for k, (t, t_next) in enumerate(_intervals(steps)):
        velocity = field(x, t)
        guess = flow_step(x, velocity, t, t_next)
        moved = guess if t_next == 0 else flow_heun_step(x, velocity, field(guess, t_next), t, t_next)
        if callback is not None:
            callback(k, t, x, _estimate(x, velocity, moved, t))
        x = moved
    return x


def _intervals(steps: int) -> list[tuple[float, float]]:
    if steps < 1:
        raise UserError(f"steps = {steps} is not possible: a flow needs at least 1 step")
    times = [1 - i / steps for i in range(steps + 1)]
    return list(itertools.pairwise(times))


def _estimate(x: Tensor, velocity: Tensor, moved: Tensor, t: float) -> Denoised:
    """The step in a denoiser's terms, for callbacks: a deterministic step has variance 0."""
    x0, eps = to_x0_and_noise(x, velocity, t)
    return Denoised(x0, eps, moved, torch.zeros_like(x), torch.full_like(x, -torch.inf))
