"""With a perfect network every sampler must reach the data's distribution, at the order its theory gives.

In one dimension the probability-flow ODE keeps every point's quantile, so that its exact solution is
F_end^-1(F_start(x)).
"""

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from rediffuse.diffusion.analytic import GaussianMixture
from rediffuse.diffusion.denoiser import Denoiser
from rediffuse.diffusion.process import DiffusionProcess
from rediffuse.diffusion.randomness import SampleNoise
from rediffuse.diffusion.schedules import respaced_timesteps
from rediffuse.samplers.adaptive import solve_adaptive
from rediffuse.samplers.ancestral import ancestral
from rediffuse.samplers.flow import flow_euler, flow_heun
from rediffuse.samplers.registry import SAMPLERS
from rediffuse.samplers.trajectory import Trajectory


def mixture_cdf(mixture: GaussianMixture, x: Tensor, a: float, s: float) -> Tensor:
    parts = zip(mixture.weights, mixture.means.flatten(), mixture.variances.flatten(), strict=True)
    return sum(w * torch.special.ndtr((x - a * m) / (a * a * v + s * s).sqrt()) for w, m, v in parts)


def transported(mixture: GaussianMixture, x: Tensor, start: tuple[float, float], end: tuple[float, float]) -> Tensor:
    """Where the exact ODE takes x from the marginal of (a, s) = start to that of end, by bisection on quantiles."""
    quantile = mixture_cdf(mixture, x, *start)
    low, high = torch.full_like(x, -6.0), torch.full_like(x, 6.0)
    for _ in range(70):
        middle = (low + high) / 2
        below = mixture_cdf(mixture, middle, *end) < quantile
        low, high = torch.where(below, middle, low), torch.where(below, high, middle)
    return (low + high) / 2


def quantiles_of_noise(count: int) -> Tensor:
    return torch.special.ndtri((torch.arange(count, dtype=torch.float64) + 0.5) / count).reshape(-1, 1, 1, 1)


def fitted_order(steps: list[int], errors: list[float]) -> float:
    return -float(np.polyfit(np.log(steps), np.log(errors), 1)[0])


def signal_and_noise(process: DiffusionProcess, t: int) -> tuple[float, float]:
    return float(process.alphas_bar[t]) ** 0.5, float(1 - process.alphas_bar[t]) ** 0.5


