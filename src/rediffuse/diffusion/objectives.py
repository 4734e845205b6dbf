"""Training objectives: L_simple, L1, weighted, L_vlb and L_hybrid, for every prediction and variance."""

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from rediffuse.diffusion.denoiser import LEARNED_VARIANCES, VARIANCES, Model, reverse_variance, split_output
from rediffuse.diffusion.gaussian import DECODERS, decoder_log_likelihood, mean_flat, normal_kl
from rediffuse.diffusion.predictions import PREDICTIONS, from_network, velocity
from rediffuse.diffusion.process import DiffusionProcess, Gaussian, Time
from rediffuse.errors import UserError

LOSSES: tuple[str, ...] = ("simple", "l1", "weighted", "vlb", "hybrid")
WEIGHTINGS: tuple[str, ...] = ("none", "snr", "inverse-snr", "min-snr", "importance")


@dataclass(frozen=True)
class Objective:
    """What a network predicts and what it is trained to minimise.

    Attributes:
        prediction: "eps", "x0", "mu" or "v".
        variance: "fixed-small", "fixed-large", "learned-range" or "learned".
        loss: "simple", the mean squared error of the prediction (DDPM eq. 14); "l1", its mean absolute error;
            "weighted", "simple" with the weighting "importance" unless another is named, which is then L_{t−1} of the
            bound in nats per dimension (DDPM eq. 12); "vlb", T times the bound's term at t in bits/dim; "hybrid",
            "simple" + vlb_weight · "vlb" with the gradient to the mean stopped in the second (IDDPM eq. 16).
        weighting: factor of the squared (or absolute) error at t; see `loss_weight`.
        decoder: how L_0 is computed: "exact", or "tanh" as in IDDPM's code (`decoder_log_likelihood`).
    """

    prediction: str = "eps"
    variance: str = "fixed-large"
    loss: str = "simple"
    weighting: str = "none"
    vlb_weight: float = 0.001
    min_snr_gamma: float = 5.0
    decoder: str = "exact"

    def __post_init__(self) -> None:
        for name, allowed in (
            ("prediction", PREDICTIONS),
            ("variance", VARIANCES),
            ("loss", LOSSES),
            ("weighting", WEIGHTINGS),
            ("decoder", DECODERS),
        ):
            if getattr(self, name) not in allowed:
                raise UserError(f"unknown {name} {getattr(self, name)!r}; choose one of {', '.join(allowed)}")
        learned = self.variance in LEARNED_VARIANCES
        if learned and self.loss not in ("vlb", "hybrid"):
            raise UserError(f"loss {self.loss!r} does not train variance {self.variance!r}; use hybrid or vlb")
        if not learned and self.loss == "hybrid":
            raise UserError(
                f"loss 'hybrid' has no variance to train with {self.variance!r}; use learned-range or learned"
            )
        if self.loss == "vlb" and self.weighting != "none":
            raise UserError(f"loss 'vlb' is weighted by the bound itself; weighting {self.weighting!r} does not apply")
        if self.min_snr_gamma <= 0 or self.vlb_weight < 0:
            raise UserError("min_snr_gamma must be above 0 and vlb_weight at least 0")

    @property
    def has_vlb(self) -> bool:
        """Whether its losses come with the bound's term."""
        return self.loss in ("vlb", "hybrid")

    def losses(
        self, model: Model, process: DiffusionProcess, x0: Tensor, t: Tensor, noise: Tensor, y: Tensor | None = None
    ) -> "Losses":
        """`training_losses` of this objective."""
        return training_losses(model, process, x0, t, noise, objective=self, y=y)


class Losses(NamedTuple):
    """Each [B]. loss: what to minimise; mse: squared error of the prediction, unweighted; vlb: the bound's term at t
    in bits/dim (L_{t−1}, or L_0 at t = 0), where the objective has one."""

    loss: Tensor
    mse: Tensor
    vlb: Tensor | None


