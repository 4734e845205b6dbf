"""Models that make an image in one pass (DCGAN, WGAN-GP, VAE): drawn from, sampled, and a VAE's bound."""

import statistics
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from rediffuse.config import ResolvedRun
from rediffuse.data.image_set import ImageSet
from rediffuse.diffusion.pixels import to_uint8
from rediffuse.diffusion.randomness import counted_normal, derive_seed
from rediffuse.evaluation.intervals import over_images
from rediffuse.files import digest
from rediffuse.formats import write_json
from rediffuse.pipeline.context import Context
from rediffuse.pipeline.plan import Job
from rediffuse.pipeline.work import Stopwatch
from rediffuse.runs import facts
from rediffuse.runs.networks import generator_of, trained_network
from rediffuse.runs.samples import write_samples
from rediffuse.samplers.generate import generate
from rediffuse.training.variational import held_out_bound

#: A batch takes milliseconds, less than the clock of a busy machine is good for: it is drawn again and again.
TIMED_DRAWS = 20


@torch.inference_mode()
def draw_images(generator: nn.Module, latent: int, seed: int, indices: Tensor, device: str) -> Tensor:
    """Images [B, C, H, W] in [-1, 1]; image i comes from z_i ~ N(0, I), a function of (seed, i) alone."""
    z = counted_normal(seed, indices, 0, (latent,), purpose="latent", device=device)
    return generator(z)


def draw_once(
    run: ResolvedRun, model: nn.Module, image_set: ImageSet, noise_seed: int, count: int, steps: int
) -> Tensor:
    """`count` images, uint8 [count, C, H, W] on the CPU; image i depends on (noise_seed, i) and the weights."""
    indices, device = torch.arange(count), run.hardware.device
    drawn = draw_images(generator_of(model), facts.latent(run).latent, noise_seed, indices, device)
    return to_uint8(drawn).cpu()


def sample_once(job: Job, context: Context, image_set: ImageSet) -> dict[str, Any]:
    """Write samples/one-pass-1.npz. Sample i depends on the weights and (seed, i) alone."""
    run, folder, device = job.run, context.root / job.folder, job.run.hardware.device
    generator = generator_of(trained_network(run, image_set, folder / "weights.safetensors"))
    total, batch = run.sampling.images, min(run.sampling.batch_size, run.sampling.images)

    [(setting, _, _)] = facts.settings(run)

    def images(count: int) -> Iterator[Tensor]:
        def draw(indices: Tensor) -> Tensor:
            return draw_images(generator, facts.latent(run).latent, derive_seed(job.seed, "samples"), indices, device)

        return generate(draw, torch.arange(count), batch, name=f"sample {run.name} {setting}")

    path, shape = folder / "samples" / f"{setting}.npz", (total, *image_set.shape)
    write_samples(path, shape, images(total), 1, digest({"key": job.key}))
    seconds = []
    for _ in range(TIMED_DRAWS):
        watch = Stopwatch()
        next(images(batch))
        seconds.append(watch.seconds)
    middle = statistics.median(seconds)
    return {
        setting: {
            "seconds": middle * total / batch,
            "images": total,
            "batch_size": batch,
            "nfe": 1,
            "ms_per_step": 1000 * middle,
            "ms_per_image": 1000 * middle / batch,
        }
    }


def vae_bound(job: Job, context: Context, image_set: ImageSet) -> None:
    """Write likelihood/nll.json: the bound on the same held-out images as of a diffusion model, in the same form."""
    run, folder = job.run, context.root / job.folder
    images, _ = image_set.pick("held-out", run.evaluation.likelihood_images)
    vae: Any = trained_network(run, image_set, folder / "weights.safetensors")
    reconstruction, kl = held_out_bound(vae, torch.from_numpy(images), derive_seed(job.seed, "likelihood"))
    total: np.ndarray = (reconstruction + kl).numpy()
    record = {
        "study": run.study,
        "run": run.name,
        "role": run.role,
        "seed": job.seed,
        "split": "held-out",
        "n": len(images),
        "metrics": {"bits_per_dim": over_images(total)},
        "parts": {"reconstruction": float(reconstruction.mean()), "kl": float(kl.mean())},
        "decoder_std": float(vae.log_std.detach().exp()),
    }
    write_json(folder / "likelihood" / "nll.json", record)
