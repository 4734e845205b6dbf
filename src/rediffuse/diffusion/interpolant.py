"""Stochastic interpolants on the straight path: rectified flow and flow matching.

x_t = (1 − t) x_0 + t ε for t ∈ [0, 1]: t = 0 is data and t = 1 is noise, the direction of diffusion. The network learns
the velocity dx_t/dt = ε − x_0; sampling integrates it from t = 1 down to 0. (Lipman et al. 2023, Liu et al. 2023 and
Albergo et al. 2023 run time the other way: their u is −(ε − x_0).) Times are floats; a network built for diffusion
steps is given `TIME_SCALE` · t, which fills the range its sinusoids were made for.
"""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from rediffuse.diffusion.denoiser import Model
from rediffuse.diffusion.gaussian import mean_flat
from rediffuse.diffusion.objectives import Losses
from rediffuse.diffusion.process import DiffusionProcess
from rediffuse.errors import UserError

TIME_SCALE = 1000.0
TIME_DISTRIBUTIONS: tuple[str, ...] = ("uniform", "logit-normal")


def interpolate(x0: Tensor, noise: Tensor, t: float | Tensor) -> Tensor:
    """x_t = (1 − t) x_0 + t ε. t is a number in [0, 1], or a tensor [B]."""
    time = _like(t, x0)
    return (1 - time) * x0 + time * noise


def path_velocity(x0: Tensor, noise: Tensor) -> Tensor:
    """dx_t/dt = ε − x_0, the same at every t."""
    return noise - x0


def to_x0_and_noise(xt: Tensor, velocity: Tensor, t: float | Tensor) -> tuple[Tensor, Tensor]:
    """(x_0, ε) from x_t and the velocity: x_0 = x_t − t u, ε = x_t + (1 − t) u."""
    time = _like(t, xt)
    return xt - time * velocity, xt + (1 - time) * velocity


@dataclass(frozen=True, eq=False)
class VelocityField:
    """A network read as a velocity: field(x [B, C, …], t) -> u of x's shape and dtype; t a number or a tensor [B].

    Attributes:
        model: model(x, time_scale · t [B], y); gives [B, C, …].
        labels: int64 [B], or None.
    """

    model: Model
    labels: Tensor | None = None
    time_scale: float = TIME_SCALE

    def with_labels(self, labels: Tensor | None) -> "VelocityField":
        """The same field for a batch of other classes."""
        return replace(self, labels=labels)

    def __call__(self, x: Tensor, t: float | Tensor) -> Tensor:
        """The velocity at x [B, C, …] and time t ∈ [0, 1], a number or a tensor [B]."""
        times = torch.as_tensor(t, dtype=x.dtype, device=x.device).expand(len(x)) * self.time_scale
        output = self.model(x, times) if self.labels is None else self.model(x, times, self.labels)
        if output.shape != x.shape:
            raise UserError(f"the model gave {tuple(output.shape)} for {tuple(x.shape)}; a velocity has x's shape")
        return output.to(x.dtype)


def draw_times(batch_size: int, generator: torch.Generator, distribution: str = "uniform") -> Tensor:
    """Times for training, float64 [B] in (0, 1), on the CPU.

    "uniform", or "logit-normal", the logistic function of a standard normal (Esser et al. 2024, §3.1).
    """
    if distribution == "uniform":
        # Midpoints of a fine grid: never exactly 0 or 1, where one of x_0 and ε is not determined.
        return (torch.rand(batch_size, generator=generator, dtype=torch.float64) + 2.0**-54).clamp(max=1 - 2.0**-53)
    if distribution == "logit-normal":
        return torch.sigmoid(torch.randn(batch_size, generator=generator, dtype=torch.float64))
    raise UserError(f"unknown distribution {distribution!r}; choose one of {', '.join(TIME_DISTRIBUTIONS)}")


def interpolant_losses(
    model: Model,
    x0: Tensor,
    t: Tensor,
    noise: Tensor,
    *,
    y: Tensor | None = None,
    loss: str = "simple",
    time_scale: float = TIME_SCALE,
) -> Losses:
    """The velocity objective E‖u − (ε − x_0)‖², each [B] and a mean over dimensions.

    Args:
        x0, noise: [B, C, …].
        t: float [B] in [0, 1].
        loss: "simple" (squared) or "l1".
    """
    if loss not in ("simple", "l1"):
        raise UserError(f"unknown loss {loss!r} for an interpolant; choose simple or l1")
    field = VelocityField(model, y, time_scale)
    error = path_velocity(x0, noise) - field(interpolate(x0, noise, t), t)
    mse = mean_flat(error**2)
    return Losses(mean_flat(error.abs()) if loss == "l1" else mse, mse, None)


@dataclass(frozen=True)
class InterpolantObjective:
    """The velocity objective for a trainer that draws whole time steps: step t of T is the time (t + ½)/T.

    With T = 1000 the network sees the times of a diffusion of as many steps. `loss`: "simple" or "l1".
    """

    loss: str = "simple"
    has_vlb = False

    def losses(
        self, model: Model, process: DiffusionProcess, x0: Tensor, t: Tensor, noise: Tensor, y: Tensor | None = None
    ) -> Losses:
        """The losses of a batch, each [B]. Of `process` only the number of steps counts; t: int64 [B]."""
        time = (t.to(x0.dtype) + 0.5) / process.num_timesteps
        return interpolant_losses(model, x0, time, noise, y=y, loss=self.loss)


def _like(t: float | Tensor, x: Tensor) -> float | Tensor:
    return t.to(x).reshape(-1, *(1,) * (x.ndim - 1)) if isinstance(t, Tensor) else t
