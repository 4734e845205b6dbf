"""What the trainer asks of an objective."""

from dataclasses import Field
from typing import Any, ClassVar, Protocol

from torch import Tensor

from rediffuse.diffusion.denoiser import Model
from rediffuse.diffusion.objectives import Losses
from rediffuse.diffusion.process import DiffusionProcess


class TrainingObjective(Protocol):
    """A dataclass whose fields say all about it: `Objective`, `InterpolantObjective`, or one of your own."""

    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]

    @property
    def has_vlb(self) -> bool:
        """Whether its losses come with the bound's term."""
        ...

    def losses(
        self, model: Model, process: DiffusionProcess, x0: Tensor, t: Tensor, noise: Tensor, y: Tensor | None = None
    ) -> Losses:
        """Losses of a batch, each [B]: x0 and noise [B, C, H, W], t int64 [B] in 0 .. T - 1, y int64 [B] or None.

        On a GPU a step is recorded (`replay.Replayed`): one that looks at values there (`.item()`, a mask as an index)
        is not, and is slower.
        """
        ...
