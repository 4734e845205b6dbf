"""A network that predicts the velocity of the straight path, read as a denoiser of a diffusion process.

The path x_t = (1 − t) x_0 + t ε and a process's √ᾱ x_0 + √(1−ᾱ) ε are one thing in other units. With the noise level
σ = √((1−ᾱ)/ᾱ) of the process, x_0 + σ ε divided by 1 + σ is the path's x_t at the time t = σ/(1 + σ). So whatever is
made for denoisers (samplers, restoration) takes a velocity too, and a step of DDIM is one of Euler's
method along the path.
"""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from rediffuse.diffusion.denoiser import Denoised, Model, reverse_variance
from rediffuse.diffusion.interpolant import VelocityField, to_x0_and_noise
from rediffuse.diffusion.predictions import eps_from_x0
from rediffuse.diffusion.process import DiffusionProcess, Time


def straight_process(steps: int) -> DiffusionProcess:
    """The process whose steps are the path's times (i + ½)/steps, i = 0 … steps − 1: those that a velocity is trained
    at (`InterpolantObjective`), of which none is pure noise.
    """
    t = (torch.arange(steps, dtype=torch.float64) + 0.5) / steps
    alphas_bar = (1 - t) ** 2 / ((1 - t) ** 2 + t**2)
    return DiffusionProcess(1 - alphas_bar / torch.cat([alphas_bar.new_ones(1), alphas_bar[:-1]]))


@dataclass(frozen=True, eq=False)
class VelocityDenoiser:
    """`Denoiser` of a velocity: called with x_t [B, C, …] of `process` and a step t of it, it gives `Denoised`.

    Attributes:
        model: a network that predicts ε − x_0, as `VelocityField` takes it.
        process: any process; its noise levels say at which time of the path the network is asked.
        variance: "fixed-large" or "fixed-small", of the reverse step.
        clip: limit x̂_0 to [−1, 1]; ε and the mean follow from the limited x̂_0.
        labels: int64 [B], given to the model as y; None for an unconditional model.
    """

    model: Model
    process: DiffusionProcess
    variance: str = "fixed-small"
    clip: bool = True
    labels: Tensor | None = None

    def with_labels(self, labels: Tensor | None) -> "VelocityDenoiser":
        """The same denoiser for a batch of other classes."""
        return replace(self, labels=labels)

    def __call__(self, x: Tensor, t: Time) -> Denoised:
        """Evaluate the model on x_t [B, C, …] at step t (an int, or int64 [B]) of `process`."""
        level = self.process.at("alphas_bar", t, x)
        sigma = ((1 - level) / level) ** 0.5
        time = sigma / (1 + sigma)
        time = time.flatten() if isinstance(time, Tensor) else time
        on_path = x / (level**0.5 * (1 + sigma))
        x0, eps = to_x0_and_noise(on_path, VelocityField(self.model, self.labels)(on_path, time), time)
        if self.clip:
            x0 = x0.clamp(-1, 1)
            eps = eps_from_x0(self.process, x0, x, t)
        mean = self.process.q_posterior_mean(x0, x, t)
        return Denoised(x0, eps, mean, *reverse_variance(self.process, None, x, t, self.variance))
