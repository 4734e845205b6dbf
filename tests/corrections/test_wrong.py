"""The mistakes as samplers: each is what its document writes, and what stands beside it is the published formula.

Written out in NumPy over a small network of numbers; T = 40 linear steps, of which 4 are kept.
"""

import re
from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from rediffuse.corrections import wrong
from rediffuse.corrections.registry import RIGHT, WRONG
from rediffuse.diffusion import Denoiser, DiffusionProcess, respaced_timesteps
from rediffuse.registry import load
from rediffuse.reporting.chapters.tried_mistakes import SECOND
from rediffuse.samplers.ddim import ddim_sigma

T, S, SHAPE = 40, 4, (3, 1, 2, 2)
BETAS = np.linspace(1e-4 * 25, 0.02 * 25, T)  # the linear schedule, scaled to T
KEPT = [int(t) for t in respaced_timesteps(T, S)]


class Noise:
    """x_T, and a draw for each step."""

    def __init__(self, silent=()):
        self.draws = torch.randn(S + 1, *SHAPE, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
        for k in silent:
            self.draws[k + 1] = 0

    def initial(self):
        return self.draws[0]

    def step(self, k):
        return self.draws[k + 1]


def network(x, t, y=None):
    return 0.8 * x + 0.05 * torch.sin(3 * x) + 0.01 * t.reshape(-1, 1, 1, 1)


def learned(x, t, y=None):
    return torch.cat([network(x, t), torch.tanh(x) + 0.2], dim=1)


def at(i, x, bars, times):
    """All that a formula may use at step i of a process with these ᾱ, whose network is told these times."""
    bar, prev = bars[i], bars[i - 1] if i else 1.0
    beta, alpha = 1 - bar / prev, bar / prev
    raw = network(torch.from_numpy(x), torch.full((len(x),), times[i])).numpy()
    x0 = np.clip((x - np.sqrt(1 - bar) * raw) / np.sqrt(bar), -1, 1)
    eps = (x - np.sqrt(bar) * x0) / np.sqrt(1 - bar)
    mean = np.sqrt(prev) * beta / (1 - bar) * x0 + np.sqrt(alpha) * (1 - prev) / (1 - bar) * x
    tilde = beta * (1 - prev) / (1 - bar)
    return SimpleNamespace(**{name: value for name, value in locals().items() if name not in ("times", "raw")}, raw=raw)


def sampled(formula, bars, times=KEPT):
    noise = Noise()
    x = noise.initial().numpy()
    for k, i in enumerate(reversed(range(len(times)))):
        x = formula(at(i, x, bars, times), noise.step(k).numpy() if i else np.zeros(SHAPE))
    return x


def made(code, model=network, variance="fixed-large", noise=None):
    denoiser = Denoiser(model, DiffusionProcess(torch.from_numpy(BETAS)), variance=variance)
    return load(code)(denoiser, S, noise or Noise()).numpy()


def posterior(prev):
    """One step of ancestral sampling with ᾱ_prev as given."""

    def step(s, z):
        before = prev(s)
        mean = np.sqrt(before) * s.beta / (1 - s.bar) * s.x0 + np.sqrt(s.alpha) * (1 - before) / (1 - s.bar) * s.x
        return mean + np.sqrt(s.tilde) * z

    return step


ALL = np.cumprod(1 - BETAS)
BARS = ALL[KEPT]
FORMULAS = {
    "alpha-bar-prev": lambda s, z: s.mean + np.sqrt(s.beta * (1 - (s.bar if s.i else 1)) / (1 - s.bar)) * z,
    "sigma-is-beta": lambda s, z: s.mean + s.beta * z,
    "noise-subtracted": lambda s, z: s.x - (1 - s.alpha) / np.sqrt(1 - s.bar) * s.eps,
    "noise-off": lambda s, z: s.mean,
    "eta-not-squared": lambda s, z: (
        np.sqrt(s.prev) * s.x0 + np.sqrt(1 - s.prev - 0.5 * s.tilde) * s.eps + np.sqrt(0.5 * s.tilde) * z
    ),
    "full-direction": lambda s, z: np.sqrt(s.prev) * s.x0 + np.sqrt(1 - s.prev) * s.eps + np.sqrt(0.5 * s.tilde) * z,
    "t-prev-above-0": lambda s, z: s.mean + (np.sqrt(s.tilde) * z if s.i - 1 > 0 else 0),
    "stale-noise": lambda s, z: np.sqrt(s.prev) * s.x0 + np.sqrt(1 - s.prev) * s.raw,
    "wrapped-index": posterior(lambda s: s.bars[s.i - 1]),
}
PUBLISHED = {
    "beta": lambda s, z: s.mean + np.sqrt(s.beta) * z,
    "beta-tilde": lambda s, z: s.mean + np.sqrt(s.tilde) * z,
    "ddim": lambda s, z: np.sqrt(s.prev) * s.x0 + np.sqrt(1 - s.prev) * s.eps,
    "eta-half": lambda s, z: (
        np.sqrt(s.prev) * s.x0 + np.sqrt(1 - s.prev - 0.25 * s.tilde) * s.eps + 0.5 * np.sqrt(s.tilde) * z
    ),
    "as-trained": lambda s, z: s.mean + np.sqrt(s.beta) * z,  # of a network with the large variance
}


@pytest.mark.parametrize("name", FORMULAS)
def test_a_wrong_sampler_is_what_its_document_writes(name):
    found = made(WRONG[name].code)
    np.testing.assert_allclose(found, sampled(FORMULAS[name], BARS), rtol=1e-9, atol=1e-9)
    assert not np.allclose(found, made(RIGHT[WRONG[name].right].code), atol=1e-3)


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_right_sampler_is_the_published_formula(name):
    np.testing.assert_allclose(made(RIGHT[name].code), sampled(PUBLISHED[name], BARS), rtol=1e-9, atol=1e-9)


def test_a_rebuilt_schedule_rises_over_the_few_steps_and_tells_the_network_their_numbers():
    bars = np.cumprod(1 - np.linspace(1e-4, 0.02, S))
    wanted = sampled(PUBLISHED["beta-tilde"], bars, list(range(S)))
    np.testing.assert_allclose(made(WRONG["schedule-rebuilt"].code), wanted, rtol=1e-9, atol=1e-9)


def test_a_cut_schedule_begins_at_its_first_steps():
    wanted = sampled(PUBLISHED["beta-tilde"], ALL[:S], list(range(S)))
    np.testing.assert_allclose(made(WRONG["schedule-cut"].code), wanted, rtol=1e-9, atol=1e-9)


def test_a_swapped_range_is_beta_tilde_at_an_output_of_one():
    logs = np.log([1 - BARS[0]] + [1 - b / a for a, b in pairwise(BARS)])
    tilde = np.log([np.exp(logs[i]) * (1 - BARS[i - 1]) / (1 - BARS[i]) if i else np.nan for i in range(S)])

    def formula(s, z):
        v = np.tanh(s.x) + 0.2
        return s.mean + (np.exp(0.5 * (v * tilde[s.i] + (1 - v) * logs[s.i])) * z if s.i else 0)

    found = made(WRONG["range-swapped"].code, learned, "learned-range")
    np.testing.assert_allclose(found, sampled(formula, BARS), rtol=1e-9, atol=1e-9)


def test_clipped_cosine_betas_are_none_below_1e_4():
    # T = 1000 of the published cosine, every betas as D4 clips it; the network is asked at the kept steps.
    f = np.cos((np.arange(1001) / 1000 + 0.008) / 1.008 * np.pi / 2) ** 2
    bars = np.cumprod(1 - np.clip(1 - f[1:] / f[:-1], 1e-4, 0.9999))
    kept = [int(t) for t in respaced_timesteps(1000, S)]
    denoiser = Denoiser(network, DiffusionProcess.create("cosine", 1000), variance="fixed-large")
    found = load(WRONG["lower-clip"].code)(denoiser, S, Noise()).numpy()
    np.testing.assert_allclose(found, sampled(PUBLISHED["beta"], bars[kept], kept), rtol=1e-7, atol=1e-7)


def test_d3_the_overwritten_alpha_bar_makes_the_large_variance():
    np.testing.assert_allclose(made(WRONG["alpha-bar-prev"].code), made(RIGHT["beta"].code), rtol=1e-9, atol=1e-9)


def test_d4_the_step_to_t_zero_lacks_its_noise():
    # The draw of the step from t = 1 to t = 0 is number S − 2: the right sampler uses it, D4's does not.
    loud, quiet = Noise(), Noise(silent=[S - 2])
    wrong, right = WRONG["t-prev-above-0"].code, RIGHT["beta-tilde"].code
    assert np.array_equal(made(wrong, noise=loud), made(wrong, noise=quiet))
    assert not np.allclose(made(right, noise=loud), made(right, noise=quiet), atol=1e-3)


def test_d4_eta_scales_the_deviation_and_not_the_variance():
    bar, prev, eta = 0.3, 0.7, 0.5
    tilde = (1 - bar / prev) * (1 - prev) / (1 - bar)
    assert ddim_sigma(bar, prev, eta) == pytest.approx(eta * tilde**0.5)
    assert ddim_sigma(bar, prev, eta) ** 2 == pytest.approx(eta**2 * tilde)


def test_d4_noise_on_top_of_the_whole_direction_leaves_the_marginals():
    # From x_t ~ N(√ᾱ x0, 1 − ᾱ) with x0 and ε known, x_prev must have variance 1 − ᾱ_prev.
    bar, prev, eta = 0.3, 0.7, 0.5
    tilde = (1 - bar / prev) * (1 - prev) / (1 - bar)
    eps, z = np.random.default_rng(0).normal(size=(2, 200_000))
    whole = np.sqrt(1 - prev) * eps + np.sqrt(eta * tilde) * z
    shorter = np.sqrt(1 - prev - eta**2 * tilde) * eps + eta * np.sqrt(tilde) * z
    assert whole.var() == pytest.approx(1 - prev + eta * tilde, rel=0.01)
    assert shorter.var() == pytest.approx(1 - prev, rel=0.01)


def test_where_two_things_are_wrong_in_one_place_it_is_said_of_samplers_that_exist():
    named = re.search(r"second mistake, which the docstring shows \((.*?)\)", wrong.__doc__)[1]
    assert {WRONG[name].code.rpartition(":")[2] for name in SECOND} == set(re.findall(r"`(\w+)`", named))