@pytest.mark.parametrize(
    ("name", "order", "tolerance"),
    [
        ("ddim", 1, 0.05),
        ("ode-euler", 1, 0.05),
        ("ode-heun", 2, 0.05),
        ("dpm-solver-pp", 2, 0.1),
        ("plms", 2, 0.15),
    ],
)
def test_each_ode_sampler_converges_at_its_order(name, order, tolerance, two_modes, exact_denoiser, given_noise):
    process = DiffusionProcess.create("cosine", 1000)
    # Below t = 900 the schedule's clip at 0.999 plays no part; 900 has many divisors.
    start = quantiles_of_noise(16)
    exact = transported(two_modes, start, signal_and_noise(process, 900), signal_and_noise(process, 0))
    steps, errors = [225, 450, 900], []
    for count in steps:
        grid = process.respace(range(0, 901, 900 // count))
        trajectory = Trajectory()
        SAMPLERS[name].run(exact_denoiser(two_modes, grid), given_noise(start), callback=trajectory)
        # At t = 0, before the jump to the estimate of x0 that all samplers end with.
        errors.append(float((trajectory.x[-1] - exact).abs().mean()))
    assert fitted_order(steps, errors) == pytest.approx(order, abs=tolerance)
    assert errors[-1] < 5e-4


@pytest.mark.parametrize(("run", "order"), [(flow_euler, 1), (flow_heun, 2)])
def test_each_flow_sampler_converges_at_its_order(run, order, two_modes, given_noise):
    def field(x: Tensor, t: float) -> Tensor:
        x0, _ = two_modes.posterior(x, 1 - t, t)
        # (eps - x0) given x_t; at t = 0 the expected noise is 0.
        return (x - (1 - t) * x0) / t - x0 if t > 0 else -x0

    start = quantiles_of_noise(16)
    exact = transported(two_modes, start, (0.0, 1.0), (1.0, 0.0))
    steps = [100, 200, 400]
    errors = [float((run(field, given_noise(start), steps=n) - exact).abs().mean()) for n in steps]
    assert fitted_order(steps, errors) == pytest.approx(order, abs=0.1)


@pytest.mark.parametrize(
    ("name", "options", "variance"),
    [
        ("ancestral", {}, "fixed-small"),
        ("ancestral", {}, "fixed-large"),
        ("ddim", {"eta": 0.5}, "fixed-small"),
        ("ddim", {"eta": 1.0}, "fixed-small"),
        ("reverse-sde", {}, "fixed-small"),
    ],
)
def test_each_stochastic_sampler_reaches_the_variance_at_weak_order_one(
    name, options, variance, exact_denoiser, unit_noises
):
    # For Gaussian data every step is linear, so that the variance of the samples is known without drawing any.
    gaussian = GaussianMixture(torch.full((1, 1, 1, 1), 0.2), torch.full((1, 1, 1, 1), 0.09))
    process = DiffusionProcess.create("cosine", 1000)
    a, s = signal_and_noise(process, 0)
    gain = a * 0.09 / (a * a * 0.09 + s * s)
    target = gain**2 * (a * a * 0.09 + s * s)
    steps, errors = [100, 180, 300, 450], []
    for count in steps:
        grid = process.respace(range(0, 901, 900 // count))
        x = SAMPLERS[name].run(exact_denoiser(gaussian, grid, variance=variance), unit_noises(count + 1), **options)
        coefficients = (x - x[0]).flatten()
        # The start has the variance of the marginal at t = 900, not quite 1.
        a, s = signal_and_noise(process, 900)
        reached = coefficients.square()
        reached[1] *= a * a * 0.09 + s * s
        errors.append(abs(float(reached.sum()) - target))
    assert fitted_order(steps, errors) == pytest.approx(1, abs=0.15)
    assert errors[-1] < 0.03 * target


@pytest.mark.parametrize("steps", [3, 10, 100])
def test_ancestral_sampling_of_gaussian_data_is_exact_at_any_step_count_with_the_exact_variance(steps, unit_noises):
    gaussian = GaussianMixture(torch.full((1, 1, 1, 1), 0.2), torch.full((1, 1, 1, 1), 0.09))
    process = DiffusionProcess.create("linear", 1000).respace(respaced_timesteps(1000, steps))
    denoiser = Denoiser(gaussian.model(process, learned_variance=True), process, variance="learned", clip=False)
    x = ancestral(denoiser, unit_noises(steps + 1))
    a, s = signal_and_noise(process, 0)
    target = (a * 0.09) ** 2 / (a * a * 0.09 + s * s)
    # The start is N(0, 1) where the process at t = T - 1 still has a trace of the data, forgotten on the way.
    assert float((x - x[0]).square().sum()) == pytest.approx(target, rel=1e-4)


def largest_gap(samples: Tensor, mixture: GaussianMixture) -> float:
    """Kolmogorov's distance between the samples and the data's distribution."""
    x = samples.flatten().sort().values
    cdf = mixture_cdf(mixture, x, 1.0, 0.0)
    rank = torch.arange(len(x), dtype=torch.float64) / len(x)
    return float(torch.maximum((cdf - rank).abs(), (cdf - rank - 1 / len(x)).abs()).max())


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("ancestral", {}),
        ("ddim", {"eta": 0.0}),
        ("ddim", {"eta": 1.0}),
        ("dpm-solver-pp", {}),
        ("plms", {}),
        ("ode-euler", {}),
        ("ode-heun", {}),
        ("ode-adaptive", {}),
        ("reverse-sde", {}),
    ],
)
def test_each_sampler_reaches_the_distribution_of_the_data(name, options, two_modes, exact_denoiser):
    process = DiffusionProcess.create("linear", 1000)
    grid = process if name == "ode-adaptive" else process.respace(range(0, 1000, 3))
    noise = SampleNoise(0, torch.arange(4000), (1, 1, 1), dtype=torch.float64)
    samples = SAMPLERS[name].run(exact_denoiser(two_modes, grid), noise, **options)
    # 1.63 / sqrt(n) is exceeded by one exact sample of size n in a hundred; the seed is fixed.
    assert largest_gap(samples, two_modes) < 1.63 / math.sqrt(4000) + 0.01


def test_the_adaptive_solver_keeps_its_tolerance_and_pays_for_it(two_modes, exact_denoiser, given_noise):
    process = DiffusionProcess.create("linear", 1000)
    start = quantiles_of_noise(32)
    at_zero = transported(two_modes, start, signal_and_noise(process, 999), signal_and_noise(process, 0))
    a, s = signal_and_noise(process, 0)
    exact = two_modes.posterior(at_zero, a, s)[0]
    costs = []
    for tolerance in (1e-2, 1e-3, 1e-4, 1e-5):
        for fractional in (True, False):
            solution = solve_adaptive(
                exact_denoiser(two_modes, process), given_noise(start), tolerance=tolerance, fractional=fractional
            )
            error = (solution.x0 - exact).square().mean().sqrt()
            # The tolerance is of a step; between the two modes the error then grows along the path.
            assert error < 10 * tolerance
            if fractional:
                costs.append(float(solution.evaluations.double().mean()))
    assert costs == sorted(costs)
    assert costs[-1] < 200


def test_the_adaptive_solver_counts_what_it_evaluates(two_modes, exact_denoiser, given_noise):
    calls = []
    denoiser = exact_denoiser(two_modes, DiffusionProcess.create("linear", 1000))
    model = denoiser.model
    object.__setattr__(denoiser, "model", lambda x, t: (calls.append(t), model(x, t))[1])
    solution = solve_adaptive(denoiser, given_noise(quantiles_of_noise(5)))
    assert solution.forwards == len(calls)
    # Three new stages a step, the first stage once, the final estimate once.
    assert torch.equal(solution.evaluations, 3 * (solution.accepted + solution.rejected) + 2)
    assert solution.forwards >= int(solution.evaluations.max())


def test_the_adaptive_solver_ends_when_the_network_returns_nan_for_one_image(two_modes, exact_denoiser, given_noise):
    process = DiffusionProcess.create("linear", 1000)
    denoiser = exact_denoiser(two_modes, process)
    broken = Denoiser(lambda x, t: torch.where(x[:1] == x, torch.nan, denoiser.model(x, t)), process, clip=False)
    x0 = solve_adaptive(broken, given_noise(quantiles_of_noise(3)), fractional=False).x0
    assert x0.isnan().flatten().tolist() == [True, False, False]


def test_the_adaptive_solver_asks_an_integer_network_at_its_own_steps_only(two_modes, exact_denoiser, given_noise):
    asked: list[Tensor] = []
    denoiser = exact_denoiser(two_modes, DiffusionProcess.create("linear", 1000).respace(range(0, 1000, 9)))
    model = denoiser.model
    object.__setattr__(denoiser, "model", lambda x, t: (asked.append(t), model(x, t))[1])
    solve_adaptive(denoiser, given_noise(quantiles_of_noise(5)), fractional=False)
    times = torch.cat(asked)
    assert times.dtype == torch.int64
    assert set(times.tolist()) <= set(range(0, 1000, 9))
