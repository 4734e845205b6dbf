"""The loss on images the network is not trained on, always at the same t and with the same noise."""

import numpy as np
import torch
from torch import Tensor, nn

from rediffuse.diffusion.pixels import to_unit_range
from rediffuse.diffusion.process import DiffusionProcess
from rediffuse.diffusion.randomness import counted_normal, generator
from rediffuse.training.objective import TrainingObjective

MOST_IMAGES = 512


class HeldOutLoss:
    """Mean training loss over the first 512 held-out images, image i at the i-th of evenly spread t in random order.

    t and noise depend on the index alone, not on the seed of training: values are comparable between steps and runs.

    Args:
        images: uint8 [N, C, H, W]; labels: int64 [N], or None.
    """

    def __init__(
        self,
        process: DiffusionProcess,
        objective: TrainingObjective,
        images: np.ndarray | Tensor,
        labels: np.ndarray | Tensor | None,
        *,
        batch_size: int,
        device: str | torch.device = "cpu",
    ) -> None:
        self.process, self.objective, self.batch_size = process, objective, batch_size
        chosen = torch.as_tensor(images)[:MOST_IMAGES]
        count = len(chosen)
        self.x0 = to_unit_range(chosen.to(device))
        self.labels = None if labels is None else torch.as_tensor(labels)[:count].to(device=device, dtype=torch.int64)
        order = torch.randperm(count, generator=generator(0, "held-out t"))
        self.t = ((2 * order + 1) * process.num_timesteps // (2 * count)).to(device)
        self.noise = counted_normal(0, torch.arange(count), 0, tuple(chosen.shape[1:]), purpose="held-out").to(device)

    @torch.no_grad()
    def __call__(self, model: nn.Module) -> float:
        """The loss of a network in evaluation mode."""
        total = 0.0
        for start in range(0, len(self.x0), self.batch_size):
            part = slice(start, start + self.batch_size)
            y = None if self.labels is None else self.labels[part]
            losses = self.objective.losses(model, self.process, self.x0[part], self.t[part], self.noise[part], y)
            total += float(losses.loss.double().sum())
        return total / len(self.x0)
