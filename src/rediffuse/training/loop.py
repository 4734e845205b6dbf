"""Algorithm 1 of Ho et al. 2020, resumable at any moment with the same bytes in the end."""

import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from rediffuse.diffusion.process import DiffusionProcess
from rediffuse.files import digest
from rediffuse.progress import Progress
from rediffuse.training import checkpoint
from rediffuse.training.batches import Batches
from rediffuse.training.diverged import TrainingDiverged
from rediffuse.training.held_out import HeldOutLoss
from rediffuse.training.history import Row
from rediffuse.training.objective import TrainingObjective
from rediffuse.training.options import TrainingConfig
from rediffuse.training.trainer import Trainer

Images = np.ndarray | Tensor
State = dict[str, Tensor]


@dataclass(frozen=True)
class TrainingResult:
    """What `train` returns.

    ema_state, raw_state: weights on the CPU, contiguous.
    history: one row an interval, the same whether or not the run was interrupted.
    throughput: rows step, images_per_second, seconds (of training so far, over all processes).
    seconds: of training, over all processes; work lost to a kill is not counted.
    resumed_from: the step this call went on from; None if it began at the first.
    previews: what `on_preview` returned at each preview step, unless None.
    samples: what `on_sample` returned, by step.
    sampling_seconds: what `on_sample` took, over all processes; not part of `seconds`.
    """

    ema_state: State
    raw_state: State
    history: list[Row]
    throughput: list[Row]
    seconds: float
    resumed_from: int | None
    previews: dict[int, Tensor] = field(default_factory=dict)
    samples: dict[int, dict[str, Tensor]] = field(default_factory=dict)
    sampling_seconds: float = 0.0


@dataclass(frozen=True)
class _Watchers:
    """What `train` calls between steps."""

    on_log: Callable[[Row], object] | None
    on_preview: Callable[[int, nn.Module], Tensor | None] | None
    on_sample: Callable[[int, nn.Module, nn.Module], dict[str, Tensor]] | None


def train(
    model: nn.Module,
    process: DiffusionProcess,
    objective: TrainingObjective,
    images: Images,
    labels: Images | None,
    config: TrainingConfig,
    seed: int,
    *,
    state_dir: str | Path,
    stamp: str,
    device: str | torch.device = "cpu",
    on_log: Callable[[Row], object] | None = None,
    on_preview: Callable[[int, nn.Module], Tensor | None] | None = None,
    on_sample: Callable[[int, nn.Module, nn.Module], dict[str, Tensor]] | None = None,
    progress: bool = True,
    held_out: Images | None = None,
    held_out_labels: Images | None = None,
) -> TrainingResult:
    """Train `model` in place, going on from `state_dir` if an earlier call with the same stamp was cut short.

    Step k draws its images, flips, dropped labels, t, noise and dropout from (seed, k) alone. Called again after any
    stop, on the same machine with the same number of threads, it ends with the same bytes. A call after the last step
    returns the finished result at once.

    Args:
        model: called as model(x, t) or model(x, t, y); its initial weights are the caller's.
        images: uint8 [N, C, H, W]; labels: int64 [N], or None.
        seed: of this run.
        state_dir: folder of the checkpoint; one trainer at a time, others wait.
        stamp: digest of everything that decides the result (configuration, data, code). The checkpoint of another
            stamp is discarded.
        on_log: called with each new row of the history; those before `resumed_from` are only in the result.
        on_preview: called with the step and the averaged network, in evaluation mode, after each preview step. A
            tensor it returns is kept in the checkpoint, so that a preview of before a kill is not lost.
        on_sample: called with the step, the averaged and the raw network, both in evaluation mode, every
            `sample_every` steps and at the end. The tensors it returns are kept in the checkpoint likewise.
        held_out, held_out_labels: images for `held_out_loss`, which is then a column of the history.

    Raises:
        TrainingDiverged: if a loss or gradient is not finite, naming the step and the last good checkpoint.
        UserError: if images, labels or options do not fit together.
    """
    state_dir = Path(state_dir)
    identity = digest([stamp, seed, json.loads(json.dumps([asdict(config), asdict(objective)]))])
    batches = Batches(
        images,
        labels,
        batch_size=config.batch_size,
        seed=seed,
        flip=config.flip,
        channels_last=config.channels_last,
        device=device,
    )
    held_out_loss = None
    if held_out is not None and len(held_out):
        held_out_loss = HeldOutLoss(
            process, objective, held_out, held_out_labels, batch_size=config.batch_size, device=device
        )
    with (
        checkpoint.locked(state_dir),
        # On a GPU, identical bytes need the deterministic convolution algorithms.
        torch.backends.cudnn.flags(benchmark=False, deterministic=True),
    ):
        trainer = Trainer(model, process, objective, batches, config, seed, device)
        saved = checkpoint.load(state_dir, identity)
        if saved is not None:
            trainer.load_state_dict(saved)
        resumed_from = None if saved is None else trainer.step
        if trainer.step < config.steps:
            watchers = _Watchers(on_log, on_preview, on_sample)
            run = _Run(trainer, state_dir, identity, resumed_from, watchers, held_out_loss)
            run.to_the_end(progress)
        return TrainingResult(
            ema_state=_portable(trainer.ema.model),
            raw_state=_portable(trainer.model),
            history=trainer.history,
            throughput=trainer.throughput,
            seconds=trainer.seconds,
            resumed_from=resumed_from,
            previews=trainer.previews,
            samples=trainer.samples,
            sampling_seconds=trainer.sampling_seconds,
        )


