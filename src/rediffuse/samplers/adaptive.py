"""The probability-flow ODE with a tolerance: embedded Runge-Kutta pairs with a step size for every image.

Song et al. 2021 (arXiv:2011.13456, section 4.3) give the ODE to a black-box solver with a tolerance. Here the error of
each image steers that image's own steps, so that a sample does not depend on its batch. The equation is dx / d phi = v
(`continuous.py`).

With `fractional=True` the network is asked at fractional t: Bogacki & Shampine's pair of orders 3(2) (1989) moves on a
grid of phi so fine that its spacing does not matter. With `fractional=False` it is asked at its own integer steps only:
the pair of orders 2(1) of Heun and Euler, whose stages lie at the ends of a step, jumps from one step of the process to
another.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from rediffuse.errors import UserError
from rediffuse.samplers.continuous import angles, refined, refuse_mu
from rediffuse.samplers.interfaces import Callback, DenoiserLike, NoiseSource, over

CELLS = 8192
"""Cells of the fractional grid: at most half a milliradian each, far below the steps that a useful tolerance takes."""
SAFETY, SHRINK_MOST, GROW_MOST = 0.9, 0.2, 5.0


@dataclass(frozen=True)
class Pair:
    """An embedded pair: stage i lies at `nodes[i]` of the step, `weights` make the step, `errors` the estimate of its
    error.

    `order` is that of the error's leading term; a step is a multiple of `multiple` cells, so that every node falls on
    the grid. If `reuses_last`, the last stage is evaluated at the step's result and serves as the next step's first.
    """

    nodes: tuple[float, ...]
    stages: tuple[tuple[float, ...], ...]
    weights: tuple[float, ...]
    errors: tuple[float, ...]
    order: int
    multiple: int
    reuses_last: bool


HEUN_EULER = Pair((0, 1), ((), (1,)), (1 / 2, 1 / 2), (-1 / 2, 1 / 2), order=2, multiple=1, reuses_last=False)
BOGACKI_SHAMPINE = Pair(
    (0, 1 / 2, 3 / 4, 1),
    ((), (1 / 2,), (0, 3 / 4), (2 / 9, 1 / 3, 4 / 9)),
    (2 / 9, 1 / 3, 4 / 9, 0),
    (2 / 9 - 7 / 24, 1 / 3 - 1 / 4, 4 / 9 - 1 / 3, -1 / 8),
    order=3,
    multiple=4,
    reuses_last=True,
)


@dataclass(frozen=True)
class AdaptiveSolution:
    """x0 [B, C, H, W]; for each image, int64 [B]: network evaluations, accepted steps, rejected steps.

    `forwards`: evaluations of the network on the whole batch, which is at least the largest of `evaluations`.
    """

    x0: Tensor
    evaluations: Tensor
    accepted: Tensor
    rejected: Tensor
    forwards: int


@torch.no_grad()
def solve_adaptive(
    denoiser: DenoiserLike,
    noise: NoiseSource,
    *,
    tolerance: float = 1e-3,
    fractional: bool = True,
    callback: Callback | None = None,
) -> AdaptiveSolution:
    """Integrate from the noisiest level of the denoiser's process to its cleanest, then return the estimate of x0
    there.

    A step is accepted when the root mean square over an image of error / (tolerance (1 + |x|)) is at most 1. Give the
    whole process, not a respaced one: the solver chooses its steps. `callback(k, t, x, denoised)` runs before iteration
    k, with t int64 [B] the grid position of each image, and costs one more evaluation an iteration. Images that have
    arrived wait for the others.
    Raises `UserError` for a tolerance <= 0, and for fractional times with a network that predicts mu.
    """
    if not tolerance > 0:
        raise UserError(f"tolerance = {tolerance} is not possible: it must be positive")
    if fractional:
        refuse_mu(denoiser)
        denoiser = over(denoiser, refined(denoiser.process, CELLS))
    return _integrate(denoiser, noise, BOGACKI_SHAMPINE if fractional else HEUN_EULER, tolerance, callback)


def adaptive(
    denoiser: DenoiserLike,
    noise: NoiseSource,
    *,
    tolerance: float = 1e-3,
    fractional: bool = True,
    callback: Callback | None = None,
) -> Tensor:
    """`solve_adaptive` as a sampler among others: x0 alone, [B, C, H, W]."""
    return solve_adaptive(denoiser, noise, tolerance=tolerance, fractional=fractional, callback=callback).x0


def _integrate(
    denoiser: DenoiserLike, noise: NoiseSource, pair: Pair, tolerance: float, callback: Callback | None
) -> AdaptiveSolution:
    x = noise.initial()
    grid = angles(denoiser.process)
    top = len(grid) - 1
    position = torch.full((len(x),), top)
    # A first guess of a hundredth of the way is small enough for the controller to find its pace from.
    stride = torch.full((len(x),), float(max(top // 100, 1)))
    evaluations, accepted, rejected = (torch.zeros(len(x), dtype=torch.int64) for _ in range(3))
    first: Tensor | None = None
    forwards = k = 0

    def velocity(x: Tensor, at: Tensor) -> Tensor:
        nonlocal forwards
        forwards += 1
        denoised = denoiser(x, at.to(x.device))
        return _column(grid[at].cos(), x) * denoised.eps - _column(grid[at].sin(), x) * denoised.x0

    while bool((position > 0).any()):
        active = position > 0
        if callback is not None:
            callback(k, position.clone(), x, denoiser(x, position.to(x.device)))
        cells = _whole_cells(stride, position, pair.multiple)
        width = _column(grid[position - cells] - grid[position], x)
        slopes = [velocity(x, position) if first is None else first]
        for node, row in zip(pair.nodes[1:], pair.stages[1:], strict=True):
            at = position - (node * cells).round().long()
            slopes.append(velocity(x + width * _combine(row, slopes), at))
        moved = x + width * _combine(pair.weights, slopes)
        ratio = _error_ratio(width * _combine(pair.errors, slopes), x, moved, tolerance).cpu()
        # The shortest step is accepted whatever its error: there is nothing finer to fall back on.
        passed = active & ((ratio <= 1) | (cells <= pair.multiple))
        evaluations += active * (len(pair.nodes) - (first is not None))
        accepted += passed
        rejected += active & ~passed
        chosen = passed.to(x.device).reshape(-1, *(1,) * (x.ndim - 1))
        x = torch.where(chosen, moved, x)
        position = torch.where(passed, position - cells, position)
        stride = cells * (SAFETY * ratio.clamp(min=1e-10) ** (-1 / pair.order)).clamp(SHRINK_MOST, GROW_MOST)
        if pair.reuses_last:
            first = torch.where(chosen, slopes[-1], slopes[0])
        k += 1
    final = denoiser(x, position.to(x.device))
    return AdaptiveSolution(final.x0, evaluations + 1, accepted, rejected, forwards + 1)


def _whole_cells(stride: Tensor, position: Tensor, multiple: int) -> Tensor:
    """Steps as whole multiples of cells that do not overshoot position 0; int64 [B]."""
    whole = (stride / multiple).floor().clamp(min=1).long() * multiple
    return torch.minimum(whole, position)


def _combine(weights: tuple[float, ...], slopes: list[Tensor]) -> Tensor:
    total = weights[0] * slopes[0]
    for weight, slope in zip(weights[1:], slopes[1:], strict=False):
        if weight:
            total = total + weight * slope
    return total


def _error_ratio(error: Tensor, x: Tensor, moved: Tensor, tolerance: float) -> Tensor:
    allowed = tolerance * (1 + torch.maximum(x.abs(), moved.abs()))
    ratio = (error / allowed).double().square().flatten(1).mean(1).sqrt()
    # A network that returns NaN must not keep the solver for ever: its steps shrink to the shortest and pass.
    return ratio.nan_to_num(nan=torch.inf, posinf=torch.inf)


def _column(values: Tensor, x: Tensor) -> Tensor:
    return values.to(device=x.device, dtype=x.dtype).reshape(-1, *(1,) * (x.ndim - 1))
