"""Stage `real`: what real images that no model has seen score, and what noise scores, at the same n.

Held-out images are scored in one group, since there are seldom more than n of them; noise in as many as samples are.
"""

from typing import Any

import numpy as np
import torch

from rediffuse.files import write_json
from rediffuse.stages.context import Context, working
from rediffuse.stages.scoring import Judge


def real(context: Context) -> None:
    """Write held-out.json and noise.json in the form of every other metrics file."""
    study = context.loaded.study
    torch.set_num_threads(study.hardware.threads)
    job = context.plan.find("real")
    with working(context, job):
        judge = Judge(context)
        held_out = judge.images.images[judge.real.positions["held_out"]]
        n, groups = study.evaluation.group_size, study.evaluation.groups
        real_groups = min(groups, len(held_out) // n)
        shape = (n * groups, *judge.images.shape)
        noise = np.random.Generator(np.random.PCG64(1)).integers(0, 256, shape, dtype=np.uint8)
        for path, name, images, count in (
            (job.outputs[0], "held-out", held_out, real_groups),
            (job.outputs[1], "noise", noise, groups),
        ):
            record: dict[str, Any] = {
                "study": study.study, "run": "real", "role": "real", "seed": None, "setting": name, "sampler": name,
                "kind": name, "steps": None, "eta": None, "variance": None, "nfe": None,
            }  # fmt: skip
            write_json(context.root / path, {**record, **judge.score(images, count, f"score {name}")})
