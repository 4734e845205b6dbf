"""What a trained network tells by itself: its errors by t beside those of known predictions,
and its gradients' noise.
"""

import itertools
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from rediffuse.config import ResolvedRun
from rediffuse.cost.exact import parameter_count
from rediffuse.cost.flops import count_flops, total
from rediffuse.cost.study import network_config, run_peak_memory
from rediffuse.data.image_set import ImageSet
from rediffuse.diffusion.denoiser import Model
from rediffuse.diffusion.interpolant import TIME_SCALE, VelocityField, to_x0_and_noise
from rediffuse.diffusion.irreducible import covariance_eigenvalues, empirical_means, linear_errors
from rediffuse.diffusion.pixels import to_unit_range
from rediffuse.diffusion.process import DiffusionProcess
from rediffuse.diffusion.randomness import counted_normal, derive_seed
from rediffuse.evaluation import intervals
from rediffuse.formats import write_json
from rediffuse.jobs.training import objective
from rediffuse.pipeline.context import Context
from rediffuse.pipeline.plan import Job
from rediffuse.progress import Progress
from rediffuse.runs import facts
from rediffuse.runs.networks import build_network, denoiser, trained_network
from rediffuse.training.denoising import Denoising
from rediffuse.training.gradient_noise import (
    batch_statistics,
    noise_and_signal,
    noise_to_signal,
    relative_variance,
)
from rediffuse.training.held_out import HeldOutLoss
from rediffuse.training.options import TrainingConfig
from rediffuse.weights import load_into

#: Equal parts that the times are cut into: an error at the start of each, and at the last t.
PARTS = 24
#: Images of the training set that are in float64 at once.
CHUNK = 4096


class Level(NamedTuple):
    """A time step t, and x_t = a x_0 + s ε there."""

    t: int
    a: float
    s: float


class Shown(NamedTuple):
    """Images float32 [N, C, H, W] of a split, and the classes that the network is told."""

    x0: Tensor
    labels: Tensor | None


def probe(job: Job, context: Context, image_set: ImageSet) -> None:
    """Write probe/probe.json: metrics with intervals, errors by t on held-out and on training images."""
    run, weights = job.run, context.root / job.folder / "weights.safetensors"
    network = trained_network(run, image_set, weights)
    times = levels(run)
    errors = {split: by_t(run, network, image_set, split, times) for split in ("held-out", "train")}
    metrics, gradients = _of_batches(job, image_set, load_into(build_network(run, image_set), weights, run.name))
    config = network_config(run, image_set)
    exact = {
        "parameters": parameter_count(config),
        "gflops": total(count_flops(config)).total / 1e9,
        "peak_memory": run_peak_memory(run, image_set),
    }
    record = {
        "study": run.study,
        "run": run.name,
        "role": run.role,
        "seed": job.seed,
        "prediction": facts.diffusion(run).prediction,
        "metrics": {
            **{name: _exact(value) for name, value in exact.items()},
            "eps_error": _over_images(over_times(errors["held-out"]["per_image"], times)),
            "held_out_loss": _over_images(held_out_losses(run, network, image_set)),
            **metrics,
        },
        "gradients": gradients,
        "by_t": [
            {
                **{"t": level.t, "signal": level.a, "snr": level.a**2 / level.s**2},
                **{split: {k: float(v[n]) for k, v in found.items() if v.ndim == 1} for split, found in errors.items()},
            }
            for n, level in enumerate(times)
        ],
        "images": {split: found["per_image"].shape[1] for split, found in errors.items()},
    }
    write_json(context.root / job.folder / "probe" / "probe.json", record)


