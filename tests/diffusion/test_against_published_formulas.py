"""IDDPM's published arithmetic, derived again in numpy one image at a time, against the library.

float64 to 1e-10; the float32 of the library against the same float64 to 1e-5 where the quantity's own condition allows.
"""

import itertools
import math

import numpy as np
import pytest
import torch

from rediffuse.diffusion import (
    Denoiser,
    DiffusionProcess,
    Objective,
    bound_terms,
    respaced_timesteps,
    training_losses,
)

MEANS, VARIANCES = ("eps", "x0", "mu"), ("fixed-large", "fixed-small", "learned-range", "learned")
TIMES = [0, 1, 7, 19]


class Published:
    """q, p and the bound's terms of a list of betas, from the equations, without any library code."""

    def __init__(self, betas):
        self.betas = np.asarray(betas, dtype=np.float64)
        self.ab = np.cumprod(1 - self.betas)
        self.ab_prev = np.concatenate([[1.0], self.ab[:-1]])
        self.variance = self.betas * (1 - self.ab_prev) / (1 - self.ab)
        self.log_variance = np.log(np.concatenate([self.variance[1:2], self.variance[1:]]))
        self.c0 = self.betas * np.sqrt(self.ab_prev) / (1 - self.ab)
        self.ct = (1 - self.ab_prev) * np.sqrt(1 - self.betas) / (1 - self.ab)

    def xt(self, x0, t, noise):
        return np.sqrt(self.ab[t]) * x0 + np.sqrt(1 - self.ab[t]) * noise

    def reverse(self, output, xt, t, prediction, variance, clip):
        """x̂0, mean and log-variance of p(x_{t−1} | x_t) for one image; output holds the variance's half if learned.

        One departure: the published mean of a network that predicts μ is its output, clipped or not; here it follows
        the clipped x̂0, as for the others, so that DDIM with η = 1 is ancestral sampling for every prediction.
        """
        values = None
        if variance.startswith("learned"):
            output, values = np.split(output, 2, axis=0)
        if prediction == "eps":
            x0 = xt / np.sqrt(self.ab[t]) - np.sqrt(1 / self.ab[t] - 1) * output
        elif prediction == "x0":
            x0 = output
        else:
            x0 = (output - self.ct[t] * xt) / self.c0[t]
        x0 = np.clip(x0, -1, 1) if clip else x0
        large = np.concatenate([self.variance[1:2], self.betas[1:]])
        log_variance = {
            "fixed-large": np.full_like(xt, np.log(large[t])),
            "fixed-small": np.full_like(xt, self.log_variance[t]),
        }.get(variance)
        if variance == "learned-range":
            share = (values + 1) / 2
            log_variance = share * np.log(self.betas[t]) + (1 - share) * self.log_variance[t]
        elif variance == "learned":
            log_variance = values
        return x0, self.c0[t] * x0 + self.ct[t] * xt, log_variance

    def term(self, x0, xt, t, mean, log_variance):
        """bits/dim of one image."""
        if t == 0:
            nll = -np.mean([self._decoder(*row) for row in zip(x0.flat, mean.flat, log_variance.flat, strict=True)])
            return nll / math.log(2)
        true_mean, true_log = self.c0[t] * x0 + self.ct[t] * xt, self.log_variance[t]
        square = (true_mean - mean) ** 2 * np.exp(-log_variance)
        return np.mean(0.5 * (-1 + log_variance - true_log + np.exp(true_log - log_variance) + square)) / math.log(2)

    @staticmethod
    def _decoder(x, mean, log_variance):
        upper, lower = (
            0.5 * (1 + math.tanh(math.sqrt(2 / math.pi) * (z + 0.044715 * z**3)))
            for z in ((x - mean + side / 255) * math.exp(-0.5 * log_variance) for side in (1, -1))
        )
        mass = upper if x < -0.999 else 1 - lower if x > 0.999 else upper - lower
        return math.log(max(mass, 1e-12))


def example(channels):
    rng = np.random.default_rng(0)
    x0 = rng.integers(0, 256, (len(TIMES), 2, 3, 3)) / 127.5 - 1
    x0[:, 0, 0, 0], x0[:, 0, 0, 1] = -1, 1
    return x0, rng.standard_normal(x0.shape), 0.5 * rng.standard_normal((len(TIMES), channels, 3, 3))


def channels(variance):
    return 4 if variance.startswith("learned") else 2


def processes(name):
    process = DiffusionProcess.create("cosine", 40)
    if name == "whole":
        return process, Published(process.betas)
    kept = respaced_timesteps(40, "12,8")
    ab = Published(process.betas).ab[kept]
    return process.respace(kept), Published(1 - ab / np.concatenate([[1.0], ab[:-1]]))


def tensors(*arrays, dtype=torch.float64):
    return [torch.tensor(array, dtype=dtype) for array in arrays]


def model_of(output):
    return lambda x, t, y=None: output.to(x)


