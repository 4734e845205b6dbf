"""Stage `restore`: what a trained network makes of damaged held-out images, and how a sample comes about."""

from typing import Any

import numpy as np
import torch
from scipy.stats import t as student
from torch import Tensor

from rediffuse.config import ResolvedRun
from rediffuse.data import open_image_set
from rediffuse.diffusion.denoiser import Denoiser
from rediffuse.diffusion.process import DiffusionProcess
from rediffuse.diffusion.randomness import SampleNoise, counted_normal, derive_seed
from rediffuse.diffusion.schedules import respaced_timesteps
from rediffuse.files import atomic_path, write_json
from rediffuse.samplers.ancestral import ancestral
from rediffuse.samplers.generate import to_uint8
from rediffuse.samplers.restoration import (
    denoise,
    denoise_by_sampling,
    downsample,
    inpaint,
    psnr,
    super_resolve,
    upsample,
)
from rediffuse.samplers.trajectory import Trajectory, evenly
from rediffuse.stages.context import Context, Stopwatch, set_threads, working, write_timing
from rediffuse.stages.networks import trained_network

SHOWN, CONFIDENCE = 8, 0.95


@torch.inference_mode()
def restore(context: Context, run: ResolvedRun, seed: int) -> None:
    """Write restoration/psnr.json and restoration/images.npz (uint8, the first images) of a run.

    The network is used as an unconditional model: a class-conditional one is given the null token. Tasks: the middle
    quarter of the image is missing (RePaint); white noise was added (the network's own posterior mean, and a sample
    from it); only 2×2 means are known (DDNM).
    """
    set_threads(run)
    job = context.plan.find("restore", run.name, seed)
    folder, settings, watch = context.folder(run, seed), context.loaded.study.restoration, Stopwatch()
    with working(context, job):
        image_set = open_image_set(context.data_folder)
        held_out, _ = image_set.split("held-out")
        order = np.random.Generator(np.random.PCG64(2)).permutation(len(held_out))[: settings.images]
        x0 = torch.from_numpy(held_out[order]).to(run.hardware.device, torch.float32).div_(127.5).sub_(1.0)
        network = trained_network(run, image_set, folder / "weights.safetensors")
        process = DiffusionProcess.create(run.diffusion.schedule, run.diffusion.timesteps)
        diffusion = run.diffusion
        whole = Denoiser(network, process, prediction=diffusion.prediction, variance=diffusion.variance)
        kept = respaced_timesteps(diffusion.timesteps, settings.steps)
        few = Denoiser(network, process.respace(kept), prediction=diffusion.prediction, variance=diffusion.variance)

        def noise(purpose: str) -> SampleNoise:
            indices = torch.arange(len(x0))
            return SampleNoise(derive_seed(seed, "restore", purpose), indices, image_set.shape, device=x0.device)

        results: dict[str, tuple[Tensor, dict[str, Tensor]]] = {}
        mask = torch.ones(x0.shape[-2:], device=x0.device)
        height, width = mask.shape
        mask[height // 4 : height - height // 4, width // 4 : width - width // 4] = 0
        filled = inpaint(few, noise("inpaint"), x0, mask, resamples=settings.resamples)
        results["inpainting"] = (x0 * mask, {"RePaint": filled})
        drawn = counted_normal(derive_seed(seed, "restore", "damage"), torch.arange(len(x0)), 0, image_set.shape)
        noisy = x0 + settings.sigma * drawn.to(x0)
        sampled = denoise_by_sampling(few, noisy, settings.sigma, noise("denoise"))
        mean = denoise(whole, noisy, settings.sigma)
        results["denoising"] = (noisy, {"posterior mean": mean, "posterior sample": sampled})
        low = downsample(x0)
        finer = super_resolve(few, noise("finer"), low)
        results["super-resolution"] = (upsample(low), {"DDNM": finer})

        film = Trajectory(evenly(settings.frames, settings.steps), images=SHOWN)
        last = ancestral(few, noise("film"), callback=film)
        shown = {"original": x0, "film-t": torch.tensor([float(kept[int(t)]) for t in film.t])}
        for task, (damaged, restored) in results.items():
            shown[f"{task}/damaged"] = damaged
            shown |= {f"{task}/{method}": images for method, images in restored.items()}
        arrays: dict[str, Any] = {
            name: value.numpy() if name == "film-t" else _pixels(value[:SHOWN]) for name, value in shown.items()
        }
        arrays["film-x"] = np.stack([_pixels(x) for x in [*film.x, last[:SHOWN]]])
        arrays["film-x0"] = np.stack([_pixels(x) for x in [*film.x0, last[:SHOWN]]])
        with atomic_path(folder / "restoration" / "images.npz") as temporary:
            np.savez(temporary, **arrays)
        tasks = {
            task: {
                "damaged": _estimate(psnr(damaged.clamp(-1, 1), x0)),
                "restored": {method: _estimate(psnr(images.clamp(-1, 1), x0)) for method, images in restored.items()},
            }
            for task, (damaged, restored) in results.items()
        }
        record = {"study": run.study, "run": run.name, "seed": seed, "split": "held-out", "unit": "dB"}
        write_json(folder / "restoration" / "psnr.json", {**record, "tasks": tasks})
    write_timing(folder / "timing" / "restore.json", job, run, seconds=watch.seconds)


def _pixels(images: Tensor) -> np.ndarray:
    return to_uint8(images).cpu().numpy()


def _estimate(values: Tensor) -> dict[str, float | int | str]:
    """Mean over images with its t-interval."""
    n = len(values)
    half = float(student.ppf(0.5 + CONFIDENCE / 2, n - 1)) * float(values.std()) / n**0.5
    mean = float(values.mean())
    interval = f"{100 * CONFIDENCE:g} % t-interval over {n} images"
    return {"value": mean, "low": mean - half, "high": mean + half, "n": n, "interval": interval}
