"""The documents' mistakes of sampling, as samplers: (denoiser of all T steps, steps, noise) -> x0. None is right.

Each is as its document writes it in the place that is wrong, and the library's in all else. In three of them the place
holds a second mistake, which the docstring shows (`range_swapped`, `full_direction`, `lower_clip`).
"""

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from rediffuse.corrections.right import respaced
from rediffuse.diffusion.denoiser import Denoised, Denoiser, split_output
from rediffuse.diffusion.process import DiffusionProcess
from rediffuse.diffusion.schedules import betas_for_alpha_bar, cosine_alpha_bar, make_betas
from rediffuse.samplers.ancestral import ancestral
from rediffuse.samplers.interfaces import NoiseSource

#: (estimates at x_t, x_t, t, noise) -> x_{t−1}.
Step = Callable[[Denoised, Tensor, int, Tensor], Tensor]


def walk(denoiser: Denoiser, noise: NoiseSource, step: Step) -> Tensor:
    """Steps from the last t to 0, where the noise is 0, as all documents have it."""
    x = noise.initial()
    for k, t in enumerate(reversed(range(denoiser.process.num_timesteps))):
        x = step(denoiser(x, t), x, t, noise.step(k) if t > 0 else torch.zeros_like(x))
    return x


def alpha_bar_prev(denoiser: Denoiser, steps: int, noise: NoiseSource) -> Tensor:
    """D3, figure 4: ᾱ_prev is ᾱ with its first value overwritten by 1, so that β̃ becomes β for t ≥ 1."""
    denoiser = respaced(denoiser, steps)
    p = denoiser.process
    prev = torch.cat([torch.ones(1, dtype=torch.float64), p.alphas_bar[1:]])
    std = (p.betas * (1 - prev) / (1 - p.alphas_bar)).sqrt()
    return walk(denoiser, noise, lambda found, x, t, z: found.mean + std[t] * z)


def sigma_is_beta(denoiser: Denoiser, steps: int, noise: NoiseSource) -> Tensor:
    """D4, section 3.5.1: the standard deviation of a step is β_t."""
    denoiser = respaced(denoiser, steps)
    return walk(denoiser, noise, lambda found, x, t, z: found.mean + denoiser.process.betas[t] * z)


def noise_subtracted(denoiser: Denoiser, steps: int, noise: NoiseSource) -> Tensor:
    """D2, section 2.6.2 in words: x_t less the weighted noise; no 1/√α_t, no σ_t z."""
    denoiser = respaced(denoiser, steps)
    p = denoiser.process
    weight = (1 - p.alphas) / (1 - p.alphas_bar).sqrt()
    return walk(denoiser, noise, lambda found, x, t, z: x - weight[t] * found.eps)


def noise_off(denoiser: Denoiser, steps: int, noise: NoiseSource) -> Tensor:
    """D4, section 3.5.2 in words: σ_t = 0 in the ancestral step, called DDIM."""
    return walk(respaced(denoiser, steps), noise, lambda found, x, t, z: found.mean)


def eta_not_squared(denoiser: Denoiser, steps: int, noise: NoiseSource) -> Tensor:
    """D4, section 3.5.2: the variance is η β̃ (η = ½); the direction term fits it."""
    denoiser = respaced(denoiser, steps)
    p = denoiser.process
    variance = 0.5 * p.posterior_variance
    return walk(
        denoiser,
        noise,
        lambda found, x, t, z: (
            p.alphas_bar_prev[t].sqrt() * found.x0
            + (1 - p.alphas_bar_prev[t] - variance[t]).sqrt() * found.eps
            + variance[t].sqrt() * z
        ),
    )


def full_direction(denoiser: Denoiser, steps: int, noise: NoiseSource) -> Tensor:
    """D4, section 3.5.2, its code: noise of variance η β̃ on top of √(1 − ᾱ_prev) ε (η = ½)."""
    denoiser = respaced(denoiser, steps)
    p = denoiser.process
    return walk(
        denoiser,
        noise,
        lambda found, x, t, z: (
            p.alphas_bar_prev[t].sqrt() * found.x0
            + (1 - p.alphas_bar_prev[t]).sqrt() * found.eps
            + (0.5 * p.posterior_variance[t]).sqrt() * z
        ),
    )


