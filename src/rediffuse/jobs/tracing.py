"""What samples go through on their way: x_t against q(x_t), and how good the estimate of x0 is at each step."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from rediffuse.arrays import write_arrays
from rediffuse.data.image_set import ImageSet
from rediffuse.diffusion.pixels import to_uint8
from rediffuse.diffusion.randomness import SampleNoise, derive_seed
from rediffuse.evaluation.intervals import over_images
from rediffuse.evaluation.scoring import frechet_distance
from rediffuse.formats import write_json
from rediffuse.pipeline.context import Context
from rediffuse.pipeline.plan import Job
from rediffuse.progress import Progress
from rediffuse.runs import facts
from rediffuse.runs.judge import Judge
from rediffuse.runs.networks import any_denoiser, class_labels, trained_network
from rediffuse.samplers.ancestral import ancestral
from rediffuse.samplers.ddim import ddim
from rediffuse.samplers.trajectory import Trajectory, evenly

SAMPLERS = {"ancestral": ancestral, "ddim": ddim}
#: Images whose estimates are kept to be shown.
SHOWN = 4
#: Training images whose pixels are in memory at once.
_AT_ONCE = 1024


@torch.inference_mode()
def trace(job: Job, context: Context) -> None:
    """Write trajectory/trajectory.json and trajectory/images.npz (estimates of x0, uint8 [points, images, C, H, W]).

    The samples are the first that the run samples with these samplers in as many steps: the noise is the same.
    """
    run, asked, folder = job.run, facts.trajectories(job.run), context.root / job.folder
    assert asked is not None
    judge = Judge(context.loaded, context.root, context.made_by)
    network = trained_network(run, judge.images, folder / "weights.safetensors")
    field = any_denoiser(run, network, asked.steps, clip=run.sampling.clip)
    levels, times = field.process.alphas_bar.tolist(), field.process.timestep_map.tolist()
    mean, variance = pixel_moments(judge.images)
    kept, batches = evenly(asked.points, asked.steps), torch.arange(asked.images).split(run.sampling.batch_size)
    found, shown, scores = {}, {}, {}
    for name, sampler in SAMPLERS.items():
        tracks, last = [], []
        for indices in batches:
            noise = SampleNoise(
                derive_seed(job.seed, "samples"), indices, judge.images.shape, device=run.hardware.device
            )
            tracks.append(Trajectory(kept))
            told = field.with_labels(class_labels(run, judge.images, indices))
            last.append(sampler(told, noise, callback=tracks[-1]).cpu())
        rows: list[dict[str, Any]] = []
        pictures = []
        with Progress(f"score the way of {run.name}, {name}", "step") as progress:
            for place, (k, t) in enumerate(zip(kept, map(int, tracks[0].t), strict=True)):
                x, x0 = (torch.cat([getattr(track, part)[place] for track in tracks]) for part in ("x", "x0"))
                images = to_uint8(x0).numpy()
                # Both samplers begin with the same noise, hence with the same estimate.
                if (pixels := images.tobytes()) not in scores:
                    scores[pixels] = frechet_distance(judge.scorer, judge.features(images, None))
                estimate = {"clipped": float((x0.abs() >= 1).double().mean()), "distance": scores[pixels]}
                rows.append({"step": k, "t": times[t], **spread(x, levels[t], mean, variance), **estimate})
                pictures.append(images[:SHOWN])
                progress(place + 1, len(kept))
        found[name] = [*rows, {"step": asked.steps, "t": None, **spread(torch.cat(last), 1.0, mean, variance)}]
        shown[name] = np.stack(pictures)
    write_arrays(folder / "trajectory" / "images.npz", **shown)
    record = {"study": run.study, "run": run.name, "seed": job.seed, "features": judge.network.name}
    write_json(
        folder / "trajectory" / "trajectory.json",
        {**record, "n": asked.images, "steps": asked.steps, "samplers": found},
    )


def pixel_moments(image_set: ImageSet) -> tuple[float, float]:
    """Mean and variance of all pixels of the training images, in [-1, 1]."""
    counts, chosen = np.zeros(256, dtype=np.int64), image_set.indices("train")
    for start in range(0, len(chosen), _AT_ONCE):
        counts += np.bincount(image_set.images[chosen[start : start + _AT_ONCE]].ravel(), minlength=256)
    values, weights = np.arange(256) / 127.5 - 1, counts / counts.sum()
    mean = float(weights @ values)
    return mean, float(weights @ (values - mean) ** 2)


def spread(x: Tensor, alpha_bar: float, mean: float, variance: float) -> dict[str, Any]:
    """Mean and standard deviation of x_t [B, C, H, W] over images and pixels, and what they are under q(x_t).

    mean, variance: of the pixels of x_0, so that q(x_t) has mean √ᾱ mean and variance ᾱ variance + 1 − ᾱ. The deviation
    is taken from q's mean; the intervals are over images.
    """
    expected, pixels = alpha_bar**0.5 * mean, x.double().flatten(1)
    second = over_images((pixels - expected).square().mean(1))
    ends = {key: None if second[key] is None else max(0.0, second[key]) ** 0.5 for key in ("value", "low", "high")}
    return {
        "mean": over_images(pixels.mean(1)),
        "expected_mean": expected,
        "std": {**second, **ends},
        "expected_std": (alpha_bar * variance + 1 - alpha_bar) ** 0.5,
    }
