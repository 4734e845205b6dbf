"""What happened in each step, kept on the device until a row of the history is due."""

import math
from typing import Any

import torch
from torch import Tensor

from rediffuse.diffusion.objectives import Losses

Row = dict[str, float | int | None]


class Interval:
    """The steps since the last row: each image's t and losses, each step's gradient norm and learning rate.

    Nothing is read back from the device before `row` or `first_bad_step`, so that recording never waits for it.

    Args:
        length: most steps in a row.
        num_timesteps: T, for the quartiles of t.
        has_vlb: whether the objective has a vlb.
    """

    def __init__(
        self, length: int, batch_size: int, num_timesteps: int, has_vlb: bool, device: str | torch.device
    ) -> None:
        self.num_timesteps, self.has_vlb = num_timesteps, has_vlb
        self.count = 0
        self._t = torch.zeros(length, batch_size, dtype=torch.int64)
        self._weights = torch.zeros(length, batch_size, dtype=torch.float64)
        self._rates = torch.zeros(length, dtype=torch.float64)
        self._losses = torch.zeros(length, 2 + has_vlb, batch_size, device=device)
        self._norms = torch.zeros(length, device=device)
        self._checked = 0

    def record(self, t: Tensor, weights: Tensor, losses: Losses, grad_norm: Tensor, learning_rate: float) -> None:
        """Add one step. t and weights [B] on the CPU; losses [B] and the norm on the device."""
        at = self.count
        self._t[at], self._weights[at], self._rates[at] = t, weights, learning_rate
        torch.stack([part for part in losses if part is not None], out=self._losses[at])
        self._norms[at] = grad_norm
        self.count += 1

    def first_bad_step(self) -> tuple[int, str, float] | None:
        """The first step of the interval (0, 1, ...) with a loss or gradient that is not finite: its number, the name
        of that quantity and its value. Steps found good are not looked at again."""
        recent = slice(self._checked, self.count)
        per_step = torch.stack((self._losses[recent, 0].sum(dim=1), self._norms[recent]))
        finite = torch.isfinite(per_step)
        if bool(finite.all()):
            self._checked = self.count
            return None
        first = int((~finite).any(dim=0).nonzero()[0])
        name, value = next(
            (n, float(v))
            for n, v in zip(("loss", "gradient norm"), per_step[:, first], strict=True)
            if not math.isfinite(v)
        )
        return self._checked + first, name, value

    def row(self, step: int) -> Row:
        """The means over the interval, as the row of the history for `step`; then start the next interval.

        loss, mse, vlb: of the objective (weighted if t is sampled by importance). loss_q1 to loss_q4: mean loss of
        the images with t in the first to last quarter of 0..T-1, None where there is none. grad_norm: before clipping.
        """
        losses = self._losses[: self.count].double().cpu()
        t, weights = self._t[: self.count], self._weights[: self.count]
        row: Row = {"step": step, "loss": float((losses[:, 0] * weights).mean())}
        quartile = t * 4 // self.num_timesteps
        for index in range(4):
            chosen = losses[:, 0][quartile == index]
            row[f"loss_q{index + 1}"] = float(chosen.mean()) if len(chosen) else None
        row["mse"] = float((losses[:, 1] * weights).mean())
        if self.has_vlb:
            row["vlb"] = float((losses[:, 2] * weights).mean())
        row["grad_norm"] = float(self._norms[: self.count].double().mean())
        row["learning_rate"] = float(self._rates[: self.count].mean())
        self.count = self._checked = 0
        return row

    def state_dict(self) -> dict[str, Any]:
        """The steps recorded so far."""
        kept = slice(0, self.count)
        names = ("_t", "_weights", "_rates", "_losses", "_norms")
        return {"count": self.count, **{name: getattr(self, name)[kept].clone() for name in names}}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take up the steps of `state_dict`."""
        self.count = self._checked = state["count"]
        for name, value in state.items():
            if name != "count":
                getattr(self, name)[: self.count] = value