def training_losses(
    model: Model,
    process: DiffusionProcess,
    x0: Tensor,
    t: Tensor,
    noise: Tensor,
    *,
    objective: Objective,
    y: Tensor | None = None,
) -> Losses:
    """The losses of a batch.

    Args:
        model: given x_t [B, C, …], `process.timestep_map[t]` and, if there is one, y.
        x0, noise: [B, C, …].
        t: int64 [B].
        y: int64 [B], classes.
    """
    xt = process.q_sample(x0, t, noise)
    times = process.model_time(t, xt)
    output = (model(xt, times) if y is None else model(xt, times, y)).to(xt.dtype)
    prediction, values = split_output(output, xt, objective.variance)
    error = target(process, x0, noise, xt, t, objective.prediction) - prediction
    mse = mean_flat(error**2)
    if objective.loss == "vlb":
        vlb = vlb_term(process, x0, xt, t, prediction, values, objective)
        return Losses(process.num_timesteps * vlb, mse.detach(), vlb)
    weighting = "importance" if objective.loss == "weighted" and objective.weighting == "none" else objective.weighting
    loss = mean_flat(error.abs()) if objective.loss == "l1" else mse
    if weighting != "none":
        variance = "fixed-small" if objective.variance == "fixed-small" else "fixed-large"
        loss = loss * loss_weight(
            process, t, weighting, objective.prediction, variance=variance, gamma=objective.min_snr_gamma
        ).to(loss)
    if objective.loss != "hybrid":
        return Losses(loss, mse, None)
    vlb = vlb_term(process, x0, xt, t, prediction.detach(), values, objective)
    return Losses(loss + objective.vlb_weight * process.num_timesteps * vlb, mse, vlb)


def target(process: DiffusionProcess, x0: Tensor, noise: Tensor, xt: Tensor, t: Tensor, prediction: str) -> Tensor:
    """What the network should give. μ is that of the process it is trained on, as in `from_network`."""
    if prediction == "eps":
        return noise
    if prediction == "x0":
        return x0
    if prediction == "v":
        return velocity(process, x0, noise, t)
    return process.origin.q_posterior_mean(x0, xt, process.model_time(t, xt))


def vlb_term(
    process: DiffusionProcess,
    x0: Tensor,
    xt: Tensor,
    t: Time,
    prediction: Tensor,
    values: Tensor | None,
    objective: Objective,
) -> Tensor:
    """L_{t−1} of the bound, or L_0 where t = 0, from a network's output without clipping: bits/dim [B]."""
    x0_hat, _ = from_network(process, prediction, xt, t, objective.prediction)
    mean = process.q_posterior_mean(x0_hat, xt, t)
    variance, log_variance = reverse_variance(process, values, xt, t, objective.variance)
    return bound_term(process, x0, xt, t, Gaussian(mean, variance, log_variance), objective.decoder)


def bound_term(
    process: DiffusionProcess, x0: Tensor, xt: Tensor, t: Time, reverse: Gaussian, decoder: str = "exact"
) -> Tensor:
    """KL(q(x_{t−1} | x_t, x_0) ‖ p(x_{t−1} | x_t)), or −log p(x_0 | x_1) where t = 0, in bits/dim: [B].

    DDPM eqs. 5 and 13; `reverse` is p(x_{t−1} | x_t).
    """
    posterior = process.q_posterior(x0, xt, t)
    kl = mean_flat(normal_kl(posterior.mean, posterior.log_variance, reverse.mean, reverse.log_variance))
    if isinstance(t, int):
        if t > 0:
            return kl / math.log(2)
        nll = -mean_flat(decoder_log_likelihood(x0, reverse.mean, reverse.log_variance, decoder=decoder))
        return nll / math.log(2)
    first = (t == 0).to(kl.device)
    # L_0 costs far more than a divergence: only where it is due, except on an accelerator, which would have to wait to
    # hear where that is.
    on_cpu = kl.device.type == "cpu"
    rows = first if on_cpu else slice(None)
    nll = -mean_flat(decoder_log_likelihood(x0[rows], reverse.mean[rows], reverse.log_variance[rows], decoder=decoder))
    kl = kl.masked_scatter(first, nll) if on_cpu else torch.where(first, nll, kl)
    return kl / math.log(2)


