"""Batches as a function of (seed, step): the whole data set as uint8 on the device, no worker processes."""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from rediffuse.diffusion.pixels import to_unit_range
from rediffuse.diffusion.randomness import generator
from rediffuse.errors import UserError


class Batch(NamedTuple):
    """Images float32 [B, C, H, W] in [-1, 1] and labels int64 [B], if the data have any."""

    images: Tensor
    labels: Tensor | None


class Batches:
    """The images in a new order each epoch, cut into batches that run on from one epoch into the next.

    Step k sees the images k*B to (k+1)*B - 1 of that endless sequence, so that no image is left out and no batch is
    short; the order of epoch e is a function of (seed, e).

    Args:
        images: uint8 [N, C, H, W].
        labels: int64 [N], or None.
        flip: mirror each image left to right with probability 1/2, by (seed, step).
    """

    def __init__(
        self,
        images: np.ndarray | Tensor,
        labels: np.ndarray | Tensor | None,
        *,
        batch_size: int,
        seed: int,
        flip: bool = False,
        channels_last: bool = False,
        device: str | torch.device = "cpu",
    ) -> None:
        images = torch.as_tensor(images)
        if images.dtype != torch.uint8 or images.ndim != 4 or not len(images):
            raise UserError(
                f"images are {images.dtype} {tuple(images.shape)}; they must be uint8 of shape (N, channels, H, W)"
            )
        if labels is not None and len(labels) != len(images):
            raise UserError(f"there are {len(labels)} labels for {len(images)} images; there must be one an image")
        self.images = images.to(device)
        self.labels = None if labels is None else torch.as_tensor(labels).to(device=device, dtype=torch.int64)
        self.batch_size, self.seed, self.flip, self.channels_last = batch_size, seed, flip, channels_last
        self._orders: dict[int, Tensor] = {}

    def indices(self, step: int) -> Tensor:
        """The images of one step, int64 [B] on the CPU."""
        count = len(self.images)
        start = step * self.batch_size
        first, last = start // count, (start + self.batch_size - 1) // count
        self._orders = {
            epoch: self._orders[epoch] if epoch in self._orders else self._order(epoch)
            for epoch in range(first, last + 1)
        }
        offset = start - first * count
        return torch.cat(list(self._orders.values()))[offset : offset + self.batch_size]

    def _order(self, epoch: int) -> Tensor:
        return torch.randperm(len(self.images), generator=generator(self.seed, "epoch", epoch))

    def __call__(self, step: int) -> Batch:
        """The batch of step 0, 1, ..."""
        index = self.indices(step).to(self.images.device, non_blocking=True)
        pixels = self.images[index]
        if self.flip:
            mirrored = torch.rand(self.batch_size, generator=generator(self.seed, "flip", step)) < 0.5
            mask = mirrored.to(pixels.device, non_blocking=True)[:, None, None, None]
            pixels = torch.where(mask, pixels.flip(-1), pixels)
        labels = None if self.labels is None else self.labels[index]
        return Batch(to_unit_range(pixels, channels_last=self.channels_last), labels)
