"""A denoiser that several processes train together: PyTorch's DistributedDataParallel around the one learner."""

import contextlib
from collections.abc import Callable
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.nn.parallel import DistributedDataParallel

from rediffuse.diffusion.objectives import Losses
from rediffuse.diffusion.randomness import derive_seed
from rediffuse.errors import UserError
from rediffuse.training.denoising import Denoising


class DividedDenoising(Denoising):
    """`Denoising` in each process of torch.distributed's group: what one process does with a batch, to rounding.

    Every process draws the whole batch by (seed, step), images, t, noise and dropped labels, and works on its slice of
    it. Gradients are added up over processes and losses gathered, so that all end a step with the same weights and
    records. Only what dropout layers draw depends on the number of processes.

    Rank 0 is driven by `rediffuse.training.loop.train`, which averages, records and saves; the others `follow` it.

    Args:
        asked: whether this process was asked to end; rank 0 then takes one more step, after which the loop saves, and
            raises KeyboardInterrupt.

    Raises:
        UserError: a batch cannot be shared in equal parts.
    """

    def __init__(self, *args: Any, asked: Callable[[], bool] = lambda: False, **options: Any) -> None:
        super().__init__(*args, **options)
        self.rank, self.size, self.asked = dist.get_rank(), dist.get_world_size(), asked
        if self.config.batch_size % (self.size * self.config.accumulate):
            raise UserError(f"{self.size} processes cannot share batches of {self.config.batch_size} in equal parts")
        self.compiled = self.shared = DistributedDataParallel(self.compiled)
        self.replayed = None
        self.forwards = 0  # of this step
        self.begun = self.last = False

    def follow(self) -> None:
        """Take the steps that rank 0 takes, and keep no record of them."""
        for step in range(self._begin(0), self.config.steps):
            self.step(step)
            self.interval.count = 0

    def step(self, step: int) -> None:
        """See `Denoising.step`; the first one begins where rank 0 is."""
        if self.last:
            raise KeyboardInterrupt
        if self.asked():
            # Frozen for all else: no result follows from how often a training could be taken up again.
            vars(self.config)["checkpoint_every_s"], self.last = 0.0, self.rank == 0
        if not self.begun:
            self._begin(step)
        super().step(step)

    def _begin(self, step: int) -> int:
        """Give all the state of rank 0, which may have taken up a checkpoint; the step that it begins with."""
        self.begun = True
        said = [step, self.timesteps.state_dict()]
        dist.broadcast_object_list(said, device=self.device)
        self.timesteps.load_state_dict(said[1])  # type: ignore[arg-type]
        adam = self.optimizer
        for tensor in (*self.network.state_dict().values(), *adam.means, *adam.squares, *adam.steps):
            dist.broadcast(tensor, 0)
        # DistributedDataParallel lays gradients out anew after its first backward pass, and the order of sums follows:
        # with that pass over, a training that was taken up has the bytes of one that was not.
        images, labels = self.batches(0)
        part = slice(0, self.config.batch_size // self.size // self.config.accumulate)
        self.forwards = self.config.accumulate - 1
        t = torch.zeros(len(images[part]), dtype=torch.int64, device=self.device)
        y = None if labels is None else labels[part]
        losses = self.objective.losses(self._predict, self.process, images[part], t, images[part], y)
        losses.loss.sum().backward()
        for parameter in self.parameters:
            parameter.grad = None
        return int(said[0])  # type: ignore[call-overload]

    def _backward(self, images: Tensor, labels: Tensor | None, t: Tensor, weights: Tensor, noise: Tensor) -> Losses:
        """What `Denoising._backward` does, on this process's slice: the gradient of all,
        and the losses of all images.
        """
        share = self.config.batch_size // self.size
        own = slice(self.rank * share, (self.rank + 1) * share)
        y = None if labels is None else labels[own]
        self.forwards = 0
        # DistributedDataParallel takes the mean over processes, where the sum is wanted.
        losses = super()._backward(images[own], y, t[own], weights[own] * self.size, noise[own])
        mine = torch.stack([part for part in losses if part is not None])
        parts = [torch.empty_like(mine) for _ in range(self.size)]
        dist.all_gather(parts, mine)
        loss, mse, *vlb = torch.cat(parts, dim=1)
        return Losses(loss, mse, vlb[0] if vlb else None)

    def _predict(self, x: Tensor, t: Tensor, y: Tensor | None = None) -> Tensor:
        """As `Denoising._predict`; only the last part of a step exchanges the gradients that have added up."""
        self.forwards += 1
        last = self.forwards == self.config.accumulate
        with contextlib.nullcontext() if last else self.shared.no_sync():
            return super()._predict(x, t, y)

    def _seed_dropout(self, seed: int) -> None:
        super()._seed_dropout(derive_seed(seed, self.rank))
