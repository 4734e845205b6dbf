"""What is diagnosed: a network with all that is said of it, and the images it was made for."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

from rediffuse.diffusion.pixels import to_unit_range
from rediffuse.diffusion.process import DiffusionProcess

Kind = Literal["averaged", "raw", "unknown"]


@dataclass(frozen=True, eq=False)
class Pictures:
    """Real images, uint8 [N, C, H, W], and their labels int64 [N] or None."""

    images: np.ndarray
    labels: np.ndarray | None = None

    def first(self, count: int) -> "Pictures":
        """The first `count` of them."""
        return Pictures(self.images[:count], None if self.labels is None else self.labels[:count])

    def tensor(self) -> Tensor:
        """float32 in [−1, 1]."""
        return to_unit_range(torch.from_numpy(np.ascontiguousarray(self.images)))


@dataclass(frozen=True)
class Averaging:
    """What is known of the average of the weights.

    kind: which these weights are; other: the other ones of the same training by name, where they are there; kept: the
    share of the first, random weights that is still in the average, which follows from decay and steps.
    """

    kind: Kind = "unknown"
    other: Mapping[str, Tensor] | None = None
    kept: float | None = None
    note: str = ""


@dataclass(frozen=True, eq=False)
class Subject:
    """A network to be diagnosed.

    name: in words; network: called as `diffusion.denoiser.Model`, None where its weights are no numbers; state: its
    weights by name; process, prediction, variance, clip: how it is said to be used; classes: how many it is told of, 0
    for none; training, held_out: images it was, and was not, trained on, in a shuffle of their own; notes: what was
    understood, in words.
    """

    name: str
    network: nn.Module | None
    state: Mapping[str, Tensor]
    process: DiffusionProcess
    prediction: str
    variance: str
    clip: bool
    classes: int
    training: Pictures
    held_out: Pictures | None
    averaging: Averaging = field(default_factory=Averaging)
    device: str = "cpu"
    notes: tuple[str, ...] = ()


def kept_of_first(decay: float, steps: int, warmup: bool) -> float:
    """The share of the first weights in an average after so many updates (`training.ema`):
    the product of its decays.
    """
    if not warmup:
        return decay**steps
    t = np.arange(steps)
    return float(np.prod(np.minimum(decay, (1 + t) / (10 + t))))
