"""Sampling from part of the way: from a given x_t, or from an image that is noised again (SDEdit)."""

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from rediffuse.errors import UserError
from rediffuse.samplers.ancestral import ancestral
from rediffuse.samplers.interfaces import DenoiserLike, NoiseSource, over


@dataclass(frozen=True)
class StartFrom:
    """A noise source whose x_T is a given tensor; the draws of the steps are those of `noise`."""

    x: Tensor
    noise: NoiseSource

    def initial(self) -> Tensor:
        """The given x, [B, C, H, W]."""
        return self.x

    def step(self, k: int) -> Tensor:
        """Draw number k of `noise`, [B, C, H, W]."""
        return self.noise.step(k)


def sample_from(
    denoiser: DenoiserLike, xt: Tensor, t: int, noise: NoiseSource, *, run: Callable[..., Tensor] = ancestral
) -> Tensor:
    """Sample x0 from x_t: `run` over the steps t, t - 1, ..., 0 of the denoiser's process.

    `xt`: [B, C, H, W] at step t, 0 <= t < num_timesteps; `run`: any sampler over a denoiser. Returns [B, C, H, W].
    """
    if not 0 <= t < denoiser.process.num_timesteps:
        raise UserError(f"t = {t} is not a step of this process: 0 to {denoiser.process.num_timesteps - 1}")
    return run(over(denoiser, denoiser.process.respace(range(t + 1))), StartFrom(xt, noise))


def renoise(
    denoiser: DenoiserLike, image: Tensor, t: int, noise: NoiseSource, *, run: Callable[..., Tensor] = ancestral
) -> Tensor:
    """Variations of an image: diffuse it to step t with `noise.initial()` and sample back (SDEdit, Meng et al. 2022,
    arXiv:2108.01073).

    The larger t, the further they stray. `image`: [B, C, H, W] in [-1, 1]. Returns [B, C, H, W].
    """
    return sample_from(denoiser, denoiser.process.q_sample(image, t, noise.initial()), t, noise, run=run)
