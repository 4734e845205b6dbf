"""What a trained network makes of damaged held-out images, and how a sample comes about."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from rediffuse.arrays import write_arrays
from rediffuse.data.image_set import open_image_set
from rediffuse.diffusion.pixels import to_uint8, to_unit_range
from rediffuse.diffusion.randomness import SampleNoise, counted_normal, derive_seed
from rediffuse.evaluation.intervals import over_images
from rediffuse.formats import write_json
from rediffuse.pipeline.context import Context
from rediffuse.pipeline.plan import Job
from rediffuse.runs.networks import any_denoiser, trained_network
from rediffuse.samplers.ancestral import ancestral
from rediffuse.samplers.ddim import ddim
from rediffuse.samplers.restoration import (
    denoise,
    denoise_by_sampling,
    downsample,
    inpaint,
    null_space_sample,
    psnr,
    super_resolve,
    upsample,
)
from rediffuse.samplers.trajectory import Trajectory, evenly

SHOWN = 8
# dB. A flat picture is its own enlargement; rounding to 8 bits alone gives 59.
EXACT = 100.0


@torch.inference_mode()
def restore(job: Job, context: Context) -> None:
    """Write restoration/psnr.json and restoration/images.npz (uint8, the first images) of a run.

    The network is used as an unconditional model: a class-conditional one is given the null token. Tasks: the middle
    quarter of the image is missing (RePaint, DDNM); white noise was added (the network's own posterior mean, and a
    sample from it); only 2×2 means are known (DDNM). A velocity is read as a denoiser (`VelocityDenoiser`).
    """
    run, seed, folder = job.run, job.seed, context.root / job.folder
    settings = run.restoration
    image_set = open_image_set(context.data_folder)
    held_out, _ = image_set.pick("held-out", settings.images, order=2)
    x0 = to_unit_range(torch.from_numpy(held_out).to(run.hardware.device))
    network = trained_network(run, image_set, folder / "weights.safetensors")
    whole, few = any_denoiser(run, network), any_denoiser(run, network, settings.steps)

    def noise(purpose: str) -> SampleNoise:
        indices = torch.arange(len(x0))
        return SampleNoise(derive_seed(seed, "restore", purpose), indices, image_set.shape, device=x0.device)

    mask = torch.ones(x0.shape[-2:], device=x0.device)
    height, width = mask.shape
    mask[height // 4 : height - height // 4, width // 4 : width - width // 4] = 0
    drawn = counted_normal(derive_seed(seed, "restore", "damage"), torch.arange(len(x0)), 0, image_set.shape)
    noisy = x0 + settings.sigma * drawn.to(x0)
    low = downsample(x0)
    filled: dict[str, Tensor] = {}
    cleaned = {"posterior mean": denoise(whole, noisy, settings.sigma)}
    finer: dict[str, Tensor] = {}
    if "ancestral" in settings.methods:
        filled["RePaint"] = inpaint(few, noise("inpaint"), x0, mask, resamples=settings.resamples)
        cleaned["posterior sample"] = denoise_by_sampling(few, noisy, settings.sigma, noise("denoise"))
        finer["DDNM"] = super_resolve(few, noise("finer"), low)
    if "ddim" in settings.methods:
        filled["DDNM, η = 0"] = null_space_sample(
            few, noise("inpaint"), lambda guess: mask * x0 + (1 - mask) * guess, eta=0.0
        )
        cleaned["DDIM"] = denoise_by_sampling(few, noisy, settings.sigma, noise("denoise"), run=ddim)
        finer["DDNM, η = 0"] = super_resolve(few, noise("finer"), low, eta=0.0)
    results = {
        "inpainting": (x0 * mask, filled),
        "denoising": (noisy, cleaned),
        "super-resolution": (upsample(low), finer),
    }

    film = Trajectory(evenly(settings.frames, settings.steps), images=SHOWN)
    last = ancestral(few, noise("film"), callback=film)
    shown = {"original": x0, "film-t": few.process.timestep_map[torch.tensor(film.t).long()].float()}
    for task, (damaged, restored) in results.items():
        shown[f"{task}/damaged"] = damaged
        shown |= {f"{task}/{method}": images for method, images in restored.items()}
    arrays: dict[str, Any] = {
        name: value.numpy() if name == "film-t" else _pixels(value[:SHOWN]) for name, value in shown.items()
    }
    arrays["film-x"] = np.stack([_pixels(x) for x in [*film.x, last[:SHOWN]]])
    arrays["film-x0"] = np.stack([_pixels(x) for x in [*film.x0, last[:SHOWN]]])
    write_arrays(folder / "restoration" / "images.npz", **arrays)
    tasks = {
        task: {
            "damaged": over_images(decibels(damaged, x0)),
            "restored": {method: _by_image(decibels(images, x0)) for method, images in restored.items()},
        }
        for task, (damaged, restored) in results.items()
    }
    record = {"study": run.study, "run": run.name, "seed": seed, "split": "held-out", "unit": "dB"}
    write_json(folder / "restoration" / "psnr.json", {**record, "tasks": tasks})


def decibels(images: Tensor, x0: Tensor) -> Tensor:
    """PSNR of each image, clipped to [-1, 1], [B] on the CPU; that of an image without error, which is infinite, counts
    as `EXACT`.
    """
    return psnr(images.clamp(-1, 1), x0).clamp(max=EXACT).cpu()


def _by_image(values: Tensor) -> dict[str, Any]:
    return {**over_images(values), "per_image": values.tolist()}


def _pixels(images: Tensor) -> np.ndarray:
    return to_uint8(images).cpu().numpy()
