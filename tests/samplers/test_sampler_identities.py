"""What must hold exactly between samplers and step functions, and the mistakes that break it."""

import math

import pytest
import torch
from torch import Tensor

from rediffuse.diffusion.denoiser import Denoiser
from rediffuse.diffusion.process import DiffusionProcess
from rediffuse.diffusion.randomness import SampleNoise
from rediffuse.diffusion.schedules import make_betas, respaced_timesteps
from rediffuse.errors import UserError
from rediffuse.samplers.ancestral import ancestral, ancestral_step, ddpm_step
from rediffuse.samplers.ddim import ddim, ddim_sigma, ddim_step
from rediffuse.samplers.dpm_solver_pp import dpm_solver_pp, dpm_solver_pp_1s_step, dpm_solver_pp_2m_step
from rediffuse.samplers.flow import flow_heun_step, flow_step
from rediffuse.samplers.levels import alpha_bar_levels
from rediffuse.samplers.plms import multistep_eps
from rediffuse.samplers.probability_flow import euler, heun_step, probability_flow_step
from rediffuse.samplers.reverse_sde import euler_maruyama_step

SHAPE = (2, 3, 4)


def network(x: Tensor, t: Tensor) -> Tensor:
    """Nothing like a perfect network: its x0 leaves [-1, 1] often, so that clipping matters."""
    return torch.sin(3 * x + t.reshape(-1, 1, 1, 1).to(x.dtype) / 300) + 0.3 * x.flip(-1)


def tensors(count: int, dtype: torch.dtype = torch.float64) -> list[Tensor]:
    draw = torch.Generator().manual_seed(1)
    return [torch.randn(5, *SHAPE, generator=draw, dtype=torch.float64).to(dtype) for _ in range(count)]


def noise_of(count: int = 5, dtype: torch.dtype = torch.float64) -> SampleNoise:
    return SampleNoise(3, torch.arange(count), SHAPE, dtype=dtype)


@pytest.fixture
def process() -> DiffusionProcess:
    return DiffusionProcess.create("linear", 1000).respace(respaced_timesteps(1000, 25))


@pytest.mark.parametrize("clip", [True, False])
def test_ddim_with_eta_one_is_ancestral_sampling_with_the_small_variance(process, clip):
    denoiser = Denoiser(network, process, variance="fixed-small", clip=clip)
    a, b = ancestral(denoiser, noise_of()), ddim(denoiser, noise_of(), eta=1.0)
    assert float((a - b).abs().max() / b.abs().max()) < 1e-10


def test_ddim_without_noise_is_euler_in_sigma_and_dpm_solver_of_order_one(process):
    denoiser = Denoiser(network, process)
    x = ddim(denoiser, noise_of())
    torch.testing.assert_close(euler(denoiser, noise_of()), x, rtol=0, atol=1e-10)
    torch.testing.assert_close(dpm_solver_pp(denoiser, noise_of(), order=1), x, rtol=0, atol=1e-10)


def test_keeping_the_networks_eps_after_clipping_x0_gives_other_samples(process):
    class Stale(Denoiser):
        def interpret(self, output, x, t):
            return super().interpret(output, x, t)._replace(eps=output)

    right, wrong = Denoiser(network, process), Stale(network, process)
    x, y = ddim(right, noise_of(), eta=1.0), ddim(wrong, noise_of(), eta=1.0)
    assert float((x - y).abs().max()) > 0.1
    small = Denoiser(network, process, variance="fixed-small")
    assert float((ancestral(small, noise_of()) - x).abs().max()) < 1e-10


def test_ancestral_sampling_with_its_noise_switched_off_is_not_ddim(process):
    silent = SampleNoise(3, torch.arange(5), SHAPE, dtype=torch.float64, step_temperature=0.0)
    denoiser = Denoiser(network, process, variance="fixed-small")
    assert float((ancestral(denoiser, silent) - ddim(denoiser, noise_of())).abs().max()) > 0.1
    # The direction keeps its length in DDIM; in the silenced step it is what sigma(eta = 1) leaves of it.
    x0, eps = tensors(2)
    expected = ddim_step(x0, eps, 0.5, 0.8) - 0.8**0.5 * x0
    kept = math.sqrt(1 - 0.8 - ddim_sigma(0.5, 0.8, 1.0) ** 2)
    silenced = ddim_step(x0, eps, 0.5, 0.8, eta=1.0, noise=torch.zeros_like(x0)) - 0.8**0.5 * x0
    torch.testing.assert_close(silenced, kept * eps, rtol=0, atol=1e-12)
    torch.testing.assert_close(expected, 0.2**0.5 * eps, rtol=0, atol=1e-12)


