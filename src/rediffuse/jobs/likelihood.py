"""The bound on the likelihood of held-out images under a diffusion model, whole and by time step."""

import csv
import io
from pathlib import Path
from typing import Any

import torch

from rediffuse.arrays import read_arrays, write_arrays
from rediffuse.config import ResolvedRun
from rediffuse.data.image_set import ImageSet
from rediffuse.diffusion.likelihood import BitsPerDim, BoundTerms, bound_terms, over_images
from rediffuse.diffusion.pixels import to_unit_range
from rediffuse.diffusion.randomness import derive_seed
from rediffuse.errors import UserError
from rediffuse.evaluation import intervals
from rediffuse.files import write_atomically
from rediffuse.formats import write_json
from rediffuse.pipeline.context import Context
from rediffuse.pipeline.plan import Job
from rediffuse.progress import Progress
from rediffuse.runs import facts
from rediffuse.runs.hardware import compiles_noise
from rediffuse.runs.networks import denoiser, trained_network


def diffusion_bound(job: Job, context: Context, image_set: ImageSet) -> None:
    """Write likelihood/nll.json and likelihood/terms.csv.

    The images are the first of the held-out split in a fixed shuffle, x̂_0 is clipped as in IDDPM's own evaluation, and
    L_0 is the exact discretised Gaussian. Finished batches of an interrupted job are used.
    """
    run, folder, parts = job.run, context.root / job.folder, []
    files = write_terms(job, context, image_set, range(images_of_bound(job, image_set)))
    for path in files:
        arrays = read_arrays(path)
        if arrays is None:
            raise UserError(f"{path} was damaged while the bound was worked out; run it again")
        parts.append(BoundTerms(**{name: torch.from_numpy(array) for name, array in arrays.items()}))
    timesteps = facts.diffusion(run).timesteps
    bound = over_images(parts, torch.arange(timesteps))
    write_atomically(folder / "likelihood" / "terms.csv", _terms(bound))
    write_json(folder / "likelihood" / "nll.json", _record(run, job.seed, bound, timesteps))
    for path in files:
        path.unlink()


def images_of_bound(job: Job, image_set: ImageSet) -> int:
    """How many held-out images the bound is a mean over."""
    return len(image_set.pick("held-out", job.run.evaluation.likelihood_images)[0])


@torch.inference_mode()
def write_terms(job: Job, context: Context, image_set: ImageSet, own: range) -> list[Path]:
    """The files of the bound's terms, one a batch of the held-out images `own`; those not there yet are made.

    `own` begins with a batch: at a multiple of its size.
    """
    run, batch = job.run, job.run.sampling.batch_size
    device, work = run.hardware.device, context.state(job) / job.key[:16]
    images, labels = (
        None if picked is None else torch.from_numpy(picked)
        for picked in image_set.pick("held-out", run.evaluation.likelihood_images)
    )
    assert images is not None
    files = {work / f"{start:08d}.npz": torch.arange(len(images))[start : start + batch] for start in own[::batch]}
    missing = {path: indices for path, indices in files.items() if read_arrays(path) is None}
    if not missing:
        return list(files)
    whole = denoiser(run, trained_network(run, image_set, context.root / job.folder / "weights.safetensors"))
    timesteps = whole.process.num_timesteps
    with Progress(f"likelihood {run.name}", "step") as progress:
        for done, (path, indices) in enumerate(missing.items()):

            def tick(t: int, done: int = done) -> None:
                progress((done + 1) * timesteps - t, len(missing) * timesteps)

            x0 = to_unit_range(images[indices].to(device))
            told = whole
            if facts.is_conditional(run) and labels is not None:
                told = whole.with_labels(labels[indices].to(device))
            how: dict[str, Any] = {
                "seed": derive_seed(job.seed, "likelihood"),
                "compiled": compiles_noise(run.hardware),
            }
            terms = bound_terms(told, x0, indices, **how, on_step=tick)
            write_arrays(path, **{name: value.cpu().numpy() for name, value in vars(terms).items()})
    return list(files)


def _record(run: ResolvedRun, seed: int, bound: BitsPerDim, timesteps: int) -> dict[str, object]:
    return {
        "study": run.study,
        "run": run.name,
        "role": run.role,
        "seed": seed,
        "split": "held-out",
        "n": len(bound.per_image),
        "timesteps": timesteps,
        "metrics": {"bits_per_dim": intervals.over_images(bound.per_image)},
        # Every run sees the same images with the same noise, so that two runs can be compared image by image.
        "per_image": bound.per_image.tolist(),
        "parts": {"prior": bound.prior, "steps": float(bound.terms[1:].sum()), "decoder": bound.decoder},
    }


def _terms(bound: BitsPerDim) -> str:
    """The bound's term, and the errors of the network, by t; t = 0 is the decoder."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(("t", "bits_per_dim", "mse_eps", "mse_x0"))
    columns = zip(bound.terms.tolist(), bound.mse_eps.tolist(), bound.mse_x0.tolist(), strict=True)
    writer.writerows((t, *values) for t, values in enumerate(columns))
    return buffer.getvalue()
