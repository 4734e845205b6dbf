"""The one training loop: whatever learns, resumable at any moment with the same bytes in the end."""

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from rediffuse.errors import UserError
from rediffuse.files import digest, remove, sha256
from rediffuse.progress import Progress
from rediffuse.training import checkpoint
from rediffuse.training.diverged import TrainingDiverged
from rediffuse.training.ema import ExponentialMovingAverage
from rediffuse.training.history import Row
from rediffuse.training.options import LoopOptions
from rediffuse.weights import write_weights

State = dict[str, Tensor]


class Learner(Protocol):
    """What the loop drives: networks, their optimisers and their objective."""

    device: torch.device
    held_out: Any

    @property
    def network(self) -> nn.Module:
        """What is averaged and kept in the end."""
        ...

    @property
    def identity(self) -> Any:
        """What it minimises, as JSON has it, for the name of a checkpoint."""
        ...

    def step(self, step: int) -> None:
        """Take step 0, 1, ... and note it; its randomness is a function of (seed, step)."""
        ...

    def first_bad_step(self) -> tuple[int, str, float] | None:
        """The first step since the last row whose loss or gradient is not finite: its number among them (0, 1, ...),
        the name of that quantity and its value.
        """
        ...

    def row(self, step: int) -> Row:
        """The means since the last row, as the row of the history for `step`."""
        ...

    def held_out_loss(self, network: nn.Module) -> float:
        """The loss of a network on held-out images, for learners whose `held_out` is not None."""
        ...

    def state_dict(self) -> dict[str, Any]:
        """All that the next step depends on."""
        ...

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take up a state of `state_dict`."""
        ...


@dataclass(frozen=True)
class TrainingResult:
    """What `train` returns.

    averaged, raw: weights on the CPU, contiguous.
    history: one row an interval, the same whether or not the run was interrupted.
    throughput: rows step, images_per_second, seconds (of training so far, over all processes).
    seconds: of training, over all processes; work lost to a kill is not counted.
    resumed_from: the step this call went on from; None if it began at the first.
    snapshots: the file of averaged and raw weights by step.
    """

    averaged: State
    raw: State
    history: list[Row]
    throughput: list[Row]
    seconds: float
    resumed_from: int | None
    snapshots: dict[int, Path]


@dataclass
class _Progress:
    """What has come about so far, beside the learner and the average."""

    step: int = 0
    seconds: float = 0.0
    history: list[Row] = field(default_factory=list)
    throughput: list[Row] = field(default_factory=list)


def train(
    learner: Learner,
    config: LoopOptions,
    seed: int,
    *,
    state_dir: str | Path,
    stamp: str,
    snapshots: Sequence[int] = (),
    on_log: Callable[[Row], object] | None = None,
    on_snapshot: Callable[[int, nn.Module, nn.Module], object] | None = None,
    progress: bool = True,
) -> TrainingResult:
    """Train, going on from `state_dir` if an earlier call with the same stamp was cut short.

    Called again after any stop, on the same machine with the same number of threads, it ends with the same bytes. A
    call after the last step returns the finished result at once.

    Args:
        seed: of this run, as the learner has it.
        state_dir: folder of the checkpoints, one a stamp, and of the snapshots; one trainer at a time, others wait.
        stamp: digest of everything that decides the result (configuration, data, code).
        snapshots: steps after which averaged and raw weights are written, as "averaged.…" and "raw.…".
        on_log: called with each new row of the history; those before `resumed_from` are only in the result.
        on_snapshot: called with the step, the averaged and the raw network, both in evaluation mode, at each snapshot.

    Raises:
        TrainingDiverged: if a loss or gradient is not finite, naming the step and the last good checkpoint.
    """
    state_dir = Path(state_dir)
    if late := [step for step in snapshots if not 1 <= step <= config.steps]:
        raise UserError(f"snapshots: there is no step {late[0]}; use steps from 1 to {config.steps}")
    identity = identity_of(learner, config, seed, stamp)
    with (
        checkpoint.locked(state_dir),
        # On a GPU, identical bytes need the deterministic convolution algorithms.
        # Its own default would switch cuDNN off: a training step of Ho et al.'s network then takes ten times as long.
        torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True),
    ):
        run = _Run(learner, config, state_dir, identity, frozenset(snapshots), on_log, on_snapshot)
        checkpoint.tidy(state_dir, identity)
        run.resume()
        if run.done.step < config.steps:
            run.to_the_end(progress)
        averaged = _portable(run.ema.model)
        if bad := [name for name, value in averaged.items() if not value.isfinite().all()]:
            raise TrainingDiverged(
                f"training diverged: in the end {bad[0]} is not finite; a lower learning_rate may help"
            )
        return TrainingResult(
            averaged=averaged,
            raw=_portable(learner.network),
            history=run.done.history,
            throughput=run.done.throughput,
            seconds=run.done.seconds,
            resumed_from=run.resumed_from,
            snapshots={step: run.snapshot_file(step) for step in sorted(run.snapshots)},
        )


def identity_of(learner: Learner, config: LoopOptions, seed: int, stamp: str) -> str:
    """Digest of what decides a training's result, after which its resume state is named; see `train`."""
    options = config.model_dump(mode="json", exclude={"preview_steps", "checkpoint_every", "checkpoint_every_s"})
    return digest([stamp, seed, json.loads(json.dumps([options, learner.identity]))])


