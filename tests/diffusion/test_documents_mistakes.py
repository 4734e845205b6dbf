"""Mistakes of formula in the documents this project implements (D1 to D4), each beside what is right."""

import math

import pytest
import torch

from rediffuse.diffusion import (
    Denoiser,
    DiffusionProcess,
    GaussianMixture,
    importance_weight,
    make_betas,
    respaced_timesteps,
)
from rediffuse.errors import UserError

F64 = torch.float64


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=F64)


def test_d1_the_noise_predicted_is_minus_the_scaled_score_and_not_a_gradient_of_it(linear):
    mixture = GaussianMixture(torch.tensor([[-0.5], [0.5]], dtype=F64), torch.tensor(0.01, dtype=F64))
    x, t = torch.tensor([[0.2]], dtype=F64, requires_grad=True), 300
    a, s = linear.alphas_bar[t].sqrt(), (1 - linear.alphas_bar[t]).sqrt()
    score = torch.autograd.grad(mixture.log_prob(x, a, s).sum(), x)[0]
    eps = mixture.model(linear)(x.detach(), torch.tensor([t]))
    assert float(eps) == pytest.approx(float(-s * score), rel=1e-10)


def test_d2_the_reverse_step_is_gaussian_only_given_x0(linear):
    # Data at ±1 (nearly points): from x_t = 0 in one long step back to t = 0, x_{t−1} has two modes, and its kurtosis
    # is that of two points, −2, not 0. Given x_0 the step is exactly Gaussian.
    process = linear.respace([0, 600])
    xt = torch.zeros(1, dtype=F64)
    branches = [process.q_posterior(torch.tensor([side], dtype=F64), xt, 1) for side in (-1.0, 1.0)]
    which = torch.sign(normal(20_000))
    draws = which * branches[1].mean + branches[1].variance.sqrt() * normal(20_000, seed=1)
    kurtosis = float((draws**4).mean() / (draws**2).mean() ** 2 - 3)
    assert kurtosis < -1.9
    assert float(branches[0].mean) == -float(branches[1].mean)


def test_d2_the_simple_loss_is_a_reweighted_bound_and_so_no_bound(linear):
    # L_simple weights every t alike; in the bound the weights differ forty-fold.
    weights = importance_weight(linear)
    assert float(weights.max() / weights.min()) > 40


def test_d2_a_sampling_step_divides_by_the_root_of_alpha_and_adds_noise(linear):
    xt, eps, t = normal(1, 1, 2, 2), normal(1, 1, 2, 2, seed=1), 500
    step = Denoiser(lambda x, t, y=None: eps, linear, clip=False)(xt, t)
    without = xt - linear.betas[t] / (1 - linear.alphas_bar[t]).sqrt() * eps
    torch.testing.assert_close(step.mean, without / linear.alphas[t].sqrt(), rtol=1e-10, atol=1e-12)
    assert not torch.isclose(step.mean, without, rtol=1e-4).any()
    assert float(step.variance[0, 0, 0, 0]) == pytest.approx(float(linear.betas[t]))


def test_d3_alpha_bar_of_the_step_before_is_shifted_and_not_overwritten(linear):
    # cat([1], ᾱ[1:]) leaves ᾱ_prev = ᾱ for t ≥ 1; the "posterior" variance is then β: fixed-large by the other name.
    wrong_prev = torch.cat([torch.ones(1, dtype=F64), linear.alphas_bar[1:]])
    wrong = linear.betas * (1 - wrong_prev) / (1 - linear.alphas_bar)
    torch.testing.assert_close(wrong[1:], linear.betas[1:], rtol=1e-12, atol=0)
    assert torch.equal(linear.alphas_bar_prev[1:], linear.alphas_bar[:-1])
    assert (linear.posterior_variance[1:] < linear.betas[1:]).all()
    assert float(linear.posterior_variance[1] / linear.betas[1]) == pytest.approx(0.4547, abs=1e-4)


def test_d4_sigma_squared_and_not_sigma_is_beta(linear):
    x = normal(1, 1, 2, 2)
    step = Denoiser(lambda x, t, y=None: x, linear, variance="fixed-large")(x, 999)
    assert float(step.variance[0, 0, 0, 0]) == pytest.approx(0.02)
    assert float((0.5 * step.log_variance).exp()[0, 0, 0, 0]) == pytest.approx(math.sqrt(0.02))


def test_d4_the_importance_weight_at_the_first_step_is_a_half_and_not_five_thousand(linear):
    beta, alpha, ab = linear.betas[0], linear.alphas[0], linear.alphas_bar[0]
    assert float(importance_weight(linear)[0]) == pytest.approx(0.50005, abs=1e-5)
    assert float(beta**2 / (2 * beta**2 * alpha * (1 - ab))) == pytest.approx(5000, rel=1e-3)


