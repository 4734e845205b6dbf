"""Stage `nll`: the bound on the likelihood of held-out images under a trained network, whole and by time step."""

import csv
import io

import numpy as np
import torch

from rediffuse.config import ResolvedRun
from rediffuse.data.image_set import open_image_set
from rediffuse.diffusion.likelihood import BitsPerDim, BoundTerms, bound_terms, over_images
from rediffuse.diffusion.pixels import to_unit_range
from rediffuse.diffusion.randomness import derive_seed
from rediffuse.evaluation import intervals
from rediffuse.files import atomic_path, write_atomically, write_json
from rediffuse.progress import Progress
from rediffuse.stages.context import Context, Stopwatch, set_threads, working, write_timing
from rediffuse.stages.networks import denoiser, trained_network
from rediffuse.tracking import log_likelihood, log_now


@torch.inference_mode()
def nll(context: Context, run: ResolvedRun, seed: int) -> None:
    """Write likelihood/nll.json (bits/dim, with the interval over images) and likelihood/terms.csv (by t).

    The images are the first of the held-out split in a fixed shuffle, x̂_0 is clipped as in IDDPM's own evaluation, and
    L_0 is the exact discretised Gaussian. Finished batches of an interrupted job are used.
    """
    set_threads(run)
    job = context.plan.find("nll", run.name, seed)
    folder = context.folder(run, seed)
    work = context.state(run, seed) / "nll" / job.key[:16]
    watch = Stopwatch()
    with working(context, job):
        image_set = open_image_set(context.data_folder)
        held_out, labels = image_set.pick("held-out", run.evaluation.likelihood_images)
        images, classes = torch.from_numpy(held_out), None
        if run.network.class_conditional and labels is not None:
            classes = torch.from_numpy(labels).to(run.hardware.device)
        whole = denoiser(run, trained_network(run, image_set, folder / "weights.safetensors"))
        starts = range(0, len(images), run.sampling.batch_size)
        parts: list[BoundTerms] = []
        with Progress(f"likelihood {run.name}", "step") as progress:
            for number, start in enumerate(starts):
                path = work / f"{start:08d}.npz"
                if not path.exists():

                    def tick(t: int, done: int = number) -> None:
                        progress((done + 1) * run.diffusion.timesteps - t, len(starts) * run.diffusion.timesteps)

                    indices = torch.arange(start, min(start + run.sampling.batch_size, len(images)))
                    x0 = to_unit_range(images[indices].to(run.hardware.device))
                    of_batch = whole if classes is None else whole.with_labels(classes[indices])
                    terms = bound_terms(of_batch, x0, indices, seed=derive_seed(seed, "likelihood"), on_step=tick)
                    with atomic_path(path) as temporary:
                        np.savez(temporary, **{name: value.cpu().numpy() for name, value in vars(terms).items()})
                with np.load(path, allow_pickle=False) as content:
                    parts.append(BoundTerms(**{name: torch.from_numpy(content[name]) for name in content.files}))
        bound = over_images(parts, whole.process.timestep_map)
        write_atomically(folder / "likelihood" / "terms.csv", _terms(bound))
        write_json(folder / "likelihood" / "nll.json", _record(run, seed, bound))
    for part in work.glob("*.npz"):
        part.unlink()
    write_timing(folder / "timing" / "nll.json", job, run, seconds=watch.seconds)
    log_now(log_likelihood, context, run, seed)


def _record(run: ResolvedRun, seed: int, bound: BitsPerDim) -> dict[str, object]:
    return {
        "study": run.study,
        "run": run.name,
        "role": run.role,
        "seed": seed,
        "split": "held-out",
        "n": len(bound.per_image),
        "timesteps": run.diffusion.timesteps,
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
