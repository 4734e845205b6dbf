"""The objective of a noise-conditional classifier, for the trainer that trains denoisers."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from rediffuse.diffusion.denoiser import Model
from rediffuse.diffusion.objectives import Losses
from rediffuse.diffusion.process import DiffusionProcess
from rediffuse.errors import UserError


@dataclass(frozen=True)
class ClassificationObjective:
    """Cross-entropy of the class of x_0 given x_t (Dhariwal & Nichol 2021, section 4), in nats.

    `mse` is the squared error of the probabilities, summed over classes (Brier 1950): 0 is sure and right.
    """

    label_smoothing: float = 0.0

    @property
    def has_vlb(self) -> bool:
        """A classifier bounds no likelihood."""
        return False

    def losses(
        self, model: Model, process: DiffusionProcess, x0: Tensor, t: Tensor, noise: Tensor, y: Tensor | None = None
    ) -> Losses:
        """Losses of a batch, each [B]: x0 and noise [B, C, H, W], t int64 [B], y int64 [B].

        Raises:
            UserError: there are no labels.
        """
        if y is None:
            raise UserError("a classifier cannot be trained without labels; use a data set with classes")
        logits = model(process.q_sample(x0, t, noise), t).float()
        loss = F.cross_entropy(logits, y, reduction="none", label_smoothing=self.label_smoothing)
        error = torch.softmax(logits.detach(), 1) - F.one_hot(y, logits.shape[1])
        return Losses(loss, error.square().sum(1), None)
