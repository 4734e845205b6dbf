import math

import numpy as np
import pytest
import torch
from scipy import stats

from rediffuse.diffusion import (
    Denoiser,
    GaussianMixture,
    MixtureVelocity,
    convert,
    random_mixture,
)
from rediffuse.errors import UserError

F64 = torch.float64
MIXTURE = random_mixture(3, (2, 3))


def mixture(means, variances, weights=None):
    return GaussianMixture(*(None if v is None else torch.tensor(v, dtype=F64) for v in (means, variances, weights)))


ONE = mixture([[-0.6], [0.5]], [[0.01], [0.04]], [0.3, 0.7])


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=F64)


def test_the_density_is_that_of_the_mixture():
    x = np.linspace(-1, 1, 9)
    expected = 0.3 * stats.norm.pdf(x, -0.6, 0.1) + 0.7 * stats.norm.pdf(x, 0.5, 0.2)
    np.testing.assert_allclose(ONE.log_prob(torch.from_numpy(x)[:, None]).exp(), expected, rtol=1e-9)


def test_the_noised_density_is_the_convolution():
    x = np.linspace(-1, 1, 9)
    a, s = 0.8, 0.6
    expected = sum(
        w * stats.norm.pdf(x, a * m, math.sqrt(a**2 * v + s**2)) for w, m, v in ((0.3, -0.6, 0.01), (0.7, 0.5, 0.04))
    )
    np.testing.assert_allclose(ONE.log_prob(torch.from_numpy(x)[:, None], a, s).exp(), expected, rtol=1e-9)


@pytest.mark.parametrize(("a", "s"), [(1.0, 0.01), (0.7, 0.7), (0.0, 1.0)])
def test_the_score_is_the_gradient_of_the_log_density(a, s):
    x = normal(6, 2, 3).requires_grad_()
    gradient = torch.autograd.grad(MIXTURE.log_prob(x, a, s).sum(), x)[0]
    torch.testing.assert_close(MIXTURE.score(x, a, s), gradient, rtol=1e-8, atol=1e-9)


def test_the_noise_is_minus_the_scaled_score(linear):
    # score = −ε̂/√(1 − ᾱ): the sign and the scale.
    x, t = normal(4, 2, 3), 300
    a, s = linear.alphas_bar[t].sqrt(), (1 - linear.alphas_bar[t]).sqrt()
    eps = MIXTURE.model(linear)(x, torch.full((4,), t))
    torch.testing.assert_close(
        convert(linear, eps, x, t, "eps", "score"), MIXTURE.score(x, a, s), rtol=1e-9, atol=1e-10
    )


def test_the_posterior_moments_are_those_of_weighted_draws():
    # Self-normalised importance sampling with 400,000 draws, of which some 100,000 count: 4 standard errors are 0.004.
    x0, _ = ONE.sample(torch.arange(400_000))
    for value in (-0.3, 0.4):
        weight = torch.exp(-((value - 0.8 * x0) ** 2) / (2 * 0.36))
        mean = (weight * x0).sum() / weight.sum()
        spread = (weight * (x0 - mean) ** 2).sum() / weight.sum()
        ours = ONE.posterior(torch.tensor([[value]], dtype=F64), 0.8, 0.6)
        assert float(ours[0]) == pytest.approx(float(mean), abs=0.004)
        assert float(ours[1]) == pytest.approx(float(spread), abs=0.004)


def test_noise_and_x0_are_consistent():
    x, a, s = normal(5, 2, 3), 0.8, 0.6
    torch.testing.assert_close(a * MIXTURE.posterior(x, a, s)[0] + s * MIXTURE.eps(x, a, s), x, rtol=1e-11, atol=1e-12)


