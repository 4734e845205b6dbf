"""Noise blended from two sources: variations of one sample.

The temperature of the initial and of the step noise belongs to `SampleNoise` itself.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from rediffuse.diffusion.randomness import SampleNoise, derive_seed
from rediffuse.errors import UserError
from rediffuse.samplers.interfaces import NoiseSource


@dataclass(frozen=True)
class BlendedNoise:
    """sqrt(1 - strength^2) base + strength other, for x_T and every step: Gaussian of the same variance as both.

    `strength` 0 gives the samples of `base`, 1 those of `other`. Raises `UserError` outside [0, 1].
    """

    base: NoiseSource
    other: NoiseSource
    strength: float

    def __post_init__(self) -> None:
        if not 0.0 <= self.strength <= 1.0:
            raise UserError(
                f"strength = {self.strength} is not possible: it lies between 0 (same sample) and 1 (new sample)"
            )

    def initial(self) -> Tensor:
        """x_T, [B, C, H, W]."""
        return self._blend(self.base.initial(), self.other.initial())

    def step(self, k: int) -> Tensor:
        """Draw number k, [B, C, H, W]."""
        return self._blend(self.base.step(k), self.other.step(k))

    def _blend(self, base: Tensor, other: Tensor) -> Tensor:
        return base * (1 - self.strength**2) ** 0.5 + other * self.strength


def variations(
    seed: int,
    index: int,
    count: int,
    shape: tuple[int, ...],
    *,
    strength: float,
    first: int = 0,
    variation_seed: int | None = None,
    **how: Any,
) -> BlendedNoise:
    """Noise for `count` variations of the sample that (`seed`, `index`) gives, from variation `first` on.

    `shape`: [C, H, W] of one image; `how`: dtype, device and temperatures, as of `SampleNoise`. Variation j depends on
    (seed, index, variation_seed, j) and `strength` only; two of them at equal strength differ from each other as much
    as each differs from the sample, times sqrt(2).
    """
    of_sample = torch.full((count,), index, dtype=torch.int64)
    base = SampleNoise(seed, of_sample, shape, **how)
    other_seed = derive_seed(seed, "variation", index, seed if variation_seed is None else variation_seed)
    other = SampleNoise(other_seed, torch.arange(first, first + count), shape, **how)
    return BlendedNoise(base, other, strength)
