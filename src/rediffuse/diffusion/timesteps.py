"""Which t a training step looks at: uniformly, or where the bound's terms are large and noisy."""

from typing import Protocol

import torch
from torch import Tensor

from rediffuse.errors import UserError


class TimestepSampler(Protocol):
    """Draws times and the weights that keep the loss unbiased; its state is plain tensors, to be checkpointed."""

    def sample(self, batch_size: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Times int64 [B] and weights float64 [B], on the CPU: the mean of weight · loss estimates that over all t."""
        ...

    def update(self, t: Tensor, losses: Tensor) -> None:
        """Take note of the unweighted losses [B] found at t [B]."""
        ...

    def state_dict(self) -> dict[str, Tensor]:
        """All it has noted."""
        ...

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Go on from what `state_dict` gave."""
        ...


class UniformTimesteps:
    """Every t with the same probability."""

    def __init__(self, num_timesteps: int) -> None:
        self.num_timesteps = num_timesteps

    def sample(self, batch_size: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Times int64 [B] and weights of 1, float64 [B]."""
        t = torch.randint(self.num_timesteps, (batch_size,), generator=generator)
        return t, torch.ones(batch_size, dtype=torch.float64)

    def update(self, t: Tensor, losses: Tensor) -> None:
        """Nothing to note."""

    def state_dict(self) -> dict[str, Tensor]:
        """Nothing: it has no state."""
        return {}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Nothing to load."""


class LossSecondMoment:
    """t with probability ∝ √E[L_t²], from the last `history` losses at each t (IDDPM, eq. 18 and §3.3).

    Uniform until every t has its history; then mixed with a little of the uniform, so that no t is forgotten.

    Attributes:
        losses: float64 [T, history], the oldest first.
        counts: int64 [T], how many of them are filled.
    """

    def __init__(self, num_timesteps: int, history: int = 10, uniform_probability: float = 0.001) -> None:
        if history < 1 or not 0 <= uniform_probability <= 1:
            raise UserError("history must be at least 1, and uniform_probability within [0, 1]")
        self.num_timesteps = num_timesteps
        self.history = history
        self.uniform_probability = uniform_probability
        self.losses = torch.zeros(num_timesteps, history, dtype=torch.float64)
        self.counts = torch.zeros(num_timesteps, dtype=torch.int64)

    def probabilities(self) -> Tensor:
        """p(t), float64 [T]."""
        if not bool((self.counts == self.history).all()):
            return torch.full((self.num_timesteps,), 1 / self.num_timesteps, dtype=torch.float64)
        root = self.losses.square().mean(1).sqrt()
        p = root / root.sum()
        return p * (1 - self.uniform_probability) + self.uniform_probability / self.num_timesteps

    def sample(self, batch_size: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Times int64 [B] drawn from p, and weights 1/(T p(t)), float64 [B]."""
        p = self.probabilities()
        t = torch.multinomial(p, batch_size, replacement=True, generator=generator)
        return t, 1 / (self.num_timesteps * p[t])

    def update(self, t: Tensor, losses: Tensor) -> None:
        """Note the unweighted losses [B] found at t [B], in their order."""
        table, counts = self.losses.numpy(), self.counts.numpy()
        for step, loss in zip(t.tolist(), losses.tolist(), strict=True):
            if counts[step] == self.history:
                table[step, :-1] = table[step, 1:]
                table[step, -1] = loss
            else:
                table[step, counts[step]] = loss
                counts[step] += 1

    def state_dict(self) -> dict[str, Tensor]:
        """A copy of `losses` and `counts`."""
        return {"losses": self.losses.clone(), "counts": self.counts.clone()}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Go on from a state of the same size.

        Raises:
            UserError: the number of timesteps or the history differ.
        """
        if state["losses"].shape != self.losses.shape:
            raise UserError(
                f"the saved losses are {tuple(state['losses'].shape)}, these {tuple(self.losses.shape)}: "
                "timesteps and history must be as they were"
            )
        self.losses.copy_(state["losses"])
        self.counts.copy_(state["counts"])


TIMESTEP_SAMPLERS = {"uniform": UniformTimesteps, "loss-second-moment": LossSecondMoment}


def make_timestep_sampler(name: str, num_timesteps: int) -> TimestepSampler:
    """A sampler of t by name: "uniform" or "loss-second-moment"."""
    if name not in TIMESTEP_SAMPLERS:
        raise UserError(f"unknown timestep sampling {name!r}; choose one of {', '.join(TIMESTEP_SAMPLERS)}")
    return TIMESTEP_SAMPLERS[name](num_timesteps)
