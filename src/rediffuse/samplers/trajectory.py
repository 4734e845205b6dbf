"""A callback that keeps x_t and the estimate of x0 along the way, for film strips and for quality along the steps."""

from collections.abc import Iterable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from rediffuse.diffusion.denoiser import Denoised
from rediffuse.errors import UserError


def evenly(frames: int, steps: int) -> list[int]:
    """`frames` step numbers of 0 .. steps - 1, first and last included, as evenly spread as integers allow."""
    if not 1 <= frames <= steps:
        raise UserError(f"{frames} frames cannot be taken from {steps} steps: ask for 1 to {steps}")
    if frames == 1:
        return [steps - 1]
    return [round(i * (steps - 1) / (frames - 1)) for i in range(frames)]


@dataclass
class Trajectory:
    """Pass one as `callback`; afterwards `strip(i)` is the film strip of image i.

    `keep`: the step numbers k to record (`evenly(10, steps)`, say); None records every step. `images`: how many images
    of the batch to record, None for all. What is kept lies on the CPU in the sampler's dtype, so memory is
    2 x kept steps x images.
    """

    keep: Iterable[int] | None = None
    images: int | None = None
    t: list[float] = field(default_factory=list, init=False)
    x: list[Tensor] = field(default_factory=list, init=False)
    x0: list[Tensor] = field(default_factory=list, init=False)

    def __post_init__(self) -> None:
        self._keep = None if self.keep is None else frozenset(self.keep)

    def __call__(self, k: int, t: float, x: Tensor, denoised: Denoised) -> None:
        """Record step k: x = x_t as it was before the step, and the estimate of x0 made from it."""
        if self._keep is None or k in self._keep:
            self.t.append(t)
            self.x.append(x[: self.images].detach().cpu().clone())
            self.x0.append(denoised.x0[: self.images].detach().cpu().clone())

    def strip(self, image: int) -> Tensor:
        """x_t (row 0) and the estimate of x0 (row 1) of one image, noisiest first: [2, frames, C, H, W]."""
        return torch.stack([torch.stack([x[image] for x in row]) for row in (self.x, self.x0)])