def test_the_step_from_t_zero_reaches_alpha_bar_one_and_returns_the_estimate(process):
    assert alpha_bar_levels(process)[0] == 1.0
    seen = {}
    x = ddim(Denoiser(network, process), noise_of(), callback=lambda k, t, x, d: seen.update({t: d.x0}))
    # With `t_prev > 0` in place of `t_prev >= 0` the step to t = 0 would jump to alpha_bar = 1 as well.
    assert sorted(seen) == list(range(25))
    torch.testing.assert_close(x, seen[0], rtol=0, atol=1e-12)


def test_levels_do_not_wrap_round_at_t_zero_and_are_shifted_by_one(process):
    levels = torch.tensor(alpha_bar_levels(process), dtype=torch.float64)
    torch.testing.assert_close(levels[:-1], process.alphas_bar_prev, rtol=0, atol=0)
    # cat([1], abar[1:]) in place of cat([1], abar[:-1]) leaves no gap between t - 1 and t: "beta-tilde" becomes beta.
    wrong = torch.cat([torch.ones(1), process.alphas_bar[1:]])
    mistaken = process.betas * (1 - wrong) / (1 - process.alphas_bar)
    torch.testing.assert_close(mistaken[1:], process.betas[1:], rtol=1e-12, atol=0)
    assert float(process.posterior_variance[1] / process.betas[1]) < 0.2


def test_a_schedule_rebuilt_with_fewer_steps_is_not_respacing():
    whole = DiffusionProcess.create("linear", 1000)
    respaced = whole.respace(respaced_timesteps(1000, 50))
    rebuilt = DiffusionProcess(make_betas("linear", 50, beta_start=1e-4, beta_end=0.02))
    assert float(respaced.alphas_bar[-1]) == pytest.approx(float(whole.alphas_bar[-1]), rel=1e-9)
    # Sampling would start from pure noise where the process still holds 60 % of the image's energy.
    assert float(rebuilt.alphas_bar[-1]) == pytest.approx(0.60, abs=0.01)


def test_the_ddpm_step_is_the_posterior_of_the_process_with_either_fixed_variance(process):
    xt, x0, z = tensors(3)
    for t in (1, 7, 24):
        level, previous = float(process.alphas_bar[t]), float(process.alphas_bar_prev[t])
        mean = process.q_posterior_mean(x0, xt, t)
        for variance, table in (("fixed-large", process.betas), ("fixed-small", process.posterior_variance)):
            expected = mean + float(table[t]) ** 0.5 * z
            torch.testing.assert_close(
                ddpm_step(xt, x0, level, previous, z, variance=variance), expected, rtol=0, atol=1e-12
            )
            torch.testing.assert_close(ancestral_step(mean, float(table[t].log()), z), expected, rtol=0, atol=1e-12)


def test_the_last_ddpm_step_adds_no_noise():
    xt, x0, z = tensors(3)
    torch.testing.assert_close(ddpm_step(xt, x0, 0.99, 1.0, z), x0, rtol=0, atol=1e-12)


def test_ancestral_sampling_uses_the_variance_of_the_denoiser(process):
    large = ancestral(Denoiser(network, process, variance="fixed-large"), noise_of())
    small = ancestral(Denoiser(network, process, variance="fixed-small"), noise_of())
    assert float((large - small).abs().max()) > 0.01


