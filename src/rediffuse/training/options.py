"""How a network is trained, apart from what it is and what it minimises."""

from dataclasses import dataclass
from typing import Literal

from rediffuse.errors import UserError


@dataclass(frozen=True)
class TrainingConfig:
    """Options of `train`.

    steps, batch_size: optimiser steps, and images in each.
    accumulate: parts into which a batch is cut to save memory; the gradient is that of the whole batch.
    learning_rate, betas: of Adam (eps 1e-8).
    warmup: steps over which the learning rate grows linearly from learning_rate / warmup.
    decay: "constant" after the warm-up, or "cosine" down to `min_learning_rate` at the last step.
    clip_norm: upper limit of the gradient's norm; 0 does not clip.
    ema_decay: of the exponential moving average of the weights; 0 keeps no average (it then equals the weights).
    ema_warmup: False (Ho et al. 2020) uses `ema_decay` from the first step; True uses
        min(ema_decay, (1 + t) / (10 + t)) at step t = 0, 1, ..., for runs too short to forget their first weights.
    flip: mirror each image left to right with probability 1/2.
    label_dropout: probability of replacing a label by the null token.
    precision: of the network's forward and backward passes; weights, optimiser and loss stay float32.
    compile: pass the network through `torch.compile`.
    channels_last: keep weights and images in that layout.
    log_every: steps in a row of the history.
    held_out_every: rows of the history from one held-out loss to the next (one is always taken at the end).
    preview_steps: steps after which `on_preview` is called.
    sample_every: steps between calls of `on_sample` (one always comes at the end); None for none.
    checkpoint_every_s, checkpoint_every: seconds, and optionally steps, between checkpoints.
    timestep_sampling: "uniform", or "loss-second-moment" (Nichol & Dhariwal 2021; it waits for the device each step).
    """

    steps: int
    batch_size: int = 128
    accumulate: int = 1
    learning_rate: float = 2e-4
    betas: tuple[float, float] = (0.9, 0.999)
    warmup: int = 5000
    decay: Literal["constant", "cosine"] = "constant"
    min_learning_rate: float = 0.0
    clip_norm: float = 1.0
    ema_decay: float = 0.9999
    ema_warmup: bool = False
    flip: bool = False
    label_dropout: float = 0.0
    precision: Literal["float32", "bfloat16"] = "float32"
    compile: bool = False
    channels_last: bool = False
    log_every: int = 100
    held_out_every: int = 10
    preview_steps: tuple[int, ...] = ()
    sample_every: int | None = None
    checkpoint_every_s: float = 60.0
    checkpoint_every: int | None = None
    timestep_sampling: Literal["uniform", "loss-second-moment"] = "uniform"

    def __post_init__(self) -> None:
        """Refuse options that cannot work.

        Raises:
            UserError: naming the option, its value and what is allowed.
        """
        for name in ("steps", "batch_size", "accumulate", "log_every", "held_out_every"):
            if getattr(self, name) < 1:
                raise UserError(f"{name} is {getattr(self, name)}; it must be at least 1")
        for name in ("warmup", "clip_norm", "min_learning_rate", "checkpoint_every_s"):
            if not getattr(self, name) >= 0:
                raise UserError(f"{name} is {getattr(self, name)}; it must be at least 0")
        for name in ("checkpoint_every", "sample_every"):
            if getattr(self, name) is not None and getattr(self, name) < 1:
                raise UserError(f"{name} is {getattr(self, name)}; it must be at least 1, or None")
        if self.accumulate > self.batch_size:
            raise UserError(f"accumulate is {self.accumulate}; it cannot exceed batch_size, which is {self.batch_size}")
        if not self.learning_rate > 0:
            raise UserError(f"learning_rate is {self.learning_rate}; it must be above 0")
        for name in ("ema_decay", "label_dropout"):
            if not 0 <= getattr(self, name) <= 1:
                raise UserError(f"{name} is {getattr(self, name)}; it must lie between 0 and 1")
        for name, allowed in (
            ("decay", ("constant", "cosine")),
            ("precision", ("float32", "bfloat16")),
            ("timestep_sampling", ("uniform", "loss-second-moment")),
        ):
            if getattr(self, name) not in allowed:
                raise UserError(f"{name} is {getattr(self, name)!r}; choose one of {', '.join(allowed)}")
        late = [step for step in self.preview_steps if not 1 <= step <= self.steps]
        if late:
            raise UserError(f"preview_steps has {late}; previews come after steps 1 to {self.steps}")