def _portable(model: nn.Module) -> State:
    return {name: value.detach().cpu().contiguous().clone() for name, value in model.state_dict().items()}


class _Run:
    """The steps that one process takes: rows, previews and checkpoints between them, and the clock."""

    def __init__(
        self,
        trainer: Trainer,
        state_dir: Path,
        identity: str,
        resumed_from: int | None,
        watchers: _Watchers,
        held_out_loss: HeldOutLoss | None,
    ) -> None:
        self.trainer, self.config, self.state_dir, self.identity = trainer, trainer.config, state_dir, identity
        self.watchers, self.held_out_loss = watchers, held_out_loss
        self.last_good = resumed_from
        self.saved_at = self.mark = time.monotonic()
        self.timed_from = trainer.step  # the step at which the throughput row being timed began
        self.timed_seconds = 0.0

    def to_the_end(self, progress: bool) -> None:
        trainer, config = self.trainer, self.config
        on_cpu = trainer.device.type == "cpu"
        note = ""
        with Progress("training", "step", enabled=progress) as bar:
            bar(trainer.step, config.steps)
            while trainer.step < config.steps:
                trainer.advance()
                step = trainer.step
                last = step == config.steps
                logs = last or step % config.log_every == 0
                previews = self.watchers.on_preview is not None and step in config.preview_steps
                samples = self.samples(step, last)
                saves = (
                    last
                    or (config.checkpoint_every is not None and step % config.checkpoint_every == 0)
                    or time.monotonic() - self.saved_at >= config.checkpoint_every_s
                )
                # Looking at the losses waits for an accelerator; on a CPU it is free, and stops at the bad step itself.
                if on_cpu or logs or previews or samples or saves:
                    self.refuse_divergence()
                if logs:
                    note = self.log(last)
                self.stop_clock()
                if previews:
                    self.preview()
                if samples:
                    self.sample()
                if saves:
                    self.save()
                self.mark = time.monotonic()
                bar(step, config.steps, note)

    def stop_clock(self) -> None:
        """Count the time since the mark as training; the caller sets the next mark."""
        now = time.monotonic()
        self.timed_seconds += now - self.mark
        self.trainer.seconds += now - self.mark
        self.mark = now

    def refuse_divergence(self) -> None:
        trainer = self.trainer
        bad = trainer.interval.first_bad_step()
        if bad is None:
            return
        index, name, value = bad
        step = trainer.step - trainer.interval.count + index + 1
        kept = "there is no checkpoint yet"
        if self.last_good is not None:
            kept = f"the last good checkpoint is that of step {self.last_good}, {self.state_dir / checkpoint.NAME}"
        raise TrainingDiverged(
            f"training diverged at step {step}: the {name} is {value}; {kept}; "
            "a lower learning_rate, a longer warmup or a smaller clip_norm may help"
        )

    def log(self, last: bool) -> str:
        """Complete a row of the history and one of the throughput; a note for the progress bar."""
        trainer, config = self.trainer, self.config
        row = trainer.interval.row(trainer.step)
        self.stop_clock()
        images = (trainer.step - self.timed_from) * config.batch_size
        trainer.throughput.append(
            {
                "step": trainer.step,
                "images_per_second": images / max(self.timed_seconds, 1e-9),
                "seconds": trainer.seconds,
            }
        )
        self.timed_from, self.timed_seconds = trainer.step, 0.0
        if self.held_out_loss is not None:
            due = last or (len(trainer.history) + 1) % config.held_out_every == 0
            row["held_out_loss"] = self.held_out_loss(trainer.ema.model) if due else None
            self.mark = time.monotonic()
        trainer.history.append(row)
        if self.watchers.on_log is not None:
            self.watchers.on_log(row)
        return f"loss {row['loss']:.4f}"

    def preview(self) -> None:
        assert self.watchers.on_preview is not None
        shown = self.watchers.on_preview(self.trainer.step, self.trainer.ema.model)
        if shown is not None:
            self.trainer.previews[self.trainer.step] = shown.detach().cpu()

    def samples(self, step: int, last: bool) -> bool:
        every = self.config.sample_every
        return self.watchers.on_sample is not None and every is not None and (last or step % every == 0)

    def sample(self) -> None:
        assert self.watchers.on_sample is not None
        trainer, start = self.trainer, time.monotonic()
        drawn = self.watchers.on_sample(trainer.step, trainer.ema.model, trainer.model.eval())
        trainer.model.train()
        trainer.samples[trainer.step] = {name: images.detach().cpu() for name, images in drawn.items()}
        trainer.sampling_seconds += time.monotonic() - start

    def save(self) -> None:
        checkpoint.save(self.state_dir, self.identity, self.trainer.state_dict())
        self.last_good = self.trainer.step
        self.saved_at = time.monotonic()
