import math

import pytest
import torch

from rediffuse.diffusion import (
    Denoiser,
    DiffusionProcess,
    Gaussian,
    GaussianMixture,
    Objective,
    bound_term,
    convert,
    loss_weight,
    reverse_gaussian,
    training_losses,
)
from rediffuse.errors import UserError

F64 = torch.float64
T = torch.tensor([0, 1, 500, 999])


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=F64)


def levels(*shape, seed=0):
    return torch.randint(0, 256, shape, generator=torch.Generator().manual_seed(seed)).double() / 127.5 - 1


X0, NOISE = levels(4, 2, 3, 3), normal(4, 2, 3, 3, seed=1)


def perfect(process, prediction, *rest):
    """A model that knows x0, plus what it gives for the variance."""

    def model(x, t, y=None):
        return torch.cat([convert(process, X0, x, t, "x0", prediction), *rest], dim=1)

    return model


@pytest.mark.parametrize("prediction", ["eps", "x0", "mu", "v"])
@pytest.mark.parametrize("loss", ["simple", "l1", "weighted"])
def test_the_right_prediction_costs_nothing(linear, prediction, loss):
    losses = training_losses(
        perfect(linear, prediction), linear, X0, T, NOISE, objective=Objective(prediction=prediction, loss=loss)
    )
    assert float(losses.loss.abs().max()) < 1e-9


def test_the_simple_loss_is_the_mean_squared_error_of_each_image(linear):
    output = normal(4, 2, 3, 3, seed=2)
    losses = training_losses(lambda x, t, y=None: output, linear, X0, T, NOISE, objective=Objective())
    expected = torch.stack([((NOISE[i] - output[i]) ** 2).mean() for i in range(4)])
    torch.testing.assert_close(losses.loss, expected)
    torch.testing.assert_close(losses.mse, expected)
    assert losses.vlb is None


def test_the_l1_loss_is_the_mean_absolute_error(linear):
    output = normal(4, 2, 3, 3, seed=2)
    losses = training_losses(lambda x, t, y=None: output, linear, X0, T, NOISE, objective=Objective(loss="l1"))
    torch.testing.assert_close(losses.loss, (NOISE - output).abs().mean(dim=(1, 2, 3)))
    torch.testing.assert_close(losses.mse, ((NOISE - output) ** 2).mean(dim=(1, 2, 3)))


@pytest.mark.parametrize("variance", ["fixed-large", "fixed-small"])
@pytest.mark.parametrize("prediction", ["eps", "x0", "mu", "v"])
def test_the_weighted_loss_is_the_bounds_term_in_nats_when_the_variance_is_fixed(linear, prediction, variance):
    # With σ² = β̃ the divergence of the two equal variances is 0, and only the means' part, which is the weighted
    # error, remains; with σ² = β that of the variances adds a constant.
    output = convert(linear, X0, linear.q_sample(X0, T, NOISE), T, "x0", prediction) + 0.1 * normal(4, 2, 3, 3, seed=2)

    def losses(loss):
        objective = Objective(prediction=prediction, variance=variance, loss=loss)
        return training_losses(lambda x, t, y=None: output, linear, X0, T, NOISE, objective=objective)

    later = slice(1, None)
    ratio = (linear.posterior_variance / linear.betas)[T]
    constant = 0.5 * (ratio - 1 - ratio.log()) if variance == "fixed-large" else torch.zeros(4)
    torch.testing.assert_close(
        losses("vlb").vlb[later] * math.log(2), (losses("weighted").loss + constant)[later], rtol=1e-7, atol=1e-9
    )


@pytest.mark.parametrize("variance", ["learned-range", "learned"])
@pytest.mark.parametrize("prediction", ["eps", "x0", "mu", "v"])
def test_the_hybrid_loss_is_simple_plus_a_thousandth_of_the_whole_bound(linear, prediction, variance):
    output = normal(4, 4, 3, 3, seed=2)
    objective = Objective(prediction=prediction, variance=variance, loss="hybrid")
    losses = training_losses(lambda x, t, y=None: output, linear, X0, T, NOISE, objective=objective)
    torch.testing.assert_close(losses.loss, losses.mse + 0.001 * 1000 * losses.vlb)