def _portable(model: nn.Module) -> State:
    return {name: value.detach().cpu().contiguous().clone() for name, value in model.state_dict().items()}


class _Run:
    """The steps that one process takes: rows, snapshots and checkpoints between them, and the clock."""

    def __init__(
        self,
        learner: Learner,
        config: LoopOptions,
        state_dir: Path,
        identity: str,
        snapshots: frozenset[int],
        on_log: Callable[[Row], object] | None,
        on_snapshot: Callable[[int, nn.Module, nn.Module], object] | None,
    ) -> None:
        self.learner, self.config, self.state_dir, self.identity = learner, config, state_dir, identity
        self.snapshots, self.on_log, self.on_snapshot = snapshots, on_log, on_snapshot
        self.ema = ExponentialMovingAverage(learner.network, config.ema_decay, warmup=config.ema_warmup)
        self.done = _Progress()
        self.resumed_from: int | None = None
        self.saved_at = self.mark = time.monotonic()
        self.last_good: int | None = None
        self.digests: dict[int, str] = {}  # of the snapshots, by step
        self.timed_from, self.timed_seconds = 0, 0.0  # of the row of the throughput that is being timed

    def resume(self) -> None:
        """Take up the checkpoint, if there is one and every snapshot that is due before it."""
        saved = checkpoint.load(self.state_dir, self.identity)
        if saved is None:
            return
        for step in sorted(self.snapshots):
            if step <= saved["step"] and not self.has_snapshot(step, saved["snapshots"].get(step)):
                checkpoint.discard(self.state_dir, self.identity, f"the snapshot of step {step} is missing or damaged")
                return
        self.learner.load_state_dict(saved["learner"])
        self.ema.model.load_state_dict(saved["ema"])
        self.ema.updates = saved["ema_updates"]
        self.done = _Progress(**{name: saved[name] for name in ("step", "seconds", "history", "throughput")})
        self.digests = saved["snapshots"]
        self.resumed_from = self.last_good = self.timed_from = self.done.step

    def save(self) -> None:
        """Write the checkpoint."""
        state = {**vars(self.done), "learner": self.learner.state_dict()}
        state |= {"ema": self.ema.model.state_dict(), "ema_updates": self.ema.updates, "snapshots": self.digests}
        checkpoint.save(self.state_dir, self.identity, state)
        self.last_good, self.saved_at = self.done.step, time.monotonic()

    def to_the_end(self, progress: bool) -> None:
        """Take all steps that are left."""
        config, done = self.config, self.done
        on_cpu = self.learner.device.type == "cpu"
        note = ""
        self.mark = time.monotonic()
        with Progress("training", "step", enabled=progress) as bar:
            bar(done.step, config.steps)
            while done.step < config.steps:
                self.learner.step(done.step)
                self.ema.update()
                done.step += 1
                last = done.step == config.steps
                logs = last or done.step % config.log_every == 0
                looks = done.step in self.snapshots
                saves = (
                    last
                    or (config.checkpoint_every is not None and done.step % config.checkpoint_every == 0)
                    or time.monotonic() - self.saved_at >= config.checkpoint_every_s
                )
                # Looking at the losses waits for an accelerator; on a CPU it is free, and stops at the bad step itself.
                if on_cpu or logs or looks or saves:
                    self.refuse_divergence(logged=len(done.history))
                if logs:
                    note = self.log(last)
                self.stop_clock()
                if looks:
                    self.snapshot()
                if saves:
                    self.save()
                self.mark = time.monotonic()
                bar(done.step, config.steps, note)

    def stop_clock(self) -> None:
        """Count the time since the mark as training; the caller sets the next mark."""
        now = time.monotonic()
        self.timed_seconds += now - self.mark
        self.done.seconds += now - self.mark
        self.mark = now

    def refuse_divergence(self, logged: int) -> None:
        """Raise TrainingDiverged if a step since the last row was bad."""
        bad = self.learner.first_bad_step()
        if bad is None:
            return
        index, name, value = bad
        before = int(self.done.history[-1]["step"] or 0) if logged else 0
        kept = "there is no checkpoint yet"
        if self.last_good is not None:
            file = self.state_dir / checkpoint.name(self.identity)
            kept = f"the last good checkpoint is that of step {self.last_good}, {file}"
        raise TrainingDiverged(
            f"training diverged at step {before + index + 1}: the {name.replace('_', ' ')} is {value}; {kept}; "
            "a lower learning_rate, a longer warmup or a smaller clip_norm may help"
        )

    def log(self, last: bool) -> str:
        """Complete a row of the history and one of the throughput; a note for the progress bar."""
        config, done = self.config, self.done
        row = self.learner.row(done.step)
        self.stop_clock()
        images = (done.step - self.timed_from) * config.batch_size
        rate = images / max(self.timed_seconds, 1e-9)
        done.throughput.append({"step": done.step, "images_per_second": rate, "seconds": done.seconds})
        self.timed_from, self.timed_seconds = done.step, 0.0
        if self.learner.held_out is not None:
            due = last or (len(done.history) + 1) % config.held_out_every == 0
            row["held_out_loss"] = self.learner.held_out_loss(self.ema.model) if due else None
            self.mark = time.monotonic()
        done.history.append(row)
        if self.on_log is not None:
            self.on_log(row)
        loss = next((value for name, value in row.items() if name.endswith("loss") and value is not None), None)
        return "" if loss is None else f"loss {loss:.4f}"

    def snapshot_file(self, step: int) -> Path:
        """Where a snapshot lies."""
        return self.state_dir / "snapshots" / self.identity[:16] / f"step-{step:06d}.safetensors"

    def has_snapshot(self, step: int, made: str | None) -> bool:
        """Whether a snapshot lies there as it was made: with that digest."""
        try:
            return sha256(self.snapshot_file(step)) == made
        except OSError:
            return False

    def snapshot(self) -> None:
        """Write averaged and raw weights, and show both networks to whoever looks on."""
        networks = {"averaged": self.ema.model, "raw": self.learner.network}
        state = {f"{k}.{name}": value for k, network in networks.items() for name, value in _portable(network).items()}
        file = self.snapshot_file(self.done.step)
        if file.is_dir():
            remove(file)
        write_weights(file, state, {"step": str(self.done.step)})
        self.digests[self.done.step] = sha256(file)
        if self.on_snapshot is not None:
            self.on_snapshot(self.done.step, self.ema.model, self.learner.network.eval())
            self.learner.network.train()