def t_prev_above_0(denoiser: Denoiser, steps: int, noise: NoiseSource) -> Tensor:
    """D4, section 3.7.4: noise only where t_prev > 0, so none in the step to t = 0 (η = 1)."""
    denoiser = respaced(denoiser, steps)
    std = denoiser.process.posterior_variance.sqrt()
    return walk(denoiser, noise, lambda found, x, t, z: found.mean + (std[t] * z if t - 1 > 0 else 0))


def stale_noise(denoiser: Denoiser, steps: int, noise: NoiseSource) -> Tensor:
    """D4, exercise 3.7: x̂₀ is clamped, and the direction still uses the network's ε (η = 0)."""
    denoiser = replace(respaced(denoiser, steps), clip=False)
    prev = denoiser.process.alphas_bar_prev
    return walk(
        denoiser,
        noise,
        lambda found, x, t, z: prev[t].sqrt() * found.x0.clamp(-1, 1) + (1 - prev[t]).sqrt() * found.eps,
    )


def wrapped_index(denoiser: Denoiser, steps: int, noise: NoiseSource) -> Tensor:
    """D4, exercise 3.3: ᾱ_prev is ᾱ[t − 1], at t = 0 the last entry of the table."""
    denoiser = respaced(denoiser, steps)
    p = denoiser.process
    std = p.posterior_variance.sqrt()

    def step(found: Denoised, x: Tensor, t: int, z: Tensor) -> Tensor:
        prev, rest = p.alphas_bar[t - 1], 1 - p.alphas_bar[t]
        mean = prev.sqrt() * p.betas[t] / rest * found.x0 + p.alphas[t].sqrt() * (1 - prev) / rest * x
        return mean + std[t] * z

    return walk(denoiser, noise, step)


def schedule_rebuilt(denoiser: Denoiser, steps: int, noise: NoiseSource) -> Tensor:
    """D4, sections 3.5.1 and 3.5.3: β rises from 1e-4 to 0.02 over `steps` steps,
    and the network is told 0 … steps − 1.
    """
    process = DiffusionProcess(make_betas("linear", steps, beta_start=1e-4, beta_end=0.02))
    return ancestral(replace(denoiser, process=process, variance="fixed-small"), noise)


def schedule_cut(denoiser: Denoiser, steps: int, noise: NoiseSource) -> Tensor:
    """D4, section 3.7.2: the number of steps is overwritten, so that sampling begins at t = steps − 1,
    in pure noise.
    """
    process = DiffusionProcess(denoiser.process.betas[:steps])
    return ancestral(replace(denoiser, process=process, variance="fixed-small"), noise)


def range_swapped(denoiser: Denoiser, steps: int, noise: NoiseSource) -> Tensor:
    """D4, section 3.3.3: log σ² = v log β̃ + (1 − v) log β with v the output itself."""
    denoiser = respaced(denoiser, steps)
    p = denoiser.process
    x = noise.initial()
    for k, t in enumerate(reversed(range(p.num_timesteps))):
        output = denoiser.model(x, p.model_time(t, x))
        _, v = split_output(output, x, "learned-range")
        assert v is not None
        log_variance = v * p.posterior_log_variance_clipped[t] + (1 - v) * p.betas[t].log()
        x = denoiser.interpret(output, x, t).mean + ((0.5 * log_variance).exp() * noise.step(k) if t > 0 else 0)
    return x


def lower_clip(denoiser: Denoiser, steps: int, noise: NoiseSource) -> Tensor:
    """D4, section 3.2.3: cosine betas are clipped to [1e-4, 0.9999]."""
    betas = betas_for_alpha_bar(denoiser.process.num_timesteps, cosine_alpha_bar, 0.9999).clamp(min=1e-4)
    return ancestral(respaced(replace(denoiser, process=DiffusionProcess(betas)), steps), noise)
