"""Noise schedules β_0…β_{T−1} and the choice of a subset of their steps. Tables are float64."""

import math
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from rediffuse.diffusion.named_schedules import SCHEDULES, scaled_ends
from rediffuse.errors import UserError
from rediffuse.registry import load

#: Knots of the three-piece schedule as (fraction of the way, fraction of the rise from β_start to β_end):
#: a slow, a fast and a slow third whose mean is that of the linear schedule, so that both end at the same ᾱ.
PIECEWISE_KNOTS = ((0.0, 0.0), (1 / 3, 0.2), (2 / 3, 0.8), (1.0, 1.0))


def linear_betas(timesteps: int, beta_start: float, beta_end: float) -> Tensor:
    """β rises linearly (Ho et al. 2020, §4)."""
    return _float64(np.linspace(beta_start, beta_end, timesteps))


def quadratic_betas(timesteps: int, beta_start: float, beta_end: float) -> Tensor:
    """√β rises linearly ("quad" of Ho et al.'s code, "scaled_linear" of diffusers)."""
    return _float64(np.linspace(beta_start**0.5, beta_end**0.5, timesteps) ** 2)


def sigmoid_betas(timesteps: int, beta_start: float, beta_end: float) -> Tensor:
    """β rises along an S: the logistic function on [−6, 6] (Xu et al. 2022, GeoDiff; "sigmoid" of diffusers)."""
    return _float64((beta_end - beta_start) / (1 + np.exp(-np.linspace(-6, 6, timesteps))) + beta_start)


def piecewise_betas(timesteps: int, beta_start: float, beta_end: float) -> Tensor:
    """β rises in three linear pieces, through `PIECEWISE_KNOTS`."""
    where, rise = zip(*PIECEWISE_KNOTS, strict=True)
    return _float64(beta_start + (beta_end - beta_start) * np.interp(np.linspace(0, 1, timesteps), where, rise))


def d4_quadratic_betas(timesteps: int, beta_start: float, beta_end: float) -> Tensor:
    """β − β_start rises as the square of time (document D4, §3.2.3): less noise early than with `quadratic_betas`."""
    return _float64(beta_start + (beta_end - beta_start) * np.linspace(0, 1, timesteps) ** 2)


def d4_piecewise_betas(timesteps: int, beta_start: float, beta_end: float) -> Tensor:
    """β rises from β_start to 5 β_start, on to 0.8 β_end and on to β_end, in a fifth, three fifths and a fifth of the
    steps, each with both of its ends (document D4, exercise 3.2)."""
    low, high = 5 * beta_start, 0.8 * beta_end
    if low > high:
        raise UserError(f"beta_start={beta_start} is above 0.16 of beta_end={beta_end}: the middle piece would fall")
    first, second = int(0.2 * timesteps), int(0.8 * timesteps)
    pieces = ((beta_start, low, first), (low, high, second - first), (high, beta_end, timesteps - second))
    return _float64(np.concatenate([np.linspace(*piece) for piece in pieces]))


def cosine_alpha_bar(time: float, s: float = 0.008) -> float:
    """ᾱ at time ∈ [0, 1], up to its value at 0 (Nichol and Dhariwal 2021, eq. 17)."""
    return math.cos((time + s) / (1 + s) * math.pi / 2) ** 2


def betas_for_alpha_bar(timesteps: int, alpha_bar: Callable[[float], float], max_beta: float = 0.999) -> Tensor:
    """β_t = 1 − ᾱ((t+1)/T)/ᾱ(t/T), clipped from above at `max_beta` and nowhere else (IDDPM, §3.2)."""
    ratio = [1 - alpha_bar((t + 1) / timesteps) / alpha_bar(t / timesteps) for t in range(timesteps)]
    return torch.tensor([min(beta, max_beta) for beta in ratio], dtype=torch.float64)


def cosine_betas(timesteps: int, s: float = 0.008, max_beta: float = 0.999) -> Tensor:
    """Betas of `cosine_alpha_bar` (Nichol and Dhariwal 2021, §3.2)."""
    return betas_for_alpha_bar(timesteps, lambda time: cosine_alpha_bar(time, s), max_beta)