def levels(run: ResolvedRun) -> list[Level]:
    """The times that are looked at; of a straight path the middle of each of its steps, as in training."""
    last = facts.diffusion(run).timesteps - 1
    chosen = sorted({part * (last + 1) // PARTS for part in range(PARTS)} | {last})
    if facts.is_flow(run):
        times = [(t, (t + 0.5) / (last + 1)) for t in chosen]
        return [Level(t, 1 - time, time) for t, time in times]
    kept = _process(run).alphas_bar
    return [Level(t, float(kept[t].sqrt()), float((1 - kept[t]).sqrt())) for t in chosen]


@torch.inference_mode()
def by_t(
    run: ResolvedRun, network: nn.Module, image_set: ImageSet, split: str, times: list[Level]
) -> dict[str, np.ndarray]:
    """Mean squared errors of ε and x_0 at each t, float64 [L]; and "per_image", the network's of ε, [L, N].

    "eps", "x0" are the network's, "…_linear" those of the best linear prediction, "…_memory" of the training set's own;
    and "eps_mistold", of held-out images, the network's when it is told a t that is a tenth of T off. ε̂ is as the
    network gives it; x̂_0 is limited to [−1, 1], as samplers use it. Images and noise are the same for every run. The
    best linear prediction is that for the covariance of the training images, by formula. That of the training images
    themselves (of an image's class, where the network is told it) is tried on the images at hand.
    """
    shown = _picked(run, image_set, split)
    device, shape = run.hardware.device, tuple(shown.x0.shape[1:])
    found: dict[str, list[Any]] = {"eps": [], "x0": []}
    noises, noisy = [], []
    for level in times:
        noise = counted_normal(0, torch.arange(len(shown.x0)), level.t, shape, purpose=f"probe {split}").to(device)
        xt = level.a * shown.x0 + level.s * noise
        x0, eps = _predictions(run, network, xt, level, shown.labels)
        if split == "held-out":
            _, mistold = _predictions(run, _Mistold(network, run), xt, level, shown.labels)
            found.setdefault("eps_mistold", []).append(_mse(mistold, noise))
        found["eps"].append(_mse(eps, noise))
        found["x0"].append(_mse(x0.clamp(-1, 1), shown.x0))
        noises.append(noise)
        noisy.append(xt)
    a, s = (torch.tensor([getattr(level, name) for level in times], dtype=torch.float64) for name in ("a", "s"))
    linear = linear_errors(_eigenvalues(run, image_set), a, s)
    count = len(shown.x0)
    a, s = (value.to(device).repeat_interleave(count) for value in (a, s))
    labels = None if shown.labels is None else shown.labels.repeat(len(times))
    means = empirical_means(torch.cat(noisy), a, s, _chunks(run, image_set), labels)
    remembered: dict[str, list[Any]] = {"eps": [], "x0": []}
    for level, mean, xt, noise in zip(times, means.split(count), noisy, noises, strict=True):
        remembered["eps"].append(_mse((xt.double() - level.a * mean) / level.s, noise))
        remembered["x0"].append(_mse(mean, shown.x0))
    arrays = {name: np.stack(rows).mean(1) for name, rows in found.items()}
    arrays |= {f"{name}_linear": getattr(linear, name).cpu().numpy() for name in ("eps", "x0")}
    arrays |= {f"{name}_memory": np.stack(rows).mean(1) for name, rows in remembered.items()}
    return {**arrays, "per_image": np.stack(found["eps"])}


def over_times(values: np.ndarray, times: list[Level]) -> np.ndarray:
    """The mean over t, from the first to the last, of values [L, …] at some t, with straight lines between."""
    t = np.array([level.t for level in times], dtype=np.float64)
    return np.trapezoid(values, t, axis=0) / (t[-1] - t[0])


@torch.inference_mode()
def held_out_losses(run: ResolvedRun, network: nn.Module, image_set: ImageSet) -> np.ndarray:
    """The loss of each held-out image as training measures it: at the t and with the noise of `HeldOutLoss`."""
    images, labels = image_set.split("held-out")
    known = labels if facts.is_conditional(run) else None
    size, device = run.training.batch_size, run.hardware.device
    held = HeldOutLoss(_process(run), objective(run), images, known, batch_size=size, device=device)
    losses = []
    for part in torch.arange(len(held.x0), device=device).split(size):
        y = None if held.labels is None else held.labels[part]
        found = held.objective.losses(network, held.process, held.x0[part], held.t[part], held.noise[part], y)
        losses.append(found.loss.double().cpu())
    return torch.cat(losses).numpy()


def _of_batches(job: Job, image_set: ImageSet, network: nn.Module) -> tuple[dict[str, Any], dict[str, float]]:
    """Metrics of batches at these weights, and what the noise of gradients is made of."""
    run, config = job.run, job.run.training
    assert isinstance(config, TrainingConfig)
    images, labels = image_set.split("train")
    labels = labels if facts.is_conditional(run) else None
    learner = Denoising(network, _process(run), objective(run), images, labels, config, job.seed, run.hardware)
    with Progress(f"probe {run.name}", "batch") as progress:
        found = batch_statistics(learner, run.evaluation.probe.batches, derive_seed(job.seed, "probe"), progress)
    noise, signal = noise_and_signal(found.gram)
    metrics = {"gradient_noise": noise_to_signal(found.gram), "loss_variance": relative_variance(found.losses)}
    told = {"noise": noise, "signal": signal, "batch_size": config.batch_size, "loss": float(found.losses.mean())}
    return metrics, told


class _Mistold:
    """A network that is told another time than that of its images: a tenth of all later, or earlier at the end."""

    def __init__(self, network: nn.Module, run: ResolvedRun) -> None:
        self.network = network
        self.scale = TIME_SCALE if facts.is_flow(run) else float(facts.diffusion(run).timesteps)

    def __call__(self, x: Tensor, t: Tensor, *labels: Tensor | None) -> Tensor:
        later = t + self.scale / 10
        told = torch.where(later < self.scale, later, t - self.scale / 10)
        return self.network(x, told.to(t.dtype), *labels)


def _process(run: ResolvedRun) -> DiffusionProcess:
    return DiffusionProcess.create(facts.diffusion(run).schedule, facts.diffusion(run).timesteps)


def _predictions(
    run: ResolvedRun, network: Model, xt: Tensor, level: Level, labels: Tensor | None
) -> tuple[Tensor, Tensor]:
    """x̂_0 and ε̂ without any limit, from whatever the network predicts."""
    if facts.is_flow(run):
        return to_x0_and_noise(xt, VelocityField(network, labels)(xt, level.s), level.s)
    found = denoiser(run, network, clip=False, labels=labels)(xt, level.t)
    return found.x0, found.eps


def _picked(run: ResolvedRun, image_set: ImageSet, split: str) -> Shown:
    images, labels = image_set.pick(split, run.evaluation.probe.images)
    known = (
        torch.from_numpy(labels).to(run.hardware.device) if facts.is_conditional(run) and labels is not None else None
    )
    return Shown(to_unit_range(torch.from_numpy(images).to(run.hardware.device)), known)


def _chunks(run: ResolvedRun, image_set: ImageSet) -> Iterator[tuple[Tensor, Tensor | None]]:
    """All training images with their classes; where training mirrors images, mirrored ones too."""
    chosen = np.array_split(image_set.indices("train"), -(-len(image_set.indices("train")) // CHUNK))
    mirrored = (False, True) if run.training.flip else (False,)
    for part, flip in itertools.product(chosen, mirrored):
        images = to_unit_range(torch.from_numpy(image_set.images[part]).to(run.hardware.device))
        labels = None if image_set.labels is None else torch.from_numpy(image_set.labels[part]).to(images.device)
        yield images.flip(-1) if flip else images, labels


def _eigenvalues(run: ResolvedRun, image_set: ImageSet) -> Tensor:
    return covariance_eigenvalues(images for images, _ in _chunks(run, image_set)).cpu()


def _mse(ours: Tensor, theirs: Tensor) -> np.ndarray:
    """Mean squared difference of each image, float64 [N]."""
    return (ours.double() - theirs.double()).square().flatten(1).mean(1).cpu().numpy()


def _over_images(values: np.ndarray) -> dict[str, Any]:
    # Enough digits to compare two runs image by image.
    return {**intervals.over_images(values), "per_image": [float(f"{value:.6g}") for value in values]}


def _exact(value: float) -> dict[str, Any]:
    return {"value": value, "low": value, "high": value, "n": 1, "interval": "exact"}
