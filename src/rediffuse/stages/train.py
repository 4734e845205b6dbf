"""Stage `train`: a run's network is trained, or goes on training where it was stopped."""

from collections.abc import Callable

import torch
import yaml
from torch import Tensor, nn

from rediffuse.config import ResolvedRun
from rediffuse.data.image_set import open_image_set
from rediffuse.diffusion.interpolant import InterpolantObjective
from rediffuse.diffusion.objectives import Objective
from rediffuse.diffusion.process import DiffusionProcess
from rediffuse.diffusion.randomness import derive_seed
from rediffuse.errors import UserError
from rediffuse.files import csv_text, digest, write_atomically
from rediffuse.grids import save_grid
from rediffuse.stages.context import Context, keep_only, set_threads, working, write_timing
from rediffuse.stages.during_training import draw, draw_both
from rediffuse.stages.imported import take_weights
from rediffuse.stages.networks import build_network
from rediffuse.stages.samples import write_of_training
from rediffuse.stages.weights import write_weights
from rediffuse.tracking import LiveTraining, open_tracker, track_training, training_scores
from rediffuse.training import TrainingConfig
from rediffuse.training import train as train_network

PREVIEW_IMAGES, PREVIEW_STEPS = 16, 25


# Makes what scores samples drawn while a run trains: metrics by name, each by weights ("averaged", "raw").
Watch = Callable[[Context], Callable[[dict[str, Tensor]], dict[str, dict[str, float]]]]


def train(context: Context, run: ResolvedRun, seed: int, watch: Watch | None = None) -> None:
    """Write run.yaml, weights.safetensors, history.csv, previews/ and during-training/ of a run.

    A run with weights of its own is not trained: see `rediffuse.stages.imported`. What `watch` says reaches the screen
    and MLflow, never a result: stage `examine` scores the same samples again for the report.

    Raises:
        UserError: the hardware cannot do what the run asks for, or the loss is no longer finite.
    """
    if run.weights is not None:
        take_weights(context, run, seed)
        return
    set_threads(run)
    _check_hardware(run)
    job = context.plan.find("train", run.name, seed)
    folder = context.folder(run, seed)
    with open_tracker(context) as tracker:
        with working(context, job):
            image_set = open_image_set(context.data_folder)
            images, labels = image_set.split("train")
            held_out, held_out_labels = image_set.split("held-out")
            if not run.network.class_conditional:
                labels = held_out_labels = None
            network = build_network(run, image_set, derive_seed(seed, "weights"))
            process = DiffusionProcess.create(run.diffusion.schedule, run.diffusion.timesteps)

            def show(step: int, drawn: Tensor) -> None:
                save_grid(drawn.numpy(), folder / "previews" / f"step-{step:06d}.png", pixels=40)

            def preview(step: int, model: nn.Module) -> Tensor:
                noise = derive_seed(seed, "preview")
                drawn = draw(run, model, image_set, noise, PREVIEW_IMAGES, PREVIEW_STEPS)
                show(step, drawn)
                return drawn

            scores = watch(context) if watch is not None and run.during_training is not None else None

            def sample(step: int, averaged: nn.Module, raw: nn.Module) -> dict[str, Tensor]:
                drawn = draw_both(run, averaged, raw, image_set, seed)
                if scores is not None:
                    live.log(training_scores({"step": step, **scores(drawn)}))
                return drawn

            with LiveTraining(tracker, context, run, seed) as live:
                result = train_network(
                    network,
                    process,
                    objective(run),
                    images,
                    labels,
                    training_config(run),
                    seed,
                    state_dir=context.state(run, seed) / "train",
                    # Resume state is only worth what made it: settings, code, data and the library that computes.
                    stamp=digest([job.key, torch.__version__]),
                    device=run.hardware.device,
                    on_log=live.log,
                    on_preview=preview,
                    on_sample=sample,
                    held_out=held_out,
                    held_out_labels=held_out_labels,
                )
            for step, drawn in result.previews.items():
                show(step, drawn)
            for step, both in result.samples.items():
                images_of = {weights: sampled.numpy() for weights, sampled in both.items()}
                write_of_training(folder / "during-training" / f"step-{step:06d}.npz", images_of)
            for kept in ("previews", "during-training"):
                keep_only(folder / kept, {path.name for path in job.outputs})
            write_weights(folder / "weights.safetensors", result.ema_state, {"job": job.name, "key": job.key})
            write_atomically(folder / "history.csv", csv_text(result.history))
            write_atomically(folder / "timing" / "throughput.csv", csv_text(result.throughput))
            settings = {"run": run.name, "study": run.study, **job.settings}
            write_atomically(folder / "run.yaml", yaml.safe_dump(settings, sort_keys=False, allow_unicode=True))
            write_timing(
                folder / "timing" / "train.json",
                job,
                run,
                seconds=result.seconds,
                steps=run.training.steps,
                batch_size=run.training.batch_size,
                ms_per_step=1000 * result.seconds / run.training.steps,
                images_per_second=run.training.steps * run.training.batch_size / result.seconds,
                parameters=sum(p.numel() for p in network.parameters()),
                resumed_from=result.resumed_from,
                sampling_seconds=result.sampling_seconds,
            )
        if tracker is not None:
            track_training(tracker, context, run, seed)


def objective(run: ResolvedRun) -> Objective | InterpolantObjective:
    """The run's training objective."""
    diffusion = run.diffusion
    if diffusion.prediction == "velocity":
        return InterpolantObjective(loss=diffusion.loss)
    return Objective(
        prediction=diffusion.prediction, variance=diffusion.variance, loss=diffusion.loss, weighting=diffusion.weighting
    )


def training_config(run: ResolvedRun) -> TrainingConfig:
    """The run's optimisation settings."""
    hardware = run.hardware
    return TrainingConfig(
        **run.training.model_dump(),
        sample_every=None if run.during_training is None else run.during_training.every,
        precision=hardware.precision,
        compile=hardware.compile,
        channels_last=hardware.channels_last,
    )


def _check_hardware(run: ResolvedRun) -> None:
    if run.hardware.device == "cuda" and not torch.cuda.is_available():
        raise UserError("hardware.device: cuda, but this machine has no usable GPU; use cpu")
    if run.hardware.device == "cuda" and run.hardware.precision == "bfloat16" and not torch.cuda.is_bf16_supported():
        raise UserError("hardware.precision: bfloat16, but this GPU cannot; use float32")
