"""Jobs that several processes share (`hardware.processes`): a training step by step, others by batches of images."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist

from rediffuse.data.image_set import ImageSet, open_image_set
from rediffuse.errors import UserError
from rediffuse.evaluation.features import Features, joined
from rediffuse.evaluation.streaming import whole_batches
from rediffuse.files import read_json, remove
from rediffuse.jobs.likelihood import images_of_bound, write_terms
from rediffuse.jobs.processes import asked, group, heed_later, rank, size, together
from rediffuse.jobs.sampling import sample_settings
from rediffuse.jobs.training import parameters, run_training, stamp, unet_learner, write_settings
from rediffuse.pipeline.context import Context
from rediffuse.pipeline.plan import Job
from rediffuse.pipeline.work import in_one_process, watching
from rediffuse.registry import load
from rediffuse.runs import facts, judge
from rediffuse.runs.hardware import set_threads
from rediffuse.training import checkpoint
from rediffuse.training.divided import DividedDenoising
from rediffuse.training.loop import identity_of
from rediffuse.training.options import TrainingConfig

Alone = Callable[[Job, Context], dict[str, Any]]


def train(job: Job, context: Context, alone: Alone) -> dict[str, Any]:
    """Train a run's U-Net; weights that were trained elsewhere are taken by one process.

    Raises:
        UserError: the hardware cannot do what the run asks for, the loss is no longer finite, or a process died.
    """
    if job.run.weights is not None:
        return alone(job, context)
    load("rediffuse.stages.train:check_hardware")(job)
    return _shared(_train, job, context)[0]


def sample(job: Job, context: Context, alone: Alone) -> dict[str, Any]:
    """Sample a run: each process draws its share of the batches of each setting, and this one joins them."""
    before = _kept(job, context)
    shares = [_new(share, before) for share in _shared(_sample, job, context)]
    measured = alone(job, context)
    settings = measured.setdefault("settings", {})
    for setting in {name: None for share in shares for name in share}:
        parts = [share[setting] for share in shares if setting in share]
        images, seconds = sum(part["images"] for part in parts), max(part["seconds"] for part in parts)
        settings[setting] = {
            "seconds": seconds,
            "images": images,
            "batch_size": parts[0]["batch_size"],
            "nfe": round(sum(part["nfe"] * part["images"] for part in parts) / images),
            # Of the network at work, as one process measures it; images come from all at once.
            "ms_per_step": max(part["ms_per_step"] for part in parts),
            "ms_per_image": 1000 * seconds / images,
        }
    return measured


def bound(job: Job, context: Context, alone: Alone) -> dict[str, Any]:
    """Bound the likelihood: each process works out the terms of its share of the batches, and this one adds them up."""
    _shared(_bound, job, context)
    return alone(job, context)


def evaluate(job: Job, context: Context, alone: Alone) -> dict[str, Any]:
    """Score the samples of a run: each process extracts the features of its share of the batches."""
    _shared(_evaluate, job, context)
    return {}


def _shared(work: Callable[..., Any], job: Job, context: Context) -> list[Any]:
    if job.run.hardware.device == "cuda" and (gpus := torch.cuda.device_count()) < job.processes:
        raise UserError(
            f"hardware.processes: {job.processes} take a GPU each, and this machine has {gpus}; use {gpus or 1}"
        )
    return together(job.processes, work, job, replace(context, watch=None))


def _ready(job: Job, context: Context) -> ImageSet:
    """What each process begins with: its GPU or its threads, and the images."""
    set_threads(job.run)
    if job.run.hardware.device == "cuda":
        torch.cuda.set_device(rank())
    return open_image_set(context.data_folder)


def _train(meeting: Path, job: Job, context: Context) -> dict[str, Any] | None:
    heed_later()
    image_set, config = _ready(job, context), job.run.training
    assert isinstance(config, TrainingConfig)
    with group(meeting, job.run.hardware.device):
        learner = unet_learner(DividedDenoising, job, image_set, asked=lambda: bool(asked))
        if rank() > 0:
            learner.follow()
            return None
        # A training that was stopped goes on whatever the number of processes: this is the job of any number.
        one = replace(job, settings={**job.settings, "hardware": job.run.hardware.model_dump(mode="json")})
        state, identity = context.state(job), identity_of(learner, config, one.seed, stamp(one))
        kept = state / f"finished-{job.key[:16]}"
        _only_own(state, kept, identity, config)
        with watching(context, job) as watch:
            measured = run_training(one, replace(context, watch=watch), learner, config, parameters(learner))
        write_settings(job, context, parameters(learner))
        _move(state, kept, identity)
        return {**measured, "processes": size()}
    return None


def _only_own(state: Path, kept: Path, identity: str, config: TrainingConfig) -> None:
    """Of finished trainings leave that of this very job: another number of processes finishes with another result."""
    for other in state.glob("finished-*"):
        if other != kept:
            remove(other)
    if kept.exists():
        _move(kept, state, identity)
    elif (saved := checkpoint.load(state, identity)) is not None and saved["step"] == config.steps:
        checkpoint.discard(state, identity, "another number of processes finished it")


def _move(here: Path, there: Path, identity: str) -> None:
    for name in (f"snapshots/{identity[:16]}", checkpoint.name(identity)):
        if (here / name).exists():
            remove(there / name)
            (there / name).parent.mkdir(parents=True, exist_ok=True)
            (here / name).replace(there / name)


def _own(images: int, batch: int) -> range:
    """This process's share of the images: whole batches, as an image's last bits depend on the size of its batch."""
    batches = -(-images // batch)
    first, last = (batches * place // size() * batch for place in (rank(), rank() + 1))
    return range(first, min(last, images))


def _sample(meeting: Path, job: Job, context: Context) -> dict[str, Any]:
    image_set = _ready(job, context)
    found: dict[str, Any] = {}
    for part in facts.by_images(job.run):
        own = _own(part.sampling.images, part.sampling.batch_size)
        found |= sample_settings(replace(job, of_run=part), context, image_set, own)
    return found


def _kept(job: Job, context: Context) -> dict[str, Any]:
    """What was measured of settings that were sampled before."""
    try:
        return dict(read_json(context.root / job.timing)["settings"])
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def _new(measured: dict[str, Any], before: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in measured.items() if before.get(name) != value}


def _bound(meeting: Path, job: Job, context: Context) -> None:
    """Leave the terms of this process's batches where `rediffuse.jobs.likelihood.diffusion_bound` looks for them."""
    image_set = _ready(job, context)
    write_terms(job, context, image_set, _own(images_of_bound(job, image_set), job.run.sampling.batch_size))


class _SharedJudge(judge.Judge):
    """A judge in each process of a group: all have the same images to score, and put the features together."""

    def features(self, images: np.ndarray, label: str | None) -> Features:
        """See `Judge.features`."""
        own = _own(len(images), whole_batches(self.evaluation.batch_size))
        mine = super().features(images[own.start : own.stop], label) if own else None
        parts: list[Features | None] = [None] * size()
        dist.all_gather_object(parts, mine)
        return joined([part for part in parts if part is not None])


def _evaluate(meeting: Path, job: Job, context: Context) -> None:
    """Do the job as one process does but for the features; what all write is the same."""
    _ready(job, context)
    with group(meeting, "cpu"):
        judge.Judge = _SharedJudge  # type: ignore[misc]  # in this process, which does nothing else
        in_one_process(job, context)
