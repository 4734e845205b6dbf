"""The bound on the likelihood of held-out images under a diffusion model, whole and by time step."""

import csv
import io

import torch

from rediffuse.arrays import read_arrays, write_arrays
from rediffuse.config import ResolvedRun
from rediffuse.data.image_set import ImageSet
from rediffuse.diffusion.likelihood import BitsPerDim, BoundTerms, bound_terms, over_images
from rediffuse.diffusion.pixels import to_unit_range
from rediffuse.diffusion.randomness import derive_seed
from rediffuse.evaluation import intervals
from rediffuse.files import write_atomically
from rediffuse.formats import write_json
from rediffuse.pipeline.context import Context
from rediffuse.pipeline.plan import Job
from rediffuse.progress import Progress
from rediffuse.runs import facts
from rediffuse.runs.hardware import compiles_noise
from rediffuse.runs.networks import denoiser, trained_network


@torch.inference_mode()
def diffusion_bound(job: Job, context: Context, image_set: ImageSet) -> None:
    """Write likelihood/nll.json and likelihood/terms.csv.

    The images are the first of the held-out split in a fixed shuffle, x̂_0 is clipped as in IDDPM's own evaluation, and
    L_0 is the exact discretised Gaussian. Finished batches of an interrupted job are used.
    """
    run, seed, folder = job.run, job.seed, context.root / job.folder
    work = context.state(job) / job.key[:16]
    held_out, labels = image_set.pick("held-out", run.evaluation.likelihood_images)
    images, classes = torch.from_numpy(held_out), None
    if facts.is_conditional(run) and labels is not None:
        classes = torch.from_numpy(labels).to(run.hardware.device)
    whole = denoiser(run, trained_network(run, image_set, folder / "weights.safetensors"))
    starts = range(0, len(images), run.sampling.batch_size)
    timesteps = whole.process.num_timesteps
    parts: list[BoundTerms] = []
    with Progress(f"likelihood {run.name}", "step") as progress:
        for number, start in enumerate(starts):
            path = work / f"{start:08d}.npz"
            if (arrays := read_arrays(path)) is None:

                def tick(t: int, done: int = number) -> None:
                    progress((done + 1) * timesteps - t, len(starts) * timesteps)

                indices = torch.arange(start, min(start + run.sampling.batch_size, len(images)))
                x0 = to_unit_range(images[indices].to(run.hardware.device))
                of_batch = whole if classes is None else whole.with_labels(classes[indices])
                how = {"seed": derive_seed(seed, "likelihood"), "compiled": compiles_noise(run.hardware)}
                terms = bound_terms(of_batch, x0, indices, **how, on_step=tick)  # type: ignore[arg-type]
                arrays = {name: value.cpu().numpy() for name, value in vars(terms).items()}
                write_arrays(path, **arrays)
            parts.append(BoundTerms(**{name: torch.from_numpy(array) for name, array in arrays.items()}))
    bound = over_images(parts, whole.process.timestep_map)
    write_atomically(folder / "likelihood" / "terms.csv", _terms(bound))
    write_json(folder / "likelihood" / "nll.json", _record(run, seed, bound, timesteps))
    for part in work.glob("*.npz"):
        part.unlink()


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
