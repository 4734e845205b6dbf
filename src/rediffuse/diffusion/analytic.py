"""Data whose diffusion is known in closed form: Gaussian mixtures, usable as a perfect `model`.

If x_0 is a mixture of Gaussians N(m_k, v_k) of weights w_k, then x_t = a x_0 + s ε is one of N(a m_k, a² v_k + s²): its
density, its score, the best prediction E[ε | x_t] = −s ∇ log p_t(x_t) and Var[x_0 | x_t] follow exactly. With this in
place of a network, every sampler must reach the data's distribution, and the bound is checked against log p(x_0).
"""

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from rediffuse.diffusion.predictions import velocity
from rediffuse.diffusion.process import DiffusionProcess
from rediffuse.diffusion.randomness import counted_normal, generator
from rediffuse.errors import UserError


class WithStandardError(NamedTuple):
    """A number with its standard error (0 where it is exact to quadrature)."""

    value: float
    standard_error: float


@dataclass(frozen=True, eq=False)
class GaussianMixture:
    """A mixture of K Gaussians with independent coordinates.

    Attributes:
        means: float64 [K, *shape], shape being that of one sample, such as C×H×W.
        variances: float64, broadcastable to `means`.
        weights: float64 [K], summing to 1; default equal.
    """

    means: Tensor
    variances: Tensor
    weights: Tensor | None = None

    def __post_init__(self) -> None:
        means = torch.as_tensor(self.means, dtype=torch.float64)
        variances = torch.as_tensor(self.variances, dtype=torch.float64).expand_as(means)
        weights = means.new_full((len(means),), 1 / len(means)) if self.weights is None else self.weights
        weights = torch.as_tensor(weights, dtype=torch.float64)
        if means.ndim < 2 or len(weights) != len(means) or not bool((variances > 0).all()):
            raise UserError("a mixture needs means [K, *shape], variances above 0 and K weights")
        if not math.isclose(float(weights.sum()), 1.0, abs_tol=1e-9) or not bool((weights > 0).all()):
            raise UserError("the weights of a mixture must be above 0 and sum to 1")
        object.__setattr__(self, "means", means)
        object.__setattr__(self, "variances", variances)
        object.__setattr__(self, "weights", weights)

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one sample."""
        return tuple(self.means.shape[1:])

    def sample(self, indices: Tensor, seed: int = 0, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor]:
        """Samples x_0 [B, *shape] and their components int64 [B], counted by (seed, index)."""
        uniform = torch.special.ndtr(counted_normal(seed, indices, 0, (1,), purpose="component", dtype=torch.float64))
        component = torch.searchsorted(self._weights().cumsum(0), uniform[:, 0]).clamp(max=len(self.means) - 1)
        noise = counted_normal(seed, indices, 0, self.shape, purpose="data", dtype=torch.float64)
        return (self.means[component] + self.variances[component].sqrt() * noise).to(dtype), component

    def log_prob(self, x: Tensor, a: float | Tensor = 1.0, s: float | Tensor = 0.0, y: Tensor | None = None) -> Tensor:
        """log p of a·x_0 + s·ε at x [B, *shape], in nats: [B]. See `posterior` for a, s and y."""
        return self._log_joint(x, a, s, y)[0].logsumexp(1)

    def responsibilities(self, x: Tensor, a: float | Tensor = 1.0, s: float | Tensor = 0.0) -> Tensor:
        """p(component | a·x_0 + s·ε = x), [B, K]: the perfect noise-conditional classifier."""
        return self._log_joint(x, a, s, None)[0].softmax(1)

    def posterior(
        self, x: Tensor, a: float | Tensor, s: float | Tensor, y: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """E[x_0 | x] and Var[x_0 | x] by coordinate, for x = a·x_0 + s·ε; each [B, *shape].

        Args:
            a, s: numbers, or tensors [B].
            y: int64 [B], the component x_0 is known to come from; K (the null class) where it is not known.
        """
        log_joint, a, s, means, variances = self._log_joint(x, a, s, y)
        share = log_joint.softmax(1).reshape(*log_joint.shape, *(1,) * (x.ndim - 1))
        gain = a * variances / (a**2 * variances + s**2)
        centre = means + gain * (x[:, None] - a * means)
        spread = variances * s**2 / (a**2 * variances + s**2)
        mean = (share * centre).sum(1)
        return mean, (share * (spread + (centre - mean[:, None]) ** 2)).sum(1)

    def score(self, x: Tensor, a: float | Tensor, s: float | Tensor, y: Tensor | None = None) -> Tensor:
        """∇ log p of a·x_0 + s·ε at x, [B, *shape]."""
        log_joint, a, s, means, variances = self._log_joint(x, a, s, y)
        share = log_joint.softmax(1).reshape(*log_joint.shape, *(1,) * (x.ndim - 1))
        return (share * (a * means - x[:, None]) / (a**2 * variances + s**2)).sum(1)

    def eps(self, x: Tensor, a: float | Tensor, s: float | Tensor, y: Tensor | None = None) -> Tensor:
        """E[ε | x] = −s ∇ log p(x): the best prediction of the noise, [B, *shape]."""
        return -_like(s, x) * self.score(x, a, s, y)

    def model(
        self, process: DiffusionProcess, prediction: str = "eps", *, learned_variance: bool = False
    ) -> "MixtureModel":
        """The perfect network for a process and its respacings; the learned variance is that of `process` itself."""
        return MixtureModel(self, process, prediction, learned_variance)

    def irreducible_error(
        self, process: DiffusionProcess, t: int, *, seed: int = 0, samples: int = 20_000
    ) -> WithStandardError:
        """min over predictions of E‖ε − ε̂(x_t)‖² per coordinate: what no network can go below at t.

        It is 1 − E‖E[ε | x_t]‖²/D: near 1 where x_t is almost x_0 (there is little noise to see), near 0 where x_t is
        almost pure noise. By quadrature for one coordinate; otherwise by Monte Carlo over `samples` draws, with its
        standard error.
        """
        a, s = float(process.alphas_bar[t].sqrt()), float((1 - process.alphas_bar[t]).sqrt())
        if self.means[0].numel() == 1:
            deviation = (a**2 * self.variances + s**2).sqrt()
            z = torch.linspace(-12, 12, 4801, dtype=torch.float64)
            # One grid per component: a narrow one is resolved wherever it stands.
            x = (a * self.means + deviation * z.reshape(1, -1)).reshape(-1, *self.shape)
            squared = self.eps(x, a, s).flatten().square().reshape(len(self.means), -1)
            density = torch.exp(-(z**2) / 2) / math.sqrt(2 * math.pi)
            return WithStandardError(1 - float(self._weights() @ torch.trapezoid(squared * density, z, dim=1)), 0.0)
        indices = torch.arange(samples)
        x0, _ = self.sample(indices, seed)
        noise = counted_normal(seed, indices, t, self.shape, purpose="irreducible", dtype=torch.float64)
        error = (noise - self.eps(a * x0 + s * noise, a, s)).square().flatten(1).mean(1)
        return WithStandardError(float(error.mean()), float(error.std() / math.sqrt(samples)))

    def _weights(self) -> Tensor:
        assert self.weights is not None
        return self.weights

    def _log_joint(
        self, x: Tensor, a: float | Tensor, s: float | Tensor, y: Tensor | None
    ) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """log w_k + log N(x; a m_k, a² v_k + s²) [B, K], and a, s, m, v ready to broadcast to [B, K, *shape]."""
        a, s = _like(a, x).unsqueeze(1), _like(s, x).unsqueeze(1)
        means, variances, weights = (table.to(x) for table in (self.means, self.variances, self._weights()))
        total = a**2 * variances + s**2
        terms = -0.5 * ((x[:, None] - a * means) ** 2 / total + total.log() + math.log(2 * math.pi))
        prior = weights.log().expand(len(x), -1)
        if y is not None:
            known = torch.nn.functional.one_hot(y.to(x.device), len(means) + 1).to(x)[:, :-1]
            prior = torch.where((y.to(x.device) < len(means))[:, None], known.log(), prior)
        return prior + terms.flatten(2).sum(2), a, s, means, variances


@dataclass(frozen=True, eq=False)
class MixtureModel:
    """`model(x, t, y=None)` that gives the best prediction for data from a mixture.

    y selects a component, and K means "unknown", as the null token of a class-conditional network. With
    `learned_variance`, a second half of channels holds the logarithm of the best reverse variance,
    β̃_t + c_0² Var[x_0 | x_t] (Bao et al. 2022, "Analytic-DPM"), to be read by variance "learned". For one Gaussian the
    reverse process is then exact at any number of steps.
    """

    mixture: GaussianMixture
    process: DiffusionProcess
    prediction: str = "eps"
    learned_variance: bool = False

    def __call__(self, x: Tensor, t: Tensor, y: Tensor | None = None) -> Tensor:
        """The best prediction at x [B, *shape] and the times t int64 [B] of the original process."""
        origin = self.process.origin
        a, s = (torch.as_tensor(origin.at(name, t, x)).flatten() for name in ("signal", "noise"))
        x0, variance = self.mixture.posterior(x, a, s, y)
        eps = self.mixture.eps(x, a, s, y)
        if self.prediction == "eps":
            output = eps
        elif self.prediction == "x0":
            output = x0
        elif self.prediction == "mu":
            output = origin.q_posterior_mean(x0, x, t)
        elif self.prediction == "v":
            output = velocity(origin, x0, eps, t)
        else:
            raise UserError(f"unknown prediction {self.prediction!r}; choose one of eps, x0, mu, v")
        if not self.learned_variance:
            return output
        step = torch.searchsorted(self.process.timestep_map.to(t.device), t)
        known = self.process.at("posterior_variance", step, x)
        scale = self.process.at("posterior_mean_x0", step, x)
        return torch.cat([output, (known + scale**2 * variance).log()], dim=1)


@dataclass(frozen=True, eq=False)
class MixtureVelocity:
    """`model(x, time_scale · t, y=None)` that gives E[ε − x_0 | x_t] on the straight path of `interpolant`."""

    mixture: GaussianMixture
    time_scale: float = 1000.0

    def __call__(self, x: Tensor, t: Tensor, y: Tensor | None = None) -> Tensor:
        """The mean velocity at x [B, *shape] and the scaled times t [B]."""
        time = t.to(x) / self.time_scale
        x0, _ = self.mixture.posterior(x, 1 - time, time, y)
        return self.mixture.eps(x, 1 - time, time, y) - x0


def random_mixture(components: int, shape: tuple[int, ...], seed: int = 0, spread: float = 0.5) -> GaussianMixture:
    """A mixture with means uniform in ±spread and standard deviations uniform in [0.05, 0.2]."""
    draw = generator(seed, "mixture")
    means = (torch.rand(components, *shape, generator=draw, dtype=torch.float64) * 2 - 1) * spread
    deviations = 0.05 + 0.15 * torch.rand(components, *(1,) * len(shape), generator=draw, dtype=torch.float64)
    return GaussianMixture(means, deviations**2)


def _like(value: float | Tensor, x: Tensor) -> Tensor:
    """A number, or one for each sample, as a tensor that multiplies x."""
    return torch.as_tensor(value, dtype=x.dtype, device=x.device).reshape(-1, *(1,) * (x.ndim - 1))