@pytest.mark.parametrize("name", ["whole", "respaced"])
def test_tables_match(name):
    process, published = processes(name)
    for ours, theirs in (
        (process.betas, published.betas),
        (process.alphas_bar, published.ab),
        (process.alphas_bar_prev, published.ab_prev),
        (process.posterior_variance, published.variance),
        (process.posterior_log_variance_clipped, published.log_variance),
        (process.posterior_mean_x0, published.c0),
        (process.posterior_mean_xt, published.ct),
    ):
        np.testing.assert_allclose(ours, theirs, rtol=1e-12, atol=1e-16)


# The published code reads a network that predicts μ with the respaced coefficients, though it learned the others.
READABLE = [pair for pair in itertools.product(("whole", "respaced"), MEANS) if pair != ("respaced", "mu")]


@pytest.mark.parametrize("clip", [True, False])
@pytest.mark.parametrize("variance", VARIANCES)
@pytest.mark.parametrize(("name", "prediction"), READABLE)
def test_the_reverse_step_matches(name, prediction, variance, clip):
    process, published = processes(name)
    x0, noise, output = example(channels(variance))
    xt = np.stack([published.xt(x0[i], t, noise[i]) for i, t in enumerate(TIMES)])
    for dtype, tolerance in ((torch.float64, 1e-10), (torch.float32, 1e-5)):
        xt_in, output_in = tensors(xt, output, dtype=dtype)
        denoiser = Denoiser(model_of(output_in), process, prediction=prediction, variance=variance, clip=clip)
        denoised = denoiser(xt_in, torch.tensor(TIMES))
        for i, t in enumerate(TIMES):
            theirs = published.reverse(output[i], xt[i], t, prediction, variance, clip)
            for ours, expected in zip((denoised.x0, denoised.mean, denoised.log_variance), theirs, strict=True):
                np.testing.assert_allclose(ours[i], expected, rtol=tolerance, atol=tolerance)


BOUNDS = [(variance, "vlb") for variance in VARIANCES] + [(variance, "hybrid") for variance in VARIANCES[2:]]


@pytest.mark.parametrize("prediction", MEANS)
@pytest.mark.parametrize(("variance", "loss"), BOUNDS)
def test_training_losses_match_those_with_the_published_decoder(prediction, variance, loss):
    process, published = processes("whole")
    x0, noise, output = example(channels(variance))
    objective = Objective(prediction=prediction, variance=variance, loss=loss, decoder="tanh")
    for dtype, tolerance in ((torch.float64, 1e-10), (torch.float32, 1e-5)):
        x0_in, noise_in, output_in = tensors(x0, noise, output, dtype=dtype)
        losses = training_losses(
            model_of(output_in), process, x0_in, torch.tensor(TIMES), noise_in, objective=objective
        )
        for i, t in enumerate(TIMES):
            xt = published.xt(x0[i], t, noise[i])
            _, mean, log_variance = published.reverse(output[i], xt, t, prediction, variance, clip=False)
            vlb = published.term(x0[i], xt, t, mean, log_variance)
            mu = published.c0[t] * x0[i] + published.ct[t] * xt
            target = {"eps": noise[i], "x0": x0[i], "mu": mu}[prediction]
            mse = np.mean((target - output[i][:2]) ** 2)
            expected = mse + vlb * 40 / 1000 if loss == "hybrid" else 40 * vlb
            for ours, theirs in ((losses.loss, expected), (losses.mse, mse), (losses.vlb, vlb)):
                np.testing.assert_allclose(ours[i], theirs, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("variance", VARIANCES)
def test_the_whole_bound_matches_that_of_the_published_loop(variance):
    process, published = processes("respaced")
    x0, noise, output = example(channels(variance))
    x0_in, noise_in, output_in = tensors(x0, noise, output)
    denoiser = Denoiser(model_of(output_in), process, variance=variance)
    bound = bound_terms(denoiser, x0_in, torch.arange(4), decoder="tanh", noise=lambda t: noise_in)
    for i in range(4):
        for t in range(20):
            xt = published.xt(x0[i], t, noise[i])
            clipped, mean, log_variance = published.reverse(output[i], xt, t, "eps", variance, clip=True)
            eps = (xt / np.sqrt(published.ab[t]) - clipped) / np.sqrt(1 / published.ab[t] - 1)
            np.testing.assert_allclose(bound.terms[i, t], published.term(x0[i], xt, t, mean, log_variance), rtol=1e-10)
            np.testing.assert_allclose(bound.mse_x0[i, t], np.mean((clipped - x0[i]) ** 2), rtol=1e-10)
            np.testing.assert_allclose(bound.mse_eps[i, t], np.mean((eps - noise[i]) ** 2), rtol=1e-9)
        ab = published.ab[-1]
        prior = 0.5 * np.mean(-1 - np.log(1 - ab) + (1 - ab) + ab * x0[i] ** 2) / math.log(2)
        np.testing.assert_allclose(bound.prior[i], prior, rtol=1e-10, atol=1e-15)