@pytest.mark.parametrize("variance", ["learned-range", "learned"])
@pytest.mark.parametrize("prediction", ["eps", "x0", "mu", "v"])
def test_the_hybrid_loss_gives_the_mean_only_the_simple_gradient(linear, prediction, variance):
    mean, values = normal(4, 2, 3, 3, seed=2).requires_grad_(), normal(4, 2, 3, 3, seed=3).requires_grad_()
    objective = Objective(prediction=prediction, variance=variance, loss="hybrid")
    losses = training_losses(
        lambda x, t, y=None: torch.cat([mean, values], dim=1), linear, X0, T, NOISE, objective=objective
    )
    losses.loss.sum().backward(retain_graph=True)
    of_mse = torch.autograd.grad(losses.mse.sum(), mean, retain_graph=True)[0]
    assert torch.equal(mean.grad, of_mse)
    of_vlb = torch.autograd.grad(losses.vlb.sum(), values)[0]
    torch.testing.assert_close(values.grad, of_vlb)
    assert (values.grad.flatten(1).abs().sum(1) > 0).all()


@pytest.mark.parametrize("times", [[5, 1, 500, 999], [0, 0, 0, 0], [0, 7, 0, 999]])
def test_the_bound_of_a_mixed_batch_is_that_of_each_image_alone(linear, times):
    t, output = torch.tensor(times), normal(4, 4, 3, 3, seed=2).requires_grad_()
    objective = Objective(variance="learned-range", loss="vlb")

    def vlb(part):
        return training_losses(
            lambda x, t, y=None: output[part], linear, X0[part], t[part], NOISE[part], objective=objective
        ).vlb

    together = vlb(slice(None))
    alone = torch.cat([vlb(slice(i, i + 1)) for i in range(4)])
    torch.testing.assert_close(together, alone, rtol=1e-12, atol=0)
    gradients = [torch.autograd.grad(terms.sum(), output)[0] for terms in (together, alone)]
    torch.testing.assert_close(gradients[0], gradients[1], rtol=1e-10, atol=1e-14)


def test_the_bound_alone_gives_the_mean_a_gradient(linear):
    mean, values = normal(4, 2, 3, 3, seed=2).requires_grad_(), normal(4, 2, 3, 3, seed=3).requires_grad_()
    losses = training_losses(
        lambda x, t, y=None: torch.cat([mean, values], dim=1),
        linear,
        X0,
        T,
        NOISE,
        objective=Objective(variance="learned-range", loss="vlb"),
    )
    losses.loss.sum().backward()
    assert (mean.grad.flatten(1).abs().sum(1) > 0).all()
    torch.testing.assert_close(losses.loss, 1000 * losses.vlb)


def test_the_bounds_gradient_is_the_derivative(cosine):
    output = 0.3 * normal(4, 4, 3, 3, seed=2).requires_grad_()

    def vlb(values):
        objective = Objective(variance="learned-range", loss="vlb")
        times = torch.tensor([0, 1, 300, 700])
        return training_losses(lambda x, t, y=None: values, cosine, X0, times, NOISE, objective=objective).vlb

    assert torch.autograd.gradcheck(vlb, (output,), atol=1e-5, rtol=1e-4)


def test_the_bounds_term_equals_that_of_the_denoiser_without_clipping(linear):
    output = normal(4, 4, 3, 3, seed=2)
    objective = Objective(variance="learned-range", loss="vlb")
    losses = training_losses(lambda x, t, y=None: output, linear, X0, T, NOISE, objective=objective)
    xt = linear.q_sample(X0, T, NOISE)
    denoised = Denoiser(lambda x, t, y=None: output, linear, variance="learned-range", clip=False)(xt, T)
    torch.testing.assert_close(losses.vlb, bound_term(linear, X0, xt, T, reverse_gaussian(denoised)))


