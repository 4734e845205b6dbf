"""The training loop of models that make an image in one pass, resumable at any moment with the same bytes in the end.

It is the loop of `rediffuse.training.loop` without time steps: the same checkpoints, locks, batches and promise.
"""

import json
import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from rediffuse.files import digest
from rediffuse.progress import Progress
from rediffuse.training import checkpoint
from rediffuse.training.diverged import TrainingDiverged
from rediffuse.training.ema import ExponentialMovingAverage
from rediffuse.training.one_pass_options import OnePassConfig

Row = dict[str, float | int]
State = dict[str, Tensor]


class Players(Protocol):
    """The networks that train together, their optimisers and their objective."""

    @property
    def network(self) -> nn.Module:
        """What is averaged and kept in the end."""
        ...

    def step(self, step: int) -> dict[str, Tensor]:
        """Take step 0, 1, ...; its randomness is a function of (seed, step). Losses and gradient norms by name."""
        ...

    def state_dict(self) -> dict[str, Any]:
        """All that the next step depends on."""
        ...

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take up a state of `state_dict`."""
        ...


@dataclass(frozen=True)
class OnePassResult:
    """What `train_one_pass` returns.

    state: weights of the averaged network, on the CPU.
    history: one row an interval, each the means of what `Players.step` returned.
    seconds: of training, over all processes; work lost to a kill is not counted.
    resumed_from: the step this call went on from; None if it began at the first.
    previews: what `on_preview` returned at each preview step.
    """

    state: State
    history: list[Row]
    seconds: float
    resumed_from: int | None
    previews: dict[int, Tensor]


def train_one_pass(
    players: Players,
    config: OnePassConfig,
    seed: int,
    *,
    state_dir: str | Path,
    stamp: str,
    on_log: Callable[[Row], object] | None = None,
    on_preview: Callable[[int, nn.Module], Tensor] | None = None,
    progress: bool = True,
) -> OnePassResult:
    """Train `players` in place, going on from `state_dir` if an earlier call with the same stamp was cut short.

    Args:
        state_dir: folder of the checkpoint; one trainer at a time, others wait.
        stamp: digest of everything that decides the result. The checkpoint of another stamp is discarded.
        on_log: called with each new row of the history.
        on_preview: called with the step and the averaged network, in evaluation mode, after each preview step; the
            tensor it returns is kept in the checkpoint.

    Raises:
        TrainingDiverged: a loss or gradient norm is not finite; names the step and the last good checkpoint.
    """
    state_dir = Path(state_dir)
    identity = digest([stamp, seed, json.loads(json.dumps(asdict(config)))])
    with checkpoint.locked(state_dir), torch.backends.cudnn.flags(benchmark=False, deterministic=True):
        run = _Run(players, config, state_dir, identity)
        run.resume()
        run.to_the_end(on_log, on_preview, progress)
        average = run.ema.model.state_dict()
        return OnePassResult(
            state={name: value.detach().cpu().contiguous().clone() for name, value in average.items()},
            history=run.history,
            seconds=run.seconds,
            resumed_from=run.resumed_from,
            previews=run.previews,
        )


class _Run:
    """What changes during training besides the players: the average, the history, the clock."""

    def __init__(self, players: Players, config: OnePassConfig, state_dir: Path, identity: str) -> None:
        self.players, self.config, self.state_dir, self.identity = players, config, state_dir, identity
        self.ema = ExponentialMovingAverage(players.network, config.ema_decay, warmup=True)
        self.step, self.seconds = 0, 0.0
        self.interval: list[dict[str, float]] = []
        self.history: list[Row] = []
        self.previews: dict[int, Tensor] = {}
        self.resumed_from: int | None = None

    def resume(self) -> None:
        saved = checkpoint.load(self.state_dir, self.identity)
        if saved is None:
            return
        self.players.load_state_dict(saved["players"])
        self.ema.model.load_state_dict(saved["ema"])
        self.ema.updates = saved["ema_updates"]
        for name in ("step", "seconds", "interval", "history", "previews"):
            setattr(self, name, saved[name])
        self.resumed_from = self.step

    def save(self) -> None:
        state = {name: getattr(self, name) for name in ("step", "seconds", "interval", "history", "previews")}
        state |= {"players": self.players.state_dict(), "ema": self.ema.model.state_dict()}
        checkpoint.save(self.state_dir, self.identity, {**state, "ema_updates": self.ema.updates})

    def to_the_end(
        self,
        on_log: Callable[[Row], object] | None,
        on_preview: Callable[[int, nn.Module], Tensor] | None,
        progress: bool,
    ) -> None:
        config, good, saved_at = self.config, self.resumed_from, time.monotonic()
        with Progress("training", "step", enabled=progress) as bar:
            bar(self.step, config.steps)
            while self.step < config.steps:
                start = time.monotonic()
                self.advance(good)
                self.seconds += time.monotonic() - start
                last = self.step == config.steps
                if last or self.step % config.log_every == 0:
                    row = self.row()
                    if on_log is not None:
                        on_log(row)
                if on_preview is not None and self.step in config.preview_steps:
                    self.previews[self.step] = on_preview(self.step, self.ema.model).detach().cpu()
                overdue = time.monotonic() - saved_at >= config.checkpoint_every_s
                if last or overdue or self.step % config.checkpoint_every == 0:
                    self.save()
                    good, saved_at = self.step, time.monotonic()
                bar(self.step, config.steps)

    def advance(self, good: int | None) -> None:
        """One step; reading its losses waits for an accelerator, and stops at the bad step itself."""
        losses = {name: float(value) for name, value in self.players.step(self.step).items()}
        self.step += 1
        bad = next((name for name, value in losses.items() if not math.isfinite(value)), None)
        if bad is not None:
            kept = "there is no checkpoint yet"
            if good is not None:
                kept = f"the last good checkpoint is that of step {good}, {self.state_dir / checkpoint.NAME}"
            raise TrainingDiverged(
                f"training diverged at step {self.step}: the {bad.replace('_', ' ')} is {losses[bad]}; {kept}; "
                "a lower learning_rate may help"
            )
        self.ema.update()
        self.interval.append(losses)

    def row(self) -> Row:
        """The means of the interval as a row of the history; then start the next interval."""
        means = {
            name: math.fsum(part[name] for part in self.interval) / len(self.interval) for name in self.interval[0]
        }
        row: Row = {"step": self.step, **means}
        self.history.append(row)
        self.interval = []
        return row
