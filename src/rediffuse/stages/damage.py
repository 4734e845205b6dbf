"""Stage `damage`: what each metric makes of held-out real images that were damaged in known ways."""

from rediffuse.formats import write_json
from rediffuse.pipeline.context import Context
from rediffuse.pipeline.plan import Job
from rediffuse.pipeline.stage import Stage
from rediffuse.stages.real import settings

STAGE = Stage(
    "damage",
    "Score held-out real images damaged in known ways: what each metric can tell.",
    doing="Scoring damaged images",
    done="damaged",
    scope="study",
    folder="runs/{study}/damage",
    needs=("prepare", "reference"),
    settings=settings,
    files=lambda subject: ("damage.json",),
    keeps=("damage.json",),
    first=1,
)


def run(job: Job, context: Context) -> None:
    """Write damage.json: the metrics of each degree of damage, those of undamaged images first."""
    import numpy as np
    import torch

    from rediffuse.evaluation.damage import degrees
    from rediffuse.runs.judge import Judge

    study = context.loaded.study
    torch.set_num_threads(study.hardware.threads)
    judge = Judge(context.loaded, context.root, context.made_by)
    positions, n = judge.real.positions["held_out"], study.evaluation.group_size
    images = judge.images.images[positions]
    labels = None if judge.images.labels is None else judge.images.labels[positions]
    rows = []
    for number, one in enumerate([None, *degrees(0 if labels is None else len(judge.images.class_names))]):
        random = np.random.Generator(np.random.PCG64([2, number]))
        damaged = images if one is None else one.of(images, random, labels)
        groups = min(study.evaluation.groups, len(damaged) // n)
        if groups:
            about = {"kind": "none", "degree": "none"} if one is None else {"kind": one.kind, "degree": one.degree}
            rows.append(
                {**about, "metrics": judge.score(damaged, groups, f"score {'·'.join(about.values())}")["metrics"]}
            )
    write_json(context.root / job.outputs[0], {"rows": rows})