def make_betas(
    schedule: str,
    timesteps: int,
    *,
    beta_start: float | None = None,
    beta_end: float | None = None,
    cosine_s: float = 0.008,
    max_beta: float = 0.999,
) -> Tensor:
    """The betas of a named schedule, float64 [T].

    All but cosine rise from β_start to β_end. By default these are 1e-4 and 0.02 times 1000/T, so that any T ends at
    about the same ᾱ (`get_named_beta_schedule` of IDDPM); given explicitly, they are used as they are. cosine takes
    `cosine_s` (the offset s) and `max_beta` (its only clip).

    Raises:
        UserError: an unknown name, or a T so small that the scaled β_end would reach 1 (below 21 by default).
    """
    if timesteps < 1:
        raise UserError(f"timesteps is {timesteps}; it must be at least 1")
    entry = SCHEDULES.find(schedule)
    betas = load(entry.betas)
    if not entry.rises:
        if beta_start is not None or beta_end is not None:
            raise UserError(f"the {schedule} schedule takes no beta_start or beta_end; leave them out")
        return betas(timesteps, cosine_s, max_beta)
    if (beta_start is None) != (beta_end is None):
        raise UserError("give both beta_start and beta_end, or neither")
    if beta_start is None or beta_end is None:
        beta_start, beta_end = scaled_ends(schedule, timesteps)
    if not 0 < beta_start <= beta_end < 1:
        raise UserError(f"beta_start={beta_start} and beta_end={beta_end} must satisfy 0 < beta_start <= beta_end < 1")
    return betas(timesteps, beta_start, beta_end)


def respaced_timesteps(timesteps: int, spec: int | str | Sequence[int], spacing: str = "uniform") -> list[int]:
    """The steps of a process of T steps that a shorter one keeps, ascending.

    Args:
        timesteps: T.
        spec: a count; a list of counts, one for each of as many equal sections of 0…T−1 ("10,20,30" or [10, 20, 30]);
            or "ddimN", the first integer stride that keeps exactly N steps. These are the rules of `space_timesteps`
            in IDDPM's code. A section of one step keeps its first.
        spacing: "uniform", or "quadratic" for a count: ⌊linspace(0, √(0.8·T), count)²⌋ of DDIM's code. Where that
            repeats a small step it is kept once, so that the list may be shorter than the count.

    Raises:
        UserError: more steps than T (or than a section has), no such stride, or what is not a specification.
    """
    if spacing not in ("uniform", "quadratic"):
        raise UserError(f"unknown spacing {spacing!r}; choose uniform or quadratic")
    if isinstance(spec, str) and spec.startswith("ddim"):
        _only_uniform(spacing, spec)
        return _stride(timesteps, _count(spec.removeprefix("ddim"), spec))
    if isinstance(spec, str):
        counts = [_count(part, spec) for part in spec.split(",")]
    else:
        counts = [spec] if isinstance(spec, int) else [int(count) for count in spec]
    if not counts or min(counts) < 1 or sum(counts) > timesteps:
        raise UserError(f"cannot keep {spec!r} of {timesteps} timesteps; ask for 1 to {timesteps} steps in all")
    if spacing == "quadratic":
        if len(counts) > 1:
            _only_uniform(spacing, spec)
        return sorted({int(step) for step in np.linspace(0, np.sqrt(timesteps * 0.8), counts[0]) ** 2})
    return _sections(timesteps, counts)


def _sections(timesteps: int, counts: list[int]) -> list[int]:
    size, extra = divmod(timesteps, len(counts))
    kept: list[int] = []
    start = 0
    for i, count in enumerate(counts):
        length = size + (i < extra)
        if length < count:
            raise UserError(f"section {i} has {length} of {timesteps} timesteps; it cannot keep {count}")
        stride = (length - 1) / (count - 1) if count > 1 else 1.0
        # Summed, not multiplied: rounding then falls as in the published code, where a half may go either way.
        position = 0.0
        for _ in range(count):
            kept.append(start + round(position))
            position += stride
        start += length
    return kept


def _stride(timesteps: int, count: int) -> list[int]:
    for stride in range(1, timesteps):
        if len(range(0, timesteps, stride)) == count:
            return list(range(0, timesteps, stride))
    raise UserError(f"no integer stride keeps exactly {count} of {timesteps} timesteps; use a plain count")


def _count(text: str, spec: str) -> int:
    if not text.strip().isdecimal():
        raise UserError(f"cannot read the steps {spec!r}; give a count, a list such as '10,20,30', or 'ddim50'")
    return int(text)


def _only_uniform(spacing: str, spec: int | str | Sequence[int]) -> None:
    if spacing != "uniform":
        raise UserError(f"quadratic spacing takes one count, not {spec!r}")


def _float64(values: np.ndarray) -> Tensor:
    return torch.from_numpy(np.asarray(values, dtype=np.float64))
