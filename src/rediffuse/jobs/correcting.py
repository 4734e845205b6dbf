"""The documents' mistakes of sampling on a trained network: samples of each and of what is right,
from the same noise.
"""

from typing import Any

import numpy as np
import torch

from rediffuse.arrays import write_arrays
from rediffuse.corrections.registry import RIGHT, WRONG
from rediffuse.diffusion.randomness import SampleNoise, derive_seed
from rediffuse.evaluation.intervals import grouped
from rediffuse.formats import write_json
from rediffuse.pipeline.context import Context
from rediffuse.pipeline.plan import Job
from rediffuse.progress import Progress
from rediffuse.registry import load
from rediffuse.runs.judge import Judge
from rediffuse.runs.networks import denoiser, trained_network
from rediffuse.samplers.generate import generate

SHOWN = 10


@torch.inference_mode()
def correct(job: Job, context: Context) -> None:
    """Write corrections/scores.json and corrections/images.npz (uint8, the first images of each way of sampling).

    Every way starts from the same noise, so that group g of a wrong one and of its right one belong together. A
    class-conditional network is given the null token.
    """
    run, folder = job.run, context.root / job.folder / "corrections"
    asked = run.corrections
    assert asked is not None
    judge = Judge(context.loaded, context.root, context.made_by)
    network = trained_network(run, judge.images, context.root / job.folder / "weights.safetensors")
    whole, shape = denoiser(run, network), judge.images.shape
    groups, seed = run.evaluation.groups, derive_seed(job.seed, "corrections")
    n = asked.images // groups
    kept: dict[str, np.ndarray] = {}
    scores: dict[str, dict[str, Any]] = {}

    def score(name: str, code: str, steps: int) -> None:
        """Draw and score a way of sampling, unless that was done."""
        if name in scores:
            return
        sample = load(code)

        def draw(indices: torch.Tensor) -> torch.Tensor:
            return sample(whole, steps, SampleNoise(seed, indices, shape, device=run.hardware.device))

        parts = generate(draw, torch.arange(n * groups), run.sampling.batch_size, name=f"{run.name} {name}")
        images = np.concatenate([part.numpy() for part in parts])
        features = judge.features(images, None).features
        values = [judge.scorer.frechet.distance(features[g * n : (g + 1) * n]) for g in range(groups)]
        spread = float((images / 127.5 - 1).std(ddof=1))  # of pixels in [−1, 1]
        scores[name] = {"steps": steps, "std": spread, "frechet_distance": grouped(values, n).to_dict()}
        kept[name] = images[:SHOWN]

    rows = []
    with Progress(f"mistakes on {run.name}", "mistake") as progress:
        for number, name in enumerate(job.settings["variants"]):
            one = WRONG[name]
            steps = asked.many_steps if one.many else asked.steps
            right = f"{one.right}-{steps}"
            score(right, RIGHT[one.right].code, steps)
            score(name, one.code, steps)
            rows.append({"wrong": name, "right": right})
            progress(number + 1, len(job.settings["variants"]))
    write_arrays(folder / "images.npz", **kept)
    about = {"study": run.study, "run": run.name, "seed": job.seed, "features": judge.network.name}
    write_json(folder / "scores.json", {**about, "images": n * groups, "rows": rows, "scores": scores})
