"""Snapshots of a training, drawn in a few steps from the same noise and scored: how quality grows."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from rediffuse.config import ResolvedRun
from rediffuse.data.image_set import ImageSet, open_image_set
from rediffuse.diffusion.interpolant import VelocityField
from rediffuse.diffusion.randomness import SampleNoise, derive_seed
from rediffuse.formats import write_json
from rediffuse.grids import save_grid
from rediffuse.pipeline.context import Context
from rediffuse.pipeline.plan import Job
from rediffuse.progress import Progress
from rediffuse.runs import facts
from rediffuse.runs.facts import snapshot
from rediffuse.runs.judge import Judge
from rediffuse.runs.networks import build, class_labels, denoiser
from rediffuse.runs.samples import write_of_training
from rediffuse.samplers.ddim import ddim
from rediffuse.samplers.flow import flow_euler
from rediffuse.samplers.generate import generate
from rediffuse.weights import read_weights

PREVIEW_IMAGES, PREVIEW_STEPS = 16, 25
WEIGHTS = ("averaged", "raw")

# (run, network, images' data set, seed of the noise, number of images, sampling steps)
# -> uint8 [N, C, H, W] on the CPU.
Draw = Callable[[ResolvedRun, nn.Module, ImageSet, int, int, int], Tensor]


def follow(job: Job, context: Context, draw: Draw) -> dict[str, Any]:
    """Draw every snapshot that is to be seen or scored; the seconds that this took, by itself no result."""
    run, folder = job.run, context.root / job.folder
    image_set = open_image_set(context.data_folder)
    during = facts.during_training(run)
    judge = Judge(context.loaded, context.root, context.made_by) if during is not None else None
    previews, scored = facts.preview_steps(run), facts.scored_steps(run)
    rows = []
    with Progress(f"follow {run.name}", "snapshot") as progress:
        for number, step in enumerate(facts.snapshot_steps(run)):
            networks = _networks(job, context, image_set, step)
            if step in previews:
                drawn = draw(
                    run,
                    networks["averaged"],
                    image_set,
                    derive_seed(job.seed, "preview"),
                    PREVIEW_IMAGES,
                    PREVIEW_STEPS,
                )
                save_grid(drawn.numpy(), folder / "previews" / f"step-{step:06d}.png", pixels=40)
            if judge is not None and during is not None and step in scored:
                images = _both(job, networks, image_set, draw)
                write_of_training(folder / "during-training" / f"step-{step:06d}.npz", images)
                rows.append({"step": step, **{name: judge.values(drawn) for name, drawn in images.items()}})
            progress(number + 1, len(facts.snapshot_steps(run)))
    if judge is not None:
        write_json(folder / "during-training" / "scores.json", _record(job, judge, rows))
    return {}


def live_scores(context: Context, job: Job, averaged: nn.Module, raw: nn.Module) -> dict[str, dict[str, float]]:
    """What the samples of a network in training score now, by weights: for the eye."""
    judge = Judge(context.loaded, context.root, context.made_by)
    images = _both(job, {"averaged": averaged, "raw": raw}, judge.images, draw_unet)
    return {name: judge.values(drawn) for name, drawn in images.items()}


def _networks(job: Job, context: Context, image_set: ImageSet, step: int) -> dict[str, nn.Module]:
    """The networks of a snapshot, by weights, on the run's device and in evaluation mode."""
    path = context.root / job.folder / "snapshots" / snapshot(step)
    state = read_weights(path, f"run {job.run.name}")
    found = {}
    for name in WEIGHTS:
        network = build(job.run, image_set)
        own = {key.removeprefix(f"{name}."): value for key, value in state.items() if key.startswith(f"{name}.")}
        network.load_state_dict(own)
        found[name] = network.to(job.run.hardware.device).eval()
        if job.run.hardware.channels_last and job.run.model == "unet":
            found[name] = found[name].to(memory_format=torch.channels_last)
    return found


def _both(job: Job, networks: dict[str, nn.Module], image_set: ImageSet, draw: Draw) -> dict[str, np.ndarray]:
    """Samples of each kind of weights, from the same noise, at every step alike."""
    during = facts.during_training(job.run)
    assert during is not None
    noise = derive_seed(job.seed, "during training")
    return {
        name: draw(job.run, network, image_set, noise, during.images, during.steps).numpy()
        for name, network in networks.items()
    }


def _record(job: Job, judge: Judge, rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Metrics of the samples, and of as many held-out images, if there are: each of one group."""
    run, during = job.run, facts.during_training(job.run)
    assert during is not None
    images, _ = judge.images.pick("held-out", during.images)
    return {
        "study": run.study,
        "run": run.name,
        "seed": job.seed,
        "features": judge.network.name,
        "reference": judge.reference.to_dict(),
        "n": during.images,
        "steps": during.steps,
        "held_out": judge.values(images) if len(images) == during.images else {},
        "rows": rows,
    }


@torch.inference_mode()
def draw_unet(
    run: ResolvedRun, model: nn.Module, image_set: ImageSet, noise_seed: int, count: int, steps: int
) -> Tensor:
    """`count` images, uint8 [count, C, H, W] on the CPU, by `steps` steps of DDIM (η = 0), or of Euler's method where
    the velocity is predicted. Image i depends on (noise_seed, i) and the weights;
    class-conditional runs get all classes.
    """
    assert run.diffusion is not None
    steps = min(steps, run.diffusion.timesteps)

    def draw(indices: Tensor) -> Tensor:
        noise = SampleNoise(noise_seed, indices, image_set.shape, device=run.hardware.device)
        labels = class_labels(run, image_set, indices)
        if facts.is_flow(run):
            return flow_euler(VelocityField(model, labels), noise, steps=steps)
        return ddim(denoiser(run, model, steps, labels=labels), noise)

    name = f"samples of {run.name} while it trains"
    return torch.cat(list(generate(draw, torch.arange(count), run.sampling.batch_size, name=name)))
