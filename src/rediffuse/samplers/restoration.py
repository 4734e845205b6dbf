"""Restoration with an unconditional model: inpainting, super-resolution, denoising, and the PSNR that judges them.

None of it needs training: what is known of the image is imposed during sampling.
"""

import itertools
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from rediffuse.errors import UserError
from rediffuse.samplers.ancestral import ancestral, ancestral_step
from rediffuse.samplers.ddim import ddim_step
from rediffuse.samplers.interfaces import Callback, DenoiserLike, NoiseSource
from rediffuse.samplers.levels import alpha_bar_levels, check_eta, noise_to_signal
from rediffuse.samplers.partial import sample_from


def psnr(x: Tensor, reference: Tensor, *, data_range: float = 2.0) -> Tensor:
    """Peak signal-to-noise ratio of each image in dB: 10 log10(data_range^2 / mean squared error), [B], float64.

    `x`, `reference`: [B, C, H, W]; data_range is 2 for images in [-1, 1]. Equal images give infinity.
    """
    mse = (x.double() - reference.double()).square().flatten(1).mean(1)
    return 10 * torch.log10(data_range**2 / mse)


def repaint_times(steps: int, *, jump: int = 1, resamples: int = 1) -> list[int]:
    """The walk over t of RePaint (Lugmayr et al. 2022, arXiv:2201.09865, appendix B), from steps - 1 down to -1.

    Every `jump` steps the walk goes back up by `jump` and down again, until each stretch has been walked `resamples`
    times.
    """
    if jump < 1 or resamples < 1:
        raise UserError(f"jump = {jump} and resamples = {resamples} must both be at least 1")
    left = dict.fromkeys(range(0, steps - jump, jump), resamples - 1)
    t, times = steps - 1, [steps - 1]
    while t > 0:
        t -= 1
        times.append(t)
        if left.get(t, 0) > 0:
            left[t] -= 1
            times.extend(range(t + 1, t + jump + 1))
            t += jump
    return [*times, -1]


@torch.no_grad()
def inpaint(
    denoiser: DenoiserLike,
    noise: NoiseSource,
    image: Tensor,
    mask: Tensor,
    *,
    jump: int = 1,
    resamples: int = 1,
    callback: Callback | None = None,
) -> Tensor:
    """Fill in what `mask` leaves out, by RePaint (Lugmayr et al. 2022, arXiv:2201.09865, Algorithm 1).

    At every step the known part is drawn from q(x_{t-1} | image) and the rest by ancestral sampling; with `resamples` >
    1 x_{t-1} is diffused forward again and the stretch repeated, so that the two parts come to agree. One resample is
    plain replacement. `image`: [B, C, H, W]; `mask`: broadcastable to it, 1 where the image is known, 0 where it is
    not. Network evaluations: one for every downward move of `repaint_times`. Returns [B, C, H, W], equal to `image`
    where the mask is 1.
    """
    levels = alpha_bar_levels(denoiser.process)
    known = mask.to(dtype=image.dtype, device=image.device)
    times = repaint_times(denoiser.process.num_timesteps, jump=jump, resamples=resamples)
    x = noise.initial()
    draws = steps = 0
    for t, target in itertools.pairwise(times):
        if target > t:
            beta = 1 - levels[target + 1] / levels[t + 1]
            x = (1 - beta) ** 0.5 * x + beta**0.5 * noise.step(draws)
            draws += 1
            continue
        denoised = denoiser(x, t)
        if callback is not None:
            callback(steps, t, x, denoised)
        steps += 1
        if target < 0:
            return known * image + (1 - known) * denoised.mean
        x = ancestral_step(denoised.mean, denoised.log_variance, noise.step(draws))
        level = levels[target + 1]
        x = known * (level**0.5 * image + (1 - level) ** 0.5 * noise.step(draws + 1)) + (1 - known) * x
        draws += 2
    return x


