"""What learners share whose history is the mean of a few numbers a step."""

import math
from typing import Any

import torch
from torch import Tensor, nn

from rediffuse.training.history import Row


class Means:
    """The numbers of each step since the last row; `losses` takes a step and names them."""

    held_out = None

    def __init__(self, device: str | torch.device) -> None:
        self.device = torch.device(device)
        self.interval: list[dict[str, float]] = []

    @property
    def identity(self) -> str:
        """What it minimises."""
        return type(self).__name__

    def losses(self, step: int) -> dict[str, Tensor]:
        """Take step 0, 1, ...; losses and gradient norms by name."""
        raise NotImplementedError

    def step(self, step: int) -> None:
        """Take a step and note its numbers; reading them waits for an accelerator."""
        self.interval.append({name: float(value) for name, value in self.losses(step).items()})

    def first_bad_step(self) -> tuple[int, str, float] | None:
        """See `rediffuse.training.loop.Learner`."""
        for index, numbers in enumerate(self.interval):
            for name, value in numbers.items():
                if not math.isfinite(value):
                    return index, name, value
        return None

    def row(self, step: int) -> Row:
        """The means of the interval; then the next one starts."""
        count = len(self.interval)
        means = {name: math.fsum(part[name] for part in self.interval) / count for name in self.interval[0]}
        self.interval = []
        return {"step": step, **means}

    def held_out_loss(self, network: nn.Module) -> float:
        """These learners hold nothing out."""
        raise NotImplementedError

    def state_dict(self) -> dict[str, Any]:
        """The numbers noted so far."""
        return {"interval": self.interval}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take up a state of `state_dict`."""
        self.interval = state["interval"]
