"""Stage `evaluate`: the samples of a run become numbers."""

from typing import Any

from rediffuse.pipeline.context import Context
from rediffuse.pipeline.plan import Job
from rediffuse.pipeline.stage import Stage, Subject
from rediffuse.runs import facts
from rediffuse.stages.real import scoring


def settings(subject: Subject) -> dict[str, Any]:
    """How samples are scored, and what is said of them."""
    return {"evaluation": scoring(subject), **described(subject)}


def described(subject: Subject) -> dict[str, Any]:
    """What a metrics file says of a run besides its numbers, by sampler."""
    run = subject.run
    keys = dict.fromkeys(key for _, key, _ in facts.settings(run))
    said = {key: {**facts.describe(run, key), "asks_classes": facts.asks_classes(run, key)} for key in keys}
    return {"role": run.role, "samplers": said}


STAGE = Stage(
    "evaluate",
    "Score the samples of one run.",
    doing="Evaluating",
    done="evaluated",
    scope="run",
    needs=("prepare", "reference", "sample"),
    settings=settings,
    files=lambda subject: [f"metrics/{setting}.json" for setting, _, _ in facts.settings(subject.run)],
    keeps=("metrics/",),
    ablations=True,
    by_images=True,
    first=1,
    minutes=120,
    memory_mb=8000,
    log="rediffuse.tracking.jobs:log_evaluation",
    divided="rediffuse.jobs.divided:evaluate",
)


def run(job: Job, context: Context) -> None:
    """Write metrics/<setting>.json for every setting of the run."""
    import shutil

    import numpy as np

    from rediffuse.formats import write_json
    from rediffuse.runs.hardware import set_threads
    from rediffuse.runs.judge import Judge, metrics_record
    from rediffuse.runs.samples import read_samples

    set_threads(job.run)
    one, folder = job.run, context.root / job.folder
    state = context.state(job)
    judge = Judge(context.loaded, context.root, context.made_by, state)
    for setting, key, steps in facts.settings(one):
        samples = read_samples(folder / "samples" / f"{setting}.npz")
        images, label = samples.images, f"score {one.name} {setting}"
        if facts.asks_classes(one, key):
            labels = np.arange(len(images)) % len(judge.images.class_names)
            scores = judge.score_classes(images, labels, one.evaluation.groups, label)
        else:
            scores = judge.score(images, one.evaluation.groups, label)
        record = metrics_record(one, job.seed, setting, key, steps, samples.nfe)
        write_json(folder / "metrics" / f"{setting}.json", {**record, **scores})
    shutil.rmtree(state, ignore_errors=True)  # of several processes one is the first
