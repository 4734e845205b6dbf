import numpy as np
import pytest
import torch

from rediffuse.diffusion import SCHEDULES, WEIGHTINGS, DiffusionProcess, convert, importance_weight, loss_weight
from rediffuse.errors import UserError

F64 = torch.float64
ALL = torch.arange(1000)


def snr(process):
    return process.alphas_bar / (1 - process.alphas_bar)


@pytest.mark.parametrize("gamma", [1.0, 5.0, 20.0])
def test_min_snr_weights_are_those_of_hang_et_al_for_each_prediction(cosine, gamma):
    capped = torch.minimum(snr(cosine), torch.tensor(gamma, dtype=F64))
    for prediction, expected in (
        ("x0", capped),
        ("eps", capped / snr(cosine)),
        ("v", capped / (snr(cosine) + 1)),
    ):
        weight = loss_weight(cosine, ALL, "min-snr", prediction, gamma=gamma)
        torch.testing.assert_close(weight, expected, rtol=1e-12, atol=0)


def test_the_snr_weighting_of_x0_is_the_plain_loss_of_the_noise(linear):
    torch.testing.assert_close(loss_weight(linear, ALL, "snr", "x0"), snr(linear), rtol=1e-12, atol=0)
    torch.testing.assert_close(loss_weight(linear, ALL, "snr", "eps"), torch.ones(1000, dtype=F64), rtol=1e-12, atol=0)
    torch.testing.assert_close(loss_weight(linear, ALL, "snr", "v"), linear.alphas_bar, rtol=1e-12, atol=0)


def test_the_inverse_snr_weighting_is_the_share_of_noise_in_the_variance(cosine):
    # Document D4, section 3.4.3: 1/(1 + SNR) of the squared error of ε. With SNR = ᾱ/(1 − ᾱ) that is 1 − ᾱ.
    expected = 1 - np.cumprod(1 - cosine.betas.numpy())
    np.testing.assert_allclose(loss_weight(cosine, ALL, "inverse-snr"), expected, rtol=1e-12)


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_no_weighting_of_the_noise_is_constant_but_snr(schedule):
    # What is constant trains the unweighted loss: `rediffuse check` refuses it.
    process = DiffusionProcess.create(schedule, 1000)
    constant = {
        (weighting, prediction)
        for weighting in set(WEIGHTINGS) - {"none"}
        for prediction in ("eps", "x0", "v", "mu")
        for weight in [loss_weight(process, ALL, weighting, prediction)]
        if weight.max() < 1.001 * weight.min()
    }
    assert constant == {("snr", "eps")}


@pytest.mark.parametrize("weighting", ["snr", "inverse-snr", "min-snr", "importance"])
@pytest.mark.parametrize("prediction", ["x0", "v", "mu"])
def test_a_weighting_is_one_loss_whatever_is_predicted(linear, weighting, prediction):
    g = torch.Generator().manual_seed(0)
    x0, eps, wrong = (torch.randn(5, 20, generator=g, dtype=F64) for _ in range(3))
    t = torch.tensor([0, 1, 100, 700, 999])
    xt = linear.q_sample(x0, t, eps)

    def loss(of):
        right, guess = (convert(linear, value, xt, t, "x0", of) for value in (x0, wrong))
        return loss_weight(linear, t, weighting, of) * (right - guess).square().mean(1)

    torch.testing.assert_close(loss(prediction), loss("eps"), rtol=1e-8, atol=0)


@pytest.mark.parametrize("variance", ["fixed-large", "fixed-small"])
def test_the_importance_weight_of_a_mean_is_one_over_twice_the_variance(linear, variance):
    sigma2 = linear.betas if variance == "fixed-large" else linear.posterior_variance
    weight = loss_weight(linear, ALL, "importance", "mu", variance=variance)
    torch.testing.assert_close(weight[1:], 1 / (2 * sigma2[1:]), rtol=1e-10, atol=0)


def test_the_importance_weight_is_that_of_ddpm_eq_12(linear):
    beta, alpha, ab = linear.betas, linear.alphas, linear.alphas_bar
    torch.testing.assert_close(importance_weight(linear), beta**2 / (2 * beta * alpha * (1 - ab)), rtol=1e-13, atol=0)
    small = importance_weight(linear, "fixed-small")
    torch.testing.assert_close(
        small[1:], (beta**2 / (2 * linear.posterior_variance * alpha * (1 - ab)))[1:], rtol=1e-12, atol=0
    )
    assert torch.isfinite(small).all()


def test_no_weighting_is_one_for_every_prediction(linear):
    for prediction in ("eps", "x0", "v", "mu"):
        assert torch.equal(loss_weight(linear, ALL, "none", prediction), torch.ones(1000, dtype=F64))


def test_one_time_gives_one_weight(linear):
    assert float(loss_weight(linear, 40, "min-snr")) == float(loss_weight(linear, ALL, "min-snr")[40])


def test_a_mean_is_weighted_by_the_process_it_is_learned_for():
    process = DiffusionProcess.create("cosine", 100)
    short = process.respace([10, 50, 90])
    weight = loss_weight(short, torch.arange(3), "snr", "mu")
    torch.testing.assert_close(weight, loss_weight(process, torch.tensor([10, 50, 90]), "snr", "mu"), rtol=1e-9, atol=0)


@pytest.mark.parametrize(
    ("arguments", "options", "words"),
    [
        (("p2",), {}, "unknown weighting 'p2'"),
        (("snr", "noise"), {}, "unknown prediction 'noise'"),
        (("importance",), {"variance": "learned"}, "fixed-large or fixed-small"),
    ],
)
def test_bad_names_are_refused(linear, arguments, options, words):
    with pytest.raises(UserError, match=words):
        loss_weight(linear, 3, *arguments, **options)