def loss_weight(
    process: DiffusionProcess,
    t: Time,
    weighting: str,
    prediction: str = "eps",
    *,
    variance: str = "fixed-large",
    gamma: float = 5.0,
) -> Tensor:
    """The factor of the squared error of a prediction at t: float64, of t's shape.

    A weighting is defined by its factor of the squared error of ε, and is the same loss for every prediction: with
    ‖ε − ε̂‖² = SNR ‖x_0 − x̂_0‖² = SNR/(SNR + 1) ‖v − v̂‖² = SNR/c_0² ‖μ − μ̂‖² (c_0 of DDPM eq. 7) that becomes

    ============  ===============  =============  ==================  =====================
    weighting     eps (the base)   x0             v                   mu
    ============  ===============  =============  ==================  =====================
    none          1                1              1                   1 (not the same loss)
    snr           1                SNR            SNR/(SNR+1)         SNR/c_0²
    inverse-snr   1/(1+SNR)        SNR/(1+SNR)    SNR/(1+SNR)²        SNR/((1+SNR) c_0²)
    min-snr       min(SNR, γ)/SNR  min(SNR, γ)    min(SNR, γ)/(SNR+1) min(SNR, γ)/c_0²
    importance    w                SNR·w          w·SNR/(SNR+1)       1/(2σ²)
    ============  ===============  =============  ==================  =====================

    snr is named after its factor for x_0: it is L_simple, whatever is predicted, and for ε no weighting at all.
    inverse-snr is 1 − ᾱ, the "snr" of document D4, §3.4.3, and P2 with k = γ = 1 (Choi et al. 2022, §4.1). min-snr is
    that of Hang et al. 2023 (§3.4), with its γ = 5. w = β²/(2σ²α(1−ᾱ)), DDPM eq. 12, is the weight of L_{t−1} in the
    bound; σ² is β_t ("fixed-large") or β̃_t ("fixed-small", with β̃_1 at t = 0, where β̃ is 0).
    """
    if weighting not in WEIGHTINGS:
        raise UserError(f"unknown weighting {weighting!r}; choose one of {', '.join(WEIGHTINGS)}")
    if prediction not in PREDICTIONS:
        raise UserError(f"unknown prediction {prediction!r}; choose one of {', '.join(PREDICTIONS)}")
    if isinstance(t, int):
        return _weights(process, weighting, prediction, variance, gamma)[t]
    name = f"{weighting} weight of {prediction}, {variance}, {gamma}"
    table = process.table_on(t.device, name, lambda: _weights(process, weighting, prediction, variance, gamma))
    return table[t]


def _weights(process: DiffusionProcess, weighting: str, prediction: str, variance: str, gamma: float) -> Tensor:
    """`loss_weight` at every t: float64 [T]."""
    snr = process.snr
    if weighting in ("none", "snr"):
        weight = torch.ones_like(snr)
    elif weighting == "inverse-snr":
        weight = 1 / (1 + snr)
    elif weighting == "min-snr":
        weight = snr.clamp(max=gamma) / snr
    else:
        weight = importance_weight(process, variance)
    if weighting != "none" and prediction != "eps":
        weight = weight * snr
        if prediction == "v":
            weight = weight / (snr + 1)
        elif prediction == "mu":
            weight = weight / process.origin.posterior_mean_x0[process.timestep_map] ** 2
    return weight


def importance_weight(process: DiffusionProcess, variance: str = "fixed-large") -> Tensor:
    """β²/(2σ²α(1−ᾱ)) for each t, float64 [T]: the factor of ‖ε − ε̂‖² in L_{t−1} (DDPM eq. 12).

    The denominator has the variance σ², not σ: with σ² = β it is about ½ at t = 0.
    """
    if variance == "fixed-large":
        sigma2 = process.betas
    elif variance == "fixed-small":
        sigma2 = process.posterior_log_variance_clipped.exp()
    else:
        raise UserError(f"the importance weight has a fixed variance, not {variance!r}; fixed-large or fixed-small")
    return process.betas**2 / (2 * sigma2 * process.alphas * (1 - process.alphas_bar))
