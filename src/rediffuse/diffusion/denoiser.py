"""From a network's output to the reverse step p(x_{t−1} | x_t)."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from torch import Tensor

from rediffuse.diffusion.predictions import PREDICTIONS, eps_from_x0, from_network
from rediffuse.diffusion.process import DiffusionProcess, Gaussian, Time
from rediffuse.errors import UserError

#: The variance of p(x_{t−1} | x_t): β_t, β̃_t, a learned mixture of the two (IDDPM eq. 15), or its logarithm learned.
VARIANCES: tuple[str, ...] = ("fixed-large", "fixed-small", "learned-range", "learned")
LEARNED_VARIANCES: tuple[str, ...] = ("learned-range", "learned")

#: model(x [B, C, …], t int64 [B], y int64 [B] or None) -> [B, C, …], or [B, 2C, …] with a learned variance.
Model = Callable[..., Tensor]


class Denoised(NamedTuple):
    """What a network says about x_t; each field has the shape of x_t.

    mean, variance and log_variance are those of p(x_{t−1} | x_t); log_variance is finite at t = 0, where the variance
    of "fixed-small" is 0.
    """

    x0: Tensor
    eps: Tensor
    mean: Tensor
    variance: Tensor
    log_variance: Tensor


@dataclass(frozen=True, eq=False)
class Denoiser:
    """A network with everything needed to read its output.

    Calling it with x_t [B, C, …] and t (an int, or int64 [B]; a step of `process`, which may be respaced) gives
    `Denoised`. With `clip` or `dynamic_threshold`, x̂_0 is limited, and ε and the mean follow from the limited x̂_0: so
    DDIM with η = 1 equals ancestral sampling with β̃. (DDPM's and IDDPM's code leave the mean of a μ-predicting network
    as it is; here one rule holds for all predictions.)

    Attributes:
        model: see `Model`; it is given `process.timestep_map[t]`.
        prediction: "eps", "x0", "mu" or "v".
        variance: one of `VARIANCES`.
        clip: limit x̂_0 to [−1, 1].
        dynamic_threshold: a fraction such as 0.995 (Saharia et al. 2022, Imagen, §2.3): x̂_0 of an image is limited to
            ±s and divided by s, with s that quantile of |x̂_0|, at least 1. Replaces `clip`.
        labels: int64 [B], given to the model as y; None for an unconditional model.
    """

    model: Model
    process: DiffusionProcess
    prediction: str = "eps"
    variance: str = "fixed-large"
    clip: bool = True
    dynamic_threshold: float | None = None
    labels: Tensor | None = None

    def __post_init__(self) -> None:
        if self.prediction not in PREDICTIONS:
            raise UserError(f"unknown prediction {self.prediction!r}; choose one of {', '.join(PREDICTIONS)}")
        if self.variance not in VARIANCES:
            raise UserError(f"unknown variance {self.variance!r}; choose one of {', '.join(VARIANCES)}")
        if self.dynamic_threshold is not None and not 0 < self.dynamic_threshold <= 1:
            raise UserError(f"dynamic_threshold is {self.dynamic_threshold}; it is a fraction above 0 and at most 1")

    def with_labels(self, labels: Tensor | None) -> "Denoiser":
        """The same denoiser for a batch of other classes."""
        return replace(self, labels=labels)

    def __call__(self, x: Tensor, t: Time) -> Denoised:
        """Evaluate the model on x_t [B, C, …] at step t of `process`, and read its output."""
        times = self.process.model_time(t, x)
        output = self.model(x, times) if self.labels is None else self.model(x, times, self.labels)
        return self.interpret(output.to(x.dtype), x, t)

    def interpret(self, output: Tensor, x: Tensor, t: Time) -> Denoised:
        """`Denoised` from an output already computed (by guidance, for one)."""
        output, values = split_output(output, x, self.variance)
        x0, eps = from_network(self.process, output, x, t, self.prediction)
        if self.clip or self.dynamic_threshold is not None:
            x0 = self._limit(x0)
            eps = eps_from_x0(self.process, x0, x, t)
        mean = self.process.q_posterior_mean(x0, x, t)
        variance, log_variance = reverse_variance(self.process, values, x, t, self.variance)
        return Denoised(x0, eps, mean, variance, log_variance)

    def _limit(self, x0: Tensor) -> Tensor:
        if self.dynamic_threshold is None:
            return x0.clamp(-1, 1)
        scale = torch.quantile(x0.flatten(1).abs().float(), self.dynamic_threshold, dim=1).clamp(min=1).to(x0.dtype)
        scale = scale.reshape(-1, *(1,) * (x0.ndim - 1))
        return x0.clamp(-scale, scale) / scale


def split_output(output: Tensor, x: Tensor, variance: str) -> tuple[Tensor, Tensor | None]:
    """The prediction and, with a learned variance, the channels for it: both of the shape of x."""
    channels = x.shape[1] * (2 if variance in LEARNED_VARIANCES else 1)
    if output.shape != (x.shape[0], channels, *x.shape[2:]):
        raise UserError(
            f"the model gave {tuple(output.shape)} for an input {tuple(x.shape)}; "
            f"with variance {variance!r} it must give {channels} channels of the same size"
        )
    if variance not in LEARNED_VARIANCES:
        return output, None
    prediction, values = output.chunk(2, dim=1)
    return prediction, values


def reverse_variance(
    process: DiffusionProcess, values: Tensor | None, x: Tensor, t: Time, variance: str
) -> tuple[Tensor, Tensor]:
    """Variance and log-variance of p(x_{t−1} | x_t), of the shape of x.

    "fixed-large" and "fixed-small" are β_t and β̃_t, at t = 0 as in IDDPM's code. "learned-range" reads the output o as
    v = (o + 1)/2 and log σ² = v log β_t + (1 − v) log β̃_t (clipped) (IDDPM eq. 15), with the betas of `process`, which
    may be respaced. "learned" reads the output as log σ² itself.
    """
    if variance == "fixed-large":
        return process.spread("fixed_large_variance", t, x), process.spread("fixed_large_log_variance", t, x)
    if variance == "fixed-small":
        posterior = process.spread("posterior_variance", t, x)
        return posterior, process.spread("posterior_log_variance_clipped", t, x)
    if values is None:
        raise UserError(f"variance {variance!r} needs the model's second half of channels")
    if variance == "learned":
        log_variance = values
    else:
        low = process.at("posterior_log_variance_clipped", t, x)
        high = process.at("log_betas", t, x)
        v = (values + 1) / 2
        log_variance = v * high + (1 - v) * low
    return log_variance.exp(), log_variance


def reverse_gaussian(denoised: Denoised) -> Gaussian:
    """p(x_{t−1} | x_t) as a Gaussian."""
    return Gaussian(denoised.mean, denoised.variance, denoised.log_variance)
