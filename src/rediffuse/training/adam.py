"""Adam (Kingma & Ba 2015) in one fused call for all parameters."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.optim.adam import adam


class Adam:
    """What `torch.optim.Adam(fused=True)` does, with the state in plain lists.

    `torch.optim.Adam` itself imports torch's compiler when it is built, seconds in every process, and spends more
    time on hooks and groups than a small network's update takes.
    """

    def __init__(self, parameters: Sequence[Tensor], betas: tuple[float, float], eps: float = 1e-8) -> None:
        self.parameters, self.betas, self.eps = list(parameters), betas, eps
        self.means = [torch.zeros_like(p) for p in self.parameters]
        self.squares = [torch.zeros_like(p) for p in self.parameters]
        self.steps = [torch.zeros((), dtype=torch.float32, device=p.device) for p in self.parameters]

    @torch.no_grad()
    def step(self, learning_rate: float) -> None:
        """Update every parameter that has a gradient, and forget the gradients."""
        chosen = [index for index, p in enumerate(self.parameters) if p.grad is not None]
        adam(
            [self.parameters[i] for i in chosen],
            [p.grad for i in chosen if (p := self.parameters[i]).grad is not None],
            [self.means[i] for i in chosen],
            [self.squares[i] for i in chosen],
            [],
            [self.steps[i] for i in chosen],
            fused=True,
            amsgrad=False,
            beta1=self.betas[0],
            beta2=self.betas[1],
            lr=learning_rate,
            weight_decay=0.0,
            eps=self.eps,
            maximize=False,
        )
        for parameter in self.parameters:
            parameter.grad = None

    def state_dict(self) -> dict[str, list[Tensor]]:
        """First and second moments and step counts, in the order of the parameters."""
        return {"means": self.means, "squares": self.squares, "steps": self.steps}

    @torch.no_grad()
    def load_state_dict(self, state: dict[str, list[Tensor]]) -> None:
        """Take up a state of `state_dict`."""
        for name, values in state.items():
            for mine, value in zip(getattr(self, name), values, strict=True):
                mine.copy_(value)
