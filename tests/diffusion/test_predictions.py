import itertools

import pytest
import torch
from diffusers import DDPMScheduler

from rediffuse.diffusion import DiffusionProcess, convert, velocity
from rediffuse.diffusion.predictions import QUANTITIES, from_network
from rediffuse.errors import UserError

F64 = torch.float64
TIMES = torch.tensor([0, 1, 10, 500, 990, 999])


def example(process, dtype=F64):
    """x_t and every quantity, from their definitions."""
    g = torch.Generator().manual_seed(0)
    x0 = torch.rand(6, 3, 4, 4, generator=g, dtype=F64) * 2 - 1
    eps = torch.randn(6, 3, 4, 4, generator=g, dtype=F64)
    ab = process.alphas_bar[TIMES].reshape(-1, 1, 1, 1)
    ab_prev = process.alphas_bar_prev[TIMES].reshape(-1, 1, 1, 1)
    beta = process.betas[TIMES].reshape(-1, 1, 1, 1)
    xt = ab.sqrt() * x0 + (1 - ab).sqrt() * eps
    mu = beta * ab_prev.sqrt() / (1 - ab) * x0 + (1 - ab_prev) * (1 - beta).sqrt() / (1 - ab) * xt
    values = {
        "x0": x0,
        "eps": eps,
        "v": ab.sqrt() * eps - (1 - ab).sqrt() * x0,
        "mu": mu,
        "score": -eps / (1 - ab).sqrt(),
    }
    return xt.to(dtype), {name: value.to(dtype) for name, value in values.items()}


@pytest.mark.parametrize(("source", "target"), itertools.product(QUANTITIES, QUANTITIES))
def test_every_quantity_converts_to_every_other(linear, source, target):
    xt, values = example(linear)
    result = convert(linear, values[source], xt, TIMES, source, target)
    # The worst conditions here: x0 from eps divides by √ᾱ = 0.0064, x0 from mu by 1.3e-4.
    torch.testing.assert_close(result, values[target], rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize(("source", "target"), itertools.product(QUANTITIES, QUANTITIES))
def test_there_and_back_is_the_identity(cosine, source, target):
    times = torch.tensor([0, 1, 10, 500, 700, 900])
    g = torch.Generator().manual_seed(1)
    value, xt = (torch.randn(6, 2, 3, 3, generator=g, dtype=F64) for _ in range(2))
    there = convert(cosine, value, xt, times, source, target)
    torch.testing.assert_close(convert(cosine, there, xt, times, target, source), value, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(
    ("source", "target"), [("v", "x0"), ("v", "eps"), ("eps", "score"), ("score", "eps"), ("x0", "mu"), ("x0", "v")]
)
def test_well_conditioned_conversions_hold_in_float32(linear, source, target):
    xt, values = example(linear, torch.float32)
    _, exact = example(linear)
    result = convert(linear, values[source], xt, TIMES, source, target)
    assert result.dtype == torch.float32
    # Where 1 − ᾱ is 1e-4, x0 → eps → v and eps → score are conditioned by 1/√(1−ᾱ) = 100.
    torch.testing.assert_close(result.double(), exact[target], rtol=1e-5, atol=1e-5)


def test_x0_from_noise_loses_only_what_dividing_by_the_signal_loses(linear):
    xt, values = example(linear, torch.float32)
    result = convert(linear, values["eps"], xt, TIMES, "eps", "x0").double()
    signal = linear.alphas_bar[TIMES].sqrt().reshape(-1, 1, 1, 1)
    assert float(((result - values["x0"].double()).abs() * signal).max()) < 1e-6


def test_velocity_agrees_with_diffusers(linear):
    g = torch.Generator().manual_seed(0)
    x0, noise = (torch.randn(6, 3, 4, 4, generator=g) for _ in range(2))
    theirs = DDPMScheduler(1000).get_velocity(x0, noise, TIMES)
    torch.testing.assert_close(velocity(linear, x0, noise, TIMES), theirs, rtol=1e-5, atol=1e-5)


def test_the_mean_from_noise_is_the_formula_of_algorithm_2(linear):
    # μ = (x_t − β/√(1−ᾱ) ε)/√α: DDPM eq. 11, with the factor 1/√α.
    xt, values = example(linear)
    alpha, beta, ab = (table[TIMES].reshape(-1, 1, 1, 1) for table in (linear.alphas, linear.betas, linear.alphas_bar))
    expected = (xt - beta / (1 - ab).sqrt() * values["eps"]) / alpha.sqrt()
    torch.testing.assert_close(convert(linear, values["eps"], xt, TIMES, "eps", "mu"), expected, rtol=1e-11, atol=1e-11)


def test_a_network_that_predicts_the_mean_is_read_with_the_steps_it_was_trained_on(linear):
    xt, values = example(linear)
    short = linear.respace([0, 1, 10, 500, 990, 999])
    x0, eps = from_network(short, values["mu"], xt, torch.arange(6), "mu")
    torch.testing.assert_close(x0, values["x0"], rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(eps, values["eps"], rtol=1e-9, atol=1e-9)
    x0_int, _ = from_network(short, values["mu"][3:4], xt[3:4], 3, "mu")
    torch.testing.assert_close(x0_int, values["x0"][3:4], rtol=1e-9, atol=1e-9)


def test_a_network_that_predicts_the_mean_is_not_asked_between_its_steps(linear):
    between = DiffusionProcess(linear.betas[:2], torch.tensor([0.5, 1.5], dtype=F64), linear)
    with pytest.raises(UserError, match="predicts mu cannot be asked between the steps"):
        from_network(between, torch.zeros(1, 1), torch.zeros(1, 1), 1, "mu")


@pytest.mark.parametrize(("source", "target"), [("noise", "x0"), ("x0", "noise")])
def test_an_unknown_quantity_is_refused(linear, source, target):
    x = torch.zeros(1, 1)
    with pytest.raises(UserError, match="unknown quantity 'noise'; choose one of eps, x0, mu, v, score"):
        convert(linear, x, x, 0, source, target)


def test_a_score_is_no_networks_prediction(linear):
    x = torch.zeros(1, 1)
    with pytest.raises(UserError, match="unknown prediction 'score'"):
        from_network(linear, x, x, 0, "score")


def test_conversions_work_on_a_respaced_process():
    process = DiffusionProcess.create("cosine", 400).respace(range(0, 400, 7))
    g = torch.Generator().manual_seed(1)
    x0, xt = (torch.randn(2, 5, generator=g, dtype=F64) for _ in range(2))
    mu = convert(process, x0, xt, 3, "x0", "mu")
    torch.testing.assert_close(mu, process.q_posterior(x0, xt, 3).mean, rtol=1e-12, atol=0)
