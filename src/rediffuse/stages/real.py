"""Stage `real`: what real images that no model has seen score, and what noise scores, at the same n.

Held-out images are scored in one group, since there are seldom more than n of them; noise in as many as samples are.
"""

from typing import Any

from rediffuse.formats import write_json
from rediffuse.pipeline.context import Context
from rediffuse.pipeline.plan import Job
from rediffuse.pipeline.stage import Stage, Subject


def settings(subject: Subject) -> dict[str, Any]:
    """How images are scored."""
    return {"evaluation": scoring(subject)}


def scoring(subject: Subject) -> dict[str, Any]:
    """What the score of images depends on: sizes of groups and batches, and which feature network."""
    evaluation = subject.loaded.study.evaluation
    names = {"features", "group_size", "groups", "batch_size"}
    return {**evaluation.model_dump(mode="json", include=names), "weights": subject.outside.get("evaluation.weights")}


STAGE = Stage(
    "real",
    "Score held-out real images and noise as samples are scored: the lines results are read against.",
    doing="Scoring held-out real images and noise",
    done="real_lines",
    scope="study",
    folder="runs/{study}/real",
    needs=("prepare", "reference"),
    settings=settings,
    files=lambda subject: ("held-out.json", "noise.json"),
    keeps=("held-out.json", "noise.json"),
)


def run(job: Job, context: Context) -> None:
    """Write held-out.json and noise.json in the form of every other metrics file."""
    import numpy as np
    import torch

    from rediffuse.runs.judge import Judge

    study = context.loaded.study
    torch.set_num_threads(study.hardware.threads)
    judge = Judge(context.loaded, context.root, context.made_by)
    held_out = judge.images.images[judge.real.positions["held_out"]]
    n, groups = study.evaluation.group_size, study.evaluation.groups
    shape = (n * groups, *judge.images.shape)
    noise = np.random.Generator(np.random.PCG64(1)).integers(0, 256, shape, dtype=np.uint8)
    scored = (("held-out", held_out, min(groups, len(held_out) // n)), ("noise", noise, groups))
    for path, (name, images, count) in zip(job.outputs, scored, strict=True):
        about = {"study": study.study, "run": "real", "role": "real", "setting": name, "sampler": name, "kind": name}
        record: dict[str, Any] = {**about, **dict.fromkeys(("seed", "steps", "eta", "variance", "nfe"))}
        write_json(context.root / path, {**record, **judge.score(images, count, f"score {name}")})