def test_the_second_order_step_is_exact_where_x0_is_linear_in_lambda():
    # x0(lambda) = c + d lambda: the multistep extrapolation to the middle of the step replaces its weighted mean,
    # which for a short step leaves an error of third order in h.
    c, d = tensors(2)
    errors = []
    for h in (0.2, 0.1):
        lambdas = torch.tensor([-0.5 - h, -0.5, -0.5 + h], dtype=torch.float64)
        last, level, previous = torch.sigmoid(2 * lambdas).tolist()
        xt = torch.ones_like(c)
        step = dpm_solver_pp_2m_step(xt, c - 0.5 * d, c + (-0.5 - h) * d, level, previous, last)
        # sigma_prev * integral of exp(lambda) x0(lambda), in closed form: the antiderivative is exp(l) (c + d (l - 1)).
        sigma, sigma_prev = (1 - level) ** 0.5, (1 - previous) ** 0.5
        upper, lower = (math.exp(v) * (c + d * (v - 1)) for v in (-0.5 + h, -0.5))
        errors.append(float((step - sigma_prev / sigma * xt - sigma_prev * (upper - lower)).abs().max()))
    assert math.log2(errors[0] / errors[1]) == pytest.approx(3, abs=0.2)


def test_the_transfer_of_pndm_is_the_eulers_step():
    xt, eps = tensors(2)
    level, previous = 0.3, 0.6
    # PNDM eq. 11 as it is printed.
    denominator = level**0.5 * (((1 - previous) * level) ** 0.5 + ((1 - level) * previous) ** 0.5)
    expected = (previous / level) ** 0.5 * xt - (previous - level) / denominator * eps
    torch.testing.assert_close(probability_flow_step(xt, eps, level, previous), expected, rtol=0, atol=1e-12)


def test_the_multistep_weights_are_exact_for_polynomials_up_to_their_order():
    for count in (1, 2, 3, 4):
        for power in range(count):
            history = [torch.tensor(float((-i) ** power), dtype=torch.float64) for i in range(count)]
            # The mean over the coming step [0, 1] of x^power, from its values at 0, -1, -2, ...
            assert float(multistep_eps(history)) == pytest.approx(1 / (power + 1), abs=1e-12)


STEPS = {
    "ddpm": lambda a, b, c, hi, lo, last: ddpm_step(a, b, lo, hi, c),
    "ddpm, small": lambda a, b, c, hi, lo, last: ddpm_step(a, b, lo, hi, c, variance="fixed-small"),
    "ancestral": lambda a, b, c, hi, lo, last: ancestral_step(a, lo, c),
    "ddim": lambda a, b, c, hi, lo, last: ddim_step(a, b, lo, hi, eta=0.7, noise=c),
    "dpm-solver 1s": lambda a, b, c, hi, lo, last: dpm_solver_pp_1s_step(a, b, lo, hi),
    "dpm-solver 2m": lambda a, b, c, hi, lo, last: dpm_solver_pp_2m_step(a, b, c, lo, hi, last),
    "probability flow": lambda a, b, c, hi, lo, last: probability_flow_step(a, b, lo, hi),
    "heun": lambda a, b, c, hi, lo, last: heun_step(a, b, c, lo, hi),
    "euler-maruyama": lambda a, b, c, hi, lo, last: euler_maruyama_step(a, b, lo, hi, c),
    "flow": lambda a, b, c, hi, lo, last: flow_step(a, b, hi, lo),
    "flow heun": lambda a, b, c, hi, lo, last: flow_heun_step(a, b, c, hi, lo),
}


