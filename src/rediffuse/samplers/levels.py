"""Noise levels as numbers: alpha_bar of a process by step, and coefficients that keep the caller's dtype."""

import math
from typing import Any, TypeAlias

import torch
from torch import Tensor

from rediffuse.diffusion.process import DiffusionProcess
from rediffuse.errors import UserError

Level: TypeAlias = Any
"""A noise level, or a coefficient made of levels: a number for the whole batch, or a float64 tensor [B, 1, ...]."""


def alpha_bar_levels(process: DiffusionProcess) -> list[float]:
    """alpha_bar at t = -1, 0, ..., num_timesteps - 1: entry t + 1 belongs to t, entry t is what the step from t
    reaches.

    The 1 in front is what makes `t_prev >= 0` the right test and keeps `[t - 1]` from wrapping round at t = 0.
    """
    return [1.0, *process.alphas_bar.tolist()]


def as_level(value: float | Tensor, like: Tensor) -> Level:
    """A number or 0-d tensor as a Python float; a tensor [B] as float64 [B, 1, ...] on the device of `like`.

    A tensor with more axes is returned as it is: it must broadcast against `like` already.
    """
    if not isinstance(value, Tensor):
        return float(value)
    if value.ndim == 0:
        return float(value.item())
    if value.ndim > 1:
        return value
    return value.to(device=like.device, dtype=torch.float64).reshape(-1, *(1,) * (like.ndim - 1))


def check_levels(level: Level, previous: Level | None = None) -> None:
    """Raise `UserError` unless 0 < level <= 1, and, towards a cleaner `previous`, level <= previous <= 1 and level < 1.

    Of levels in the wrong order roots are not real: a step would give complex numbers, or NaN without a word.
    """
    cleaner = 1.0 if previous is None else previous
    right = (level > 0) & (level <= cleaner) & (cleaner <= 1) & ((level < 1) | (previous is None))
    if not bool(right.all() if isinstance(right, Tensor) else right):
        shown = [f"{float(v.reshape(-1)[0]) if isinstance(v, Tensor) else v:g}" for v in (level, cleaner)]
        if previous is None:
            raise UserError(f"alpha_bar = {shown[0]} is no level to step between: it lies above 0 and is at most 1")
        raise UserError(
            f"alpha_bar = {shown[0]} and alpha_bar_prev = {shown[1]} are no step: "
            "0 < alpha_bar <= alpha_bar_prev <= 1, and alpha_bar < 1"
        )


def scaled(coefficient: Level, x: Tensor) -> Tensor:
    """`coefficient * x` in the dtype of `x`, the coefficient rounded once."""
    return x * (coefficient.to(x.dtype) if isinstance(coefficient, Tensor) else coefficient)


def clamped_root(value: Level) -> Level:
    """Square root of a quantity that is >= 0 but for rounding."""
    return value.clamp(min=0).sqrt() if isinstance(value, Tensor) else max(value, 0.0) ** 0.5


def noise_to_signal(alpha_bar: Level) -> Level:
    """sigma = sqrt((1 - abar) / abar), the noise level of x_t / sqrt(abar) (variance-exploding coordinates)."""
    return ((1 - alpha_bar) / alpha_bar) ** 0.5


def half_log_snr(alpha_bar: Level) -> Level:
    """lambda = 1/2 log(abar / (1 - abar)) = -log sigma; infinite at abar = 1."""
    if isinstance(alpha_bar, Tensor):
        return 0.5 * (torch.log(alpha_bar) - torch.log1p(-alpha_bar))
    return math.inf if alpha_bar >= 1 else 0.5 * (math.log(alpha_bar) - math.log1p(-alpha_bar))


def check_eta(eta: float) -> float:
    """`eta` if it is a number in [0, 1]; else `UserError`."""
    if not 0.0 <= eta <= 1.0:
        raise UserError(f"eta = {eta} is not possible: DDIM's eta lies between 0 (deterministic) and 1 (ancestral)")
    return float(eta)