def test_no_function_of_xt_predicts_the_noise_better(linear):
    # 20,000 draws; the loss of a perturbed prediction is larger by E[δ²] up to the error of a cross term, 4·0.01/√(6N).
    process, t = linear, 400
    x0, _ = MIXTURE.sample(torch.arange(20_000))
    noise = normal(20_000, 2, 3)
    xt = process.q_sample(x0, t, noise)
    best = MIXTURE.model(process)(xt, torch.full((len(xt),), t))

    def loss(guess):
        return float((noise - guess).square().mean())

    for delta in (0.1 * xt, 0.1 * torch.sin(5 * xt), torch.full_like(xt, 0.05)):
        assert loss(best + delta) - loss(best) == pytest.approx(float(delta.square().mean()), rel=0.35)
        assert loss(best + delta) > loss(best)


@pytest.mark.parametrize("prediction", ["eps", "x0", "mu", "v"])
@pytest.mark.parametrize("kept", [None, [3, 400, 999]])
def test_the_model_may_predict_anything_and_means_the_same(linear, prediction, kept):
    process = linear if kept is None else linear.respace(kept)
    x, t = normal(4, 2, 3), 2
    plain = Denoiser(MIXTURE.model(process), process, clip=False)(x, t)
    other = Denoiser(MIXTURE.model(process, prediction), process, prediction=prediction, clip=False)(x, t)
    torch.testing.assert_close(other.x0, plain.x0, rtol=1e-8, atol=1e-8)
    torch.testing.assert_close(other.mean, plain.mean, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("kept", [None, [0, 300, 600, 999]])
def test_the_learned_variance_is_that_of_the_reverse_step(linear, kept):
    # p(x_{t-1} | x_t) of one Gaussian, from the joint Gaussian of (x_{t-1}, x_t).
    process = linear if kept is None else linear.respace(kept)
    gaussian = mixture([[[0.2]]], 0.09)
    t, x = 2, torch.tensor([[[0.7]]], dtype=F64)
    denoised = Denoiser(gaussian.model(process, learned_variance=True), process, variance="learned", clip=False)(x, t)
    before = process.alphas_bar_prev[t] * 0.09 + 1 - process.alphas_bar_prev[t]
    alpha = process.alphas[t]
    now = alpha * before + process.betas[t]
    mean_before = process.alphas_bar_prev[t].sqrt() * 0.2
    gain = alpha.sqrt() * before / now
    assert float(denoised.mean) == pytest.approx(
        float(mean_before + gain * (0.7 - alpha.sqrt() * mean_before)), rel=1e-10
    )
    assert float(denoised.variance) == pytest.approx(float(before - gain * alpha.sqrt() * before), rel=1e-9)


def test_a_label_selects_its_component_and_the_null_label_all():
    x = normal(3, 2, 3)
    alone = GaussianMixture(MIXTURE.means[1:2], MIXTURE.variances[1:2])
    given = MIXTURE.eps(x, 0.8, 0.6, torch.tensor([1, 1, 3]))
    torch.testing.assert_close(given[:2], alone.eps(x, 0.8, 0.6)[:2], rtol=1e-12, atol=1e-13)
    torch.testing.assert_close(given[2:], MIXTURE.eps(x, 0.8, 0.6)[2:], rtol=1e-12, atol=1e-13)


def test_the_classifier_is_bayes_rule():
    x = normal(4, 2, 3)
    share = MIXTURE.responsibilities(x, 0.8, 0.6)
    torch.testing.assert_close(share.sum(1), torch.ones(4, dtype=F64))
    each = torch.stack([MIXTURE.log_prob(x, 0.8, 0.6, torch.full((4,), k)) for k in range(3)], dim=1)
    torch.testing.assert_close(share, each.softmax(1), rtol=1e-12, atol=0)


def test_the_irreducible_error_of_one_gaussian_is_known(linear):
    gaussian = mixture([[0.3]], 0.04)
    for t in (0, 300, 999):
        ab = float(linear.alphas_bar[t])
        error = gaussian.irreducible_error(linear, t)
        assert error.value == pytest.approx(ab * 0.04 / (ab * 0.04 + 1 - ab), rel=1e-9)
        assert error.standard_error == 0


def test_the_irreducible_error_by_monte_carlo_agrees_with_quadrature(linear):
    # Two independent coordinates with the same mixture of one component have the error of one.
    pair = mixture([[0.3, 0.3]], 0.04)
    estimate = pair.irreducible_error(linear, 100)
    ab = float(linear.alphas_bar[100])
    assert estimate.value == pytest.approx(ab * 0.04 / (ab * 0.04 + 1 - ab), abs=4 * estimate.standard_error)
    assert 0 < estimate.standard_error < 0.01


def test_the_irreducible_error_falls_as_the_noise_grows(linear):
    errors = [ONE.irreducible_error(linear, t).value for t in range(0, 1000, 50)]
    assert errors == sorted(errors, reverse=True)
    assert errors[0] > 0.98
    assert errors[-1] < 0.01


def test_without_the_time_the_noise_is_predicted_worse(linear):
    # Given x_t alone, t uniform on a grid: E[ε | x_t] mixes the levels. One coordinate, by quadrature.
    times = torch.arange(0, 1000, 50)
    x = torch.linspace(-6, 6, 4001, dtype=F64)[:, None]
    a, s = linear.alphas_bar[times].sqrt(), (1 - linear.alphas_bar[times]).sqrt()
    density = torch.stack([ONE.log_prob(x, p, q).exp() for p, q in zip(a, s, strict=True)])
    eps = torch.stack([ONE.eps(x, p, q)[:, 0] for p, q in zip(a, s, strict=True)])
    blind = (density * eps).sum(0) / density.sum(0)
    energy = {
        name: torch.trapezoid((density * guess**2).mean(0), x[:, 0]) for name, guess in (("t", eps), ("no t", blind))
    }
    assert 1 - float(energy["t"]) == pytest.approx(
        sum(ONE.irreducible_error(linear, int(t)).value for t in times) / len(times), abs=1e-4
    )
    assert 1 - float(energy["no t"]) > 1.2 * (1 - float(energy["t"]))


def test_samples_have_the_moments_of_the_mixture():
    x, component = ONE.sample(torch.arange(100_000))
    assert float((component == 0).double().mean()) == pytest.approx(0.3, abs=0.006)
    assert float(x.mean()) == pytest.approx(0.3 * -0.6 + 0.7 * 0.5, abs=0.007)
    assert float(x[component == 1].std()) == pytest.approx(0.2, rel=0.011)


def test_samples_are_counted_by_index():
    x, component = MIXTURE.sample(torch.arange(50), seed=4)
    part, of_part = MIXTURE.sample(torch.tensor([7, 3]), seed=4)
    assert torch.equal(part, x[[7, 3]])
    assert torch.equal(of_part, component[[7, 3]])


def test_the_velocity_is_the_mean_of_noise_minus_data():
    # E[u | x_t], by regression of u on 1 and x_t for one Gaussian, where it is linear: 200,000 draws.
    gaussian = mixture([[0.3]], 0.25)
    x0, _ = gaussian.sample(torch.arange(200_000))
    noise = normal(200_000, 1)
    xt, u = 0.6 * x0 + 0.4 * noise, noise - x0
    slope = ((xt - xt.mean()) * u).mean() / xt.var()
    at = torch.tensor([[-0.5], [1.0]], dtype=F64)
    field = MixtureVelocity(gaussian)(at, torch.full((2,), 400.0, dtype=F64))
    torch.testing.assert_close(field, u.mean() + slope * (at - xt.mean()), rtol=0.02, atol=0.02)


def test_the_models_output_keeps_dtype_and_agrees_in_float32(linear):
    x, t = normal(3, 2, 3), torch.tensor([0, 500, 999])
    exact, single = MIXTURE.model(linear)(x, t), MIXTURE.model(linear)(x.float(), t)
    assert single.dtype == torch.float32
    torch.testing.assert_close(single.double(), exact, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "arguments",
    [
        (torch.zeros(3), torch.tensor(1.0)),
        (torch.zeros(2, 1), torch.tensor(0.0)),
        (torch.zeros(2, 1), torch.tensor(1.0), torch.tensor([0.5, 0.6])),
        (torch.zeros(2, 1), torch.tensor(1.0), torch.tensor([1.0])),
    ],
)
def test_what_is_no_mixture_is_refused(arguments):
    with pytest.raises(UserError):
        GaussianMixture(*arguments)
