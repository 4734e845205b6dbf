"""The library's own samplers, called as the mistaken ones are: (denoiser of all T steps, steps, noise) -> x0."""

from dataclasses import replace

from torch import Tensor

from rediffuse.diffusion.denoiser import Denoiser
from rediffuse.diffusion.schedules import respaced_timesteps
from rediffuse.samplers.ancestral import ancestral
from rediffuse.samplers.ddim import ddim
from rediffuse.samplers.interfaces import NoiseSource


def respaced(denoiser: Denoiser, steps: int) -> Denoiser:
    """The denoiser over `steps` of its steps, evenly spread."""
    process = denoiser.process
    return replace(denoiser, process=process.respace(respaced_timesteps(process.num_timesteps, steps)))


def beta(denoiser: Denoiser, steps: int, noise: NoiseSource) -> Tensor:
    """Ancestral sampling with σ² = β."""
    return ancestral(replace(respaced(denoiser, steps), variance="fixed-large"), noise)


def beta_tilde(denoiser: Denoiser, steps: int, noise: NoiseSource) -> Tensor:
    """Ancestral sampling with σ² = β̃, which is DDIM with η = 1."""
    return ancestral(replace(respaced(denoiser, steps), variance="fixed-small"), noise)


def as_trained(denoiser: Denoiser, steps: int, noise: NoiseSource) -> Tensor:
    """Ancestral sampling with the variance of training."""
    return ancestral(respaced(denoiser, steps), noise)


def eta_zero(denoiser: Denoiser, steps: int, noise: NoiseSource) -> Tensor:
    """DDIM without noise."""
    return ddim(respaced(denoiser, steps), noise)


def eta_half(denoiser: Denoiser, steps: int, noise: NoiseSource) -> Tensor:
    """DDIM with η = ½."""
    return ddim(respaced(denoiser, steps), noise, eta=0.5)