def test_a_bounds_term_matches_monte_carlo():
    # KL = E_q[log q − log p] over 400,000 draws of x_{t−1}; the tolerance is 4 standard errors (the spread is below 1).
    process = DiffusionProcess.create("linear", 50)
    x0, xt = torch.full((1, 1), 0.2, dtype=F64), torch.full((1, 1), -0.5, dtype=F64)
    q = process.q_posterior(x0, xt, 20)
    p = Gaussian(q.mean + 0.05, 1.4 * q.variance, (1.4 * q.variance).log())
    draws = q.mean + q.variance.sqrt() * normal(400_000, 1)
    distributions = [torch.distributions.Normal(g.mean, g.variance.sqrt()) for g in (q, p)]
    estimate = float((distributions[0].log_prob(draws) - distributions[1].log_prob(draws)).mean()) / math.log(2)
    assert float(bound_term(process, x0, xt, 20, p)) == pytest.approx(estimate, abs=4 / math.sqrt(400_000))


def test_the_weightings_multiply_the_loss(linear):
    output = normal(4, 2, 3, 3, seed=2)
    for weighting in ("snr", "min-snr", "importance"):
        for prediction in ("eps", "x0", "v", "mu"):
            objective = Objective(prediction=prediction, weighting=weighting, min_snr_gamma=3.0)
            losses = training_losses(lambda x, t, y=None: output, linear, X0, T, NOISE, objective=objective)
            weight = loss_weight(linear, T, weighting, prediction, gamma=3.0)
            torch.testing.assert_close(losses.loss, weight * losses.mse)


@pytest.mark.parametrize("loss", ["simple", "vlb", "hybrid"])
def test_float32_agrees_with_float64(linear, loss):
    variance = "fixed-large" if loss == "simple" else "learned-range"
    mixture = GaussianMixture(0.5 * normal(2, 2, 3, 3, seed=5), torch.tensor(0.1))

    def model(x, t, y=None):
        eps = mixture.model(linear)(x, t)
        return eps if loss == "simple" else torch.cat([eps, torch.tanh(x)], dim=1)

    exact, single = (
        training_losses(
            model, linear, X0.to(dtype), T, NOISE.to(dtype), objective=Objective(variance=variance, loss=loss)
        )
        for dtype in (F64, torch.float32)
    )
    assert single.loss.dtype == torch.float32
    torch.testing.assert_close(single.loss.double(), exact.loss, rtol=2e-5, atol=1e-5)


def test_the_model_is_given_the_labels_and_the_original_times(linear):
    seen = []

    def model(x, t, y=None):
        seen.append((t.tolist(), y))
        return x

    labels = torch.tensor([1, 2, 3, 4])
    training_losses(
        model, linear.respace([5, 9]), X0, torch.tensor([0, 1, 1, 0]), NOISE, objective=Objective(), y=labels
    )
    assert seen[0][0] == [5, 9, 9, 5]
    assert seen[0][1] is labels


def test_a_mean_is_learned_for_the_steps_of_the_original_process(linear):
    short = linear.respace([0, 1, 500, 999])
    losses = training_losses(
        perfect(linear, "mu"), short, X0, torch.arange(4), NOISE, objective=Objective(prediction="mu")
    )
    assert float(losses.loss.max()) < 1e-15


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"prediction": "noise"}, "unknown prediction 'noise'"),
        ({"variance": "fixed"}, "unknown variance"),
        ({"loss": "mse"}, "unknown loss 'mse'; choose one of simple, l1, weighted, vlb, hybrid"),
        ({"weighting": "p2"}, "unknown weighting"),
        ({"decoder": "logistic"}, "unknown decoder"),
        ({"variance": "learned-range"}, "does not train variance"),
        ({"loss": "hybrid"}, "no variance to train"),
        ({"loss": "vlb", "weighting": "snr"}, "does not apply"),
        ({"min_snr_gamma": 0.0}, "min_snr_gamma"),
    ],
)
def test_an_objective_that_makes_no_sense_is_refused_in_one_line(options, words):
    with pytest.raises(UserError, match=words) as caught:
        Objective(**options)
    assert "\n" not in str(caught.value)