@torch.no_grad()
def null_space_sample(
    denoiser: DenoiserLike,
    noise: NoiseSource,
    project: Callable[[Tensor], Tensor],
    *,
    eta: float = 1.0,
    callback: Callback | None = None,
) -> Tensor:
    """Sample images that agree with a linear measurement: DDNM (Wang, Yu & Zhang 2023, arXiv:2212.00490, Algorithm 1).

    `project(x0) = pinv(A) y + x0 - pinv(A) A x0` replaces the measured part of each estimate of x0 by the measurement y
    (eq. 13); the step is DDIM's from the projected x0 and the eps that belongs to it, which for eta = 1 is the paper's
    posterior draw (eq. 14). Network evaluations: one a step. Returns [B, C, H, W] with A x = y.
    """
    check_eta(eta)
    levels = alpha_bar_levels(denoiser.process)
    x = noise.initial()
    for k, t in enumerate(reversed(range(denoiser.process.num_timesteps))):
        denoised = denoiser(x, t)
        x0 = project(denoised.x0)
        level = levels[t + 1]
        eps = (x - level**0.5 * x0) / (1 - level) ** 0.5
        if callback is not None:
            callback(k, t, x, denoised._replace(x0=x0, eps=eps))
        drawn = noise.step(k) if eta > 0 and t > 0 else None
        x = ddim_step(x0, eps, level, levels[t], eta=eta, noise=drawn)
    return x


def downsample(x: Tensor, factor: int = 2) -> Tensor:
    """Mean of every factor x factor block, [B, C, H, W] -> [B, C, H / factor, W / factor]; both must divide."""
    if x.shape[-1] % factor or x.shape[-2] % factor:
        raise UserError(f"images of {x.shape[-2]}x{x.shape[-1]} pixels do not divide into {factor}x{factor} blocks")
    return F.avg_pool2d(x, factor)


def upsample(x: Tensor, factor: int = 2) -> Tensor:
    """Every pixel as a factor x factor block: the pseudo-inverse of `downsample`."""
    return x.repeat_interleave(factor, dim=-1).repeat_interleave(factor, dim=-2)


def super_resolve(
    denoiser: DenoiserLike,
    noise: NoiseSource,
    low: Tensor,
    *,
    factor: int = 2,
    eta: float = 1.0,
    callback: Callback | None = None,
) -> Tensor:
    """Images whose block means are `low` ([B, C, H / factor, W / factor]), by DDNM. Returns [B, C, H, W]."""

    def project(x0: Tensor) -> Tensor:
        return x0 + upsample(low - downsample(x0, factor), factor)

    return null_space_sample(denoiser, noise, project, eta=eta, callback=callback)


def matching_timestep(denoiser: DenoiserLike, sigma: float) -> int:
    """The t at which x_t / sqrt(abar) = x0 + sigma_t eps has a sigma_t nearest to `sigma`, by logarithm."""
    if sigma <= 0:
        raise UserError(
            f"sigma = {sigma} is not possible: the noise level must be positive (in units where pixels span [-1, 1])"
        )
    return int((noise_to_signal(denoiser.process.alphas_bar).log() - torch.tensor(sigma).double().log()).abs().argmin())


@torch.no_grad()
def denoise(denoiser: DenoiserLike, noisy: Tensor, sigma: float) -> Tensor:
    """Remove white noise: the model's own E[x0 | x_t] in one evaluation, at the step whose noise level matches.

    `noisy` = image + sigma * white noise, [B, C, H, W] with the image in [-1, 1]; sqrt(abar) times it is x_t of the
    matching step. The posterior mean has the highest PSNR that any estimate can have; `denoise_by_sampling` gives
    sharper images.
    """
    t = matching_timestep(denoiser, sigma)
    return denoiser(float(denoiser.process.alphas_bar[t]) ** 0.5 * noisy, t).x0


def denoise_by_sampling(
    denoiser: DenoiserLike,
    noisy: Tensor,
    sigma: float,
    noise: NoiseSource,
    *,
    run: Callable[..., Tensor] = ancestral,
) -> Tensor:
    """Remove white noise by sampling from p(x0 | x_t), from the step whose noise level matches: sharp, and of lower
    PSNR than `denoise`.

    Arguments as for `denoise`; `run` is any sampler over a denoiser. Returns [B, C, H, W].
    """
    t = matching_timestep(denoiser, sigma)
    return sample_from(denoiser, float(denoiser.process.alphas_bar[t]) ** 0.5 * noisy, t, noise, run=run)
