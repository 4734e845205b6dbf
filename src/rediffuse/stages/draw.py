"""Stage `draw`: a trained one-pass model becomes images, batch by batch."""

import statistics

import numpy as np
import torch

from rediffuse.config import ResolvedGenerator
from rediffuse.data.image_set import open_image_set
from rediffuse.diffusion.pixels import to_uint8
from rediffuse.diffusion.randomness import derive_seed
from rediffuse.files import digest
from rediffuse.stages.context import Context, Stopwatch, keep_only, set_threads, working, write_timing
from rediffuse.stages.one_pass import draw_images, generator_of, trained
from rediffuse.stages.samples import Samples

#: A batch takes milliseconds, less than the clock of a busy machine is good for: it is drawn again and again.
TIMED_DRAWS = 20


def draw(context: Context, model: ResolvedGenerator, seed: int) -> None:
    """Write samples/one-pass-1.npz. Sample i depends on the weights and (seed, i) alone."""
    set_threads(model)
    job = context.plan.find("draw", model.name, seed)
    folder, device = context.folder(model, seed), model.hardware.device
    with working(context, job):
        image_set = open_image_set(context.data_folder)
        generator = generator_of(trained(model, image_set, folder / "weights.safetensors"))
        total, batch = model.sampling.images, min(model.sampling.batch_size, model.sampling.images)

        def images(start: int) -> np.ndarray:
            indices = torch.arange(start, min(start + batch, total))
            drawn = draw_images(generator, model.latent, derive_seed(seed, "samples"), indices, device)
            return to_uint8(drawn).cpu().numpy()

        every = np.concatenate([images(start) for start in range(0, total, batch)])
        seconds = []
        for _ in range(TIMED_DRAWS):
            watch = Stopwatch()
            images(0)
            seconds.append(watch.seconds)
        [(setting, _, _)] = model.settings()
        Samples(every, 1, digest({"key": job.key})).write(folder / "samples" / f"{setting}.npz")
        keep_only(folder / "samples", {path.name for path in job.outputs})
    middle = statistics.median(seconds)
    measured = {
        "seconds": middle * total / batch,
        "images": total,
        "batch_size": batch,
        "nfe": 1,
        "ms_per_step": 1000 * middle,
        "ms_per_image": 1000 * middle / batch,
        "timed_draws": TIMED_DRAWS,
    }
    write_timing(folder / "timing" / "draw.json", job, model, settings={setting: measured})