@pytest.mark.parametrize("name", STEPS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_each_step_keeps_the_callers_dtype(name, dtype):
    assert STEPS[name](*tensors(3, dtype), 0.9, 0.5, 0.2).dtype == dtype
    levels = [torch.full((5,), value, dtype=torch.float64) for value in (0.9, 0.5, 0.2)]
    assert STEPS[name](*tensors(3, dtype), *levels).dtype == dtype


@pytest.mark.parametrize("name", STEPS)
def test_each_step_agrees_in_float32_with_float64(name):
    low, high = STEPS[name](*tensors(3, torch.float32), 0.9, 0.5, 0.2), STEPS[name](*tensors(3), 0.9, 0.5, 0.2)
    torch.testing.assert_close(low.double(), high, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("name", STEPS)
@pytest.mark.parametrize("cleaner", [0.9, 1.0])
def test_each_step_takes_a_level_for_each_image(name, cleaner):
    levels = [torch.tensor([v] * 4 + [w], dtype=torch.float64) for v, w in ((cleaner, 0.7), (0.5, 0.4), (0.2, 0.1))]
    together = STEPS[name](*tensors(3), *levels)
    first = STEPS[name](*[x[:4] for x in tensors(3)], cleaner, 0.5, 0.2)
    last = STEPS[name](*[x[4:] for x in tensors(3)], 0.7, 0.4, 0.1)
    torch.testing.assert_close(together, torch.cat([first, last]), rtol=0, atol=1e-12)


def test_the_first_order_step_to_alpha_bar_one_is_the_estimate_and_so_is_the_second():
    xt, x0, last = tensors(3)
    torch.testing.assert_close(dpm_solver_pp_1s_step(xt, x0, 0.9, 1.0), x0, rtol=0, atol=1e-12)
    torch.testing.assert_close(dpm_solver_pp_2m_step(xt, x0, last, 0.9, 1.0, 0.5), x0, rtol=0, atol=1e-12)


@pytest.mark.parametrize("eta", [-0.1, 1.01, math.nan])
def test_eta_outside_its_range_is_refused(process, eta):
    with pytest.raises(UserError, match="eta"):
        ddim(Denoiser(network, process), noise_of(), eta=eta)
    x0, eps = tensors(2)
    with pytest.raises(UserError, match="eta"):
        ddim_step(x0, eps, 0.5, 0.9, eta=eta)


DISORDERED = {name: step for name, step in STEPS.items() if name.startswith(("ddpm", "ddim", "dpm", "euler"))}


@pytest.mark.parametrize("name", DISORDERED)
@pytest.mark.parametrize(("cleaner", "level"), [(0.2, 0.9), (0.5, 0.0), (1.2, 0.5), (0.5, math.nan), (1.0, 1.0)])
def test_levels_in_the_wrong_order_or_out_of_range_are_refused(name, cleaner, level):
    with pytest.raises(UserError, match="alpha_bar"):
        DISORDERED[name](*tensors(3), cleaner, level, 0.1)
    by_image = [torch.tensor([good] * 4 + [bad], dtype=torch.float64) for good, bad in ((0.9, cleaner), (0.5, level))]
    with pytest.raises(UserError, match="alpha_bar"):
        DISORDERED[name](*tensors(3), *by_image, torch.full((5,), 0.1, dtype=torch.float64))


def test_a_step_from_a_level_to_itself_changes_nothing():
    # DDIM's published quadratic spacing repeats small times: dropping the repetition gives the same samples.
    xt, x0, z = tensors(3)
    eps = (xt - 0.5**0.5 * x0) / 0.5**0.5
    for eta in (0.0, 1.0):
        torch.testing.assert_close(ddim_step(x0, eps, 0.5, 0.5, eta=eta, noise=z), xt, rtol=0, atol=1e-12)


@pytest.mark.parametrize(("level", "previous"), [(0.0, 0.5), (0.5, 0.0), (-0.1, 0.5), (0.5, 1.1), (math.nan, 0.5)])
def test_the_probability_flow_has_no_step_from_or_to_a_level_without_image(level, previous):
    xt, eps = tensors(2)
    with pytest.raises(UserError, match="above 0 and is at most 1"):
        probability_flow_step(xt, eps, level, previous)


def test_a_multistep_step_needs_an_earlier_level():
    with pytest.raises(UserError, match="alpha_bar_last"):
        dpm_solver_pp_2m_step(*tensors(3), 0.5, 0.9, 0.5)


def test_a_ddim_step_that_needs_noise_says_so():
    x0, eps = tensors(2)
    with pytest.raises(UserError, match="needs noise"):
        ddim_step(x0, eps, 0.5, 0.9, eta=0.5)


def test_an_unknown_variance_or_order_is_refused(process):
    xt, x0 = tensors(2)
    with pytest.raises(UserError, match="fixed-large"):
        ddpm_step(xt, x0, 0.5, 0.9, None, variance="huge")
    with pytest.raises(UserError, match="order"):
        dpm_solver_pp(Denoiser(network, process), noise_of(), order=3)
    with pytest.raises(UserError, match="one to four"):
        multistep_eps([])
