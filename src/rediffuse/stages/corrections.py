"""Stage `corrections`: the documents' mistakes of sampling, tried on a trained network beside what is right."""

from typing import Any

from rediffuse.corrections.registry import variants_of
from rediffuse.pipeline.context import Context
from rediffuse.pipeline.plan import Job
from rediffuse.pipeline.stage import Stage, Subject
from rediffuse.stages.real import scoring


def settings(subject: Subject) -> dict[str, Any]:
    """Which mistakes, of how many images and steps, and how images are scored."""
    run, variants = subject.run, variants_of(subject.run)
    assert run.corrections is not None
    return {
        "corrections": run.corrections.model_dump(mode="json"),
        "variants": [one.name for one in variants],
        "right": sorted({one.right for one in variants}),
        "batch_size": run.sampling.batch_size,
        "evaluation": scoring(subject),
    }


STAGE = Stage(
    "corrections",
    "Try the documents' mistakes of sampling on one trained run, beside what is right.",
    doing="Trying the documents' mistakes",
    done="corrected",
    scope="run",
    needs=("prepare", "reference", "train"),
    settings=settings,
    files=lambda subject: ("corrections/scores.json", "corrections/images.npz"),
    keeps=("corrections/",),
    first=1,
    applies=lambda run: bool(variants_of(run)),
)


def run(job: Job, context: Context) -> None:
    """Write corrections/scores.json and corrections/images.npz."""
    from rediffuse.jobs.correcting import correct
    from rediffuse.runs.hardware import set_threads

    set_threads(job.run)
    correct(job, context)
