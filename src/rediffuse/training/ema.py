"""Exponential moving average of a network's weights."""

import copy

import torch
from torch import Tensor, nn


class ExponentialMovingAverage:
    """A copy of the network, `model`, whose weights follow the original's: w' = decay * w' + (1 - decay) * w.

    With `warmup` the decay of update t = 0, 1, ... is min(decay, (1 + t) / (10 + t)): the first weights, which are
    random, are then forgotten in a few dozen steps instead of in a few times 1 / (1 - decay). A decay of 0 makes
    `model` a plain copy.
    """

    def __init__(self, model: nn.Module, decay: float, *, warmup: bool = False) -> None:
        self.decay, self.warmup, self.updates = decay, warmup, 0
        self.model = copy.deepcopy(model).eval().requires_grad_(False)
        self._averages: list[Tensor] = list(self.model.parameters())
        self._weights: list[Tensor] = list(model.parameters())
        self._buffers = list(zip(self.model.buffers(), model.buffers(), strict=True))

    @torch.no_grad()
    def update(self) -> None:
        """Follow the weights by one step; buffers are copied."""
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates)) if self.warmup else self.decay
        torch._foreach_lerp_(self._averages, self._weights, 1.0 - decay)
        for mine, theirs in self._buffers:
            mine.copy_(theirs)
        self.updates += 1
