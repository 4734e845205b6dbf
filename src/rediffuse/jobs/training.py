"""Training of a run: the learner of its kind, driven by the one loop, and the files it leaves."""

import shutil
from typing import Any, TypeVar

import torch
import yaml

from rediffuse.config import ResolvedRun
from rediffuse.data.image_set import ImageSet
from rediffuse.diffusion.interpolant import InterpolantObjective
from rediffuse.diffusion.objectives import Objective
from rediffuse.diffusion.process import DiffusionProcess
from rediffuse.diffusion.randomness import derive_seed
from rediffuse.files import atomic_path, digest, write_atomically
from rediffuse.formats import csv_text
from rediffuse.pipeline.context import Context
from rediffuse.pipeline.plan import Job
from rediffuse.runs import facts
from rediffuse.runs.networks import build_network
from rediffuse.training.denoising import Denoising
from rediffuse.training.loop import Learner, train
from rediffuse.training.options import LoopOptions, TrainingConfig
from rediffuse.weights import write_weights

Kind = TypeVar("Kind", bound=Denoising)


def train_unet(job: Job, context: Context, image_set: ImageSet) -> dict[str, Any]:
    """Train a run's U-Net."""
    learner = unet_learner(Denoising, job, image_set)
    return run_training(job, context, learner, learner.config, parameters(learner))


def unet_learner(kind: type[Kind], job: Job, image_set: ImageSet, **more: Any) -> Kind:
    """A learner of this kind for a run's U-Net, with weights drawn from the job's seed; `more`: what the kind takes."""
    run, seed, config = job.run, job.seed, job.run.training
    diffusion = facts.diffusion(run)
    assert isinstance(config, TrainingConfig)
    images, labels = image_set.split("train")
    held_out, held_out_labels = image_set.split("held-out")
    if not facts.is_conditional(run):
        labels = held_out_labels = None
    return kind(
        build_network(run, image_set, derive_seed(seed, "weights")),
        DiffusionProcess.create(diffusion.schedule, diffusion.timesteps),
        objective(run),
        images,
        labels,
        config,
        seed,
        run.hardware,
        held_out=held_out,
        held_out_labels=held_out_labels,
        **more,
    )


def parameters(learner: Denoising) -> tuple[int, int]:
    """Those of its network that make an image, and that are trained: all of them."""
    count = sum(p.numel() for p in learner.parameters)
    return count, count


def stamp(job: Job) -> str:
    """What resume state is worth anything for: settings, code, data and the library that computes."""
    return digest([job.key, torch.__version__])


def objective(run: ResolvedRun) -> Objective | InterpolantObjective:
    """The run's training objective."""
    diffusion = run.diffusion
    assert diffusion is not None
    if facts.is_flow(run):
        return InterpolantObjective(loss=diffusion.loss)
    return Objective(
        prediction=diffusion.prediction, variance=diffusion.variance, loss=diffusion.loss, weighting=diffusion.weighting
    )


def run_training(
    job: Job,
    context: Context,
    learner: Learner,
    config: LoopOptions,
    parameters: tuple[int, int],
    images_a_step: int | None = None,
) -> dict[str, Any]:
    """Drive a learner to the end and write what a training leaves; what was measured of it.

    parameters: those that make an image, and all that are trained. images_a_step: real images that a step sees, where
    these are not one batch.
    """
    folder, watch = context.root / job.folder, context.watch
    result = train(
        learner,
        config,
        job.seed,
        state_dir=context.state(job),
        stamp=stamp(job),
        snapshots=facts.snapshot_steps(job.run),
        on_log=watch and watch.log,
        on_snapshot=watch and watch.snapshot,
    )
    for step, file in result.snapshots.items():
        with atomic_path(folder / "snapshots" / facts.snapshot(step)) as temporary:
            shutil.copyfile(file, temporary)
    # Not by whom: the same weights give the same bytes, whatever else has changed.
    write_weights(folder / "weights.safetensors", result.averaged, {"job": job.name})
    write_atomically(folder / "history.csv", csv_text(result.history))
    write_atomically(folder / "timing" / "throughput.csv", csv_text(result.throughput))
    write_settings(job, context, parameters)
    images = config.steps * (images_a_step or config.batch_size)
    return {
        "seconds": result.seconds,
        "steps": config.steps,
        "batch_size": config.batch_size,
        "ms_per_step": 1000 * result.seconds / config.steps,
        "images_per_second": images / result.seconds,
        "resumed_from": result.resumed_from,
    }


def write_settings(job: Job, context: Context, parameters: tuple[int, int]) -> None:
    """Write run.yaml: what the weights follow from and how many they are, to be read by people and by the report."""
    counts = dict(zip(("makes_images", "trained"), parameters, strict=True))
    settings = {"run": job.run.name, "study": job.run.study, **job.settings, "parameters": counts}
    text = yaml.safe_dump(settings, sort_keys=False, allow_unicode=True)
    write_atomically(context.root / job.folder / "run.yaml", text)