def test_d4_a_lower_clip_of_1e_4_would_change_thirteen_cosine_betas():
    assert int((make_betas("cosine", 1000) < 1e-4).sum()) == 13


@pytest.mark.parametrize("name", ["quadratic", "d4-quadratic"])
def test_d4_the_quadratic_schedule_is_gentler_than_the_linear_one(name):
    linear, quadratic = (DiffusionProcess.create(schedule, 1000) for schedule in ("linear", name))
    assert (quadratic.betas <= linear.betas + 1e-15).all()
    assert (quadratic.alphas_bar >= linear.alphas_bar).all()
    # Not only at the start: it leaves more signal at the end too.
    assert float(quadratic.alphas_bar[-1] / linear.alphas_bar[-1]) > 10


def test_d4_learned_range_gives_beta_at_plus_one_and_beta_tilde_at_minus_one(linear):
    x = normal(1, 1, 1, 1)

    def variance(output):
        model = lambda x, t, y=None: torch.cat([x, torch.full_like(x, output)], dim=1)  # noqa: E731
        return float(Denoiser(model, linear, variance="learned-range")(x, 1).variance)

    assert variance(1.0) == pytest.approx(float(linear.betas[1]), rel=1e-12)
    assert variance(-1.0) == pytest.approx(float(linear.posterior_variance[1]), rel=1e-12)
    assert variance(0.0) == pytest.approx(float((linear.betas[1] * linear.posterior_variance[1]).sqrt()), rel=1e-12)


def test_d4_the_log_of_the_posterior_variance_is_clipped_at_the_first_step(linear):
    assert float(linear.posterior_variance[0]) == 0
    assert float(linear.posterior_log_variance_clipped[0]) == float(linear.posterior_log_variance_clipped[1])


def test_d4_the_step_before_the_first_has_alpha_bar_one_and_does_not_wrap(linear):
    assert float(linear.alphas_bar_prev[0]) == 1.0
    with pytest.raises(UserError, match="outside"):
        linear.q_mean_variance(normal(1, 1), -1)


def test_d4_the_noise_is_derived_again_after_x0_is_clipped(linear):
    xt = torch.full((1, 1, 1, 1), 3.0, dtype=F64)
    step = Denoiser(lambda x, t, y=None: torch.zeros_like(x), linear)(xt, 400)
    assert float(step.x0) == 1.0
    assert float(step.eps) == pytest.approx(
        float((3 - linear.alphas_bar[400].sqrt()) / (1 - linear.alphas_bar[400]).sqrt()), rel=1e-12
    )


def test_d4_fewer_steps_are_a_respacing_and_not_a_shorter_schedule(linear):
    rebuilt = DiffusionProcess(make_betas("linear", 50, beta_start=1e-4, beta_end=0.02))
    assert float(rebuilt.alphas_bar[-1]) == pytest.approx(0.60, abs=0.005)
    truncated = linear.alphas_bar[49]
    assert float(truncated) > 0.96
    respaced = linear.respace(respaced_timesteps(1000, 50))
    assert float(respaced.alphas_bar[-1]) == pytest.approx(float(linear.alphas_bar[-1]), rel=1e-6)


def test_d4_a_step_adds_energy_beta_to_each_pixel(linear):
    # E x_t² = (1 − β) E x_{t−1}² + β by pixel, so β·3·32·32 for the squared norm of an image, not for a pixel.
    # 768,000 draws: 4 standard errors of a mean square of about ¼ are 0.5 %.
    x = 0.5 * normal(250, 3, 32, 32)
    t = 999
    energy = float(linear.q_step(x, t, normal(250, 3, 32, 32, seed=1)).square().mean())
    assert energy == pytest.approx(0.98 * 0.25 + 0.02, rel=0.005)


def test_d4_a_perfect_model_does_not_give_unit_noise_on_pure_noise(linear):
    # The check "std(ε̂) ≈ 1 on x ~ N(0, 1)" calls the best possible model wrong; on q(x_t | x_0), E ε̂² + error = 1.
    mixture = GaussianMixture(torch.zeros(1, 1, dtype=F64), torch.tensor(0.25, dtype=F64))
    t = 20
    model, times = mixture.model(linear), torch.full((50_000,), t)
    on_noise = float(model(normal(50_000, 1), times).std())
    assert on_noise < 0.4
    x0, _ = mixture.sample(torch.arange(50_000))
    eps = model(linear.q_sample(x0, t, normal(50_000, 1, seed=1)), times)
    error = mixture.irreducible_error(linear, t).value
    assert float(eps.square().mean()) + error == pytest.approx(1.0, abs=0.002)
