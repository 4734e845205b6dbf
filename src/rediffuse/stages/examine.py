"""Stage `examine`: are a model's samples copies, which classes do they show, and what does n do to their distance.

Of one setting, the one that stands for a run, and of as many of its images as are scored.
"""

from typing import Any

from rediffuse.pipeline.context import Context
from rediffuse.pipeline.plan import Job
from rediffuse.pipeline.stage import Stage, Subject
from rediffuse.runs import facts
from rediffuse.stages.evaluate import settings as scored

LPIPS_WEIGHTS = ("weights", "heads")


def settings(subject: Subject) -> dict[str, Any]:
    """What an examination depends on besides the samples. Of weights: which they are, not where they lie."""
    lpips = subject.loaded.study.evaluation.lpips
    perceptual = {}
    if lpips is not None:
        files = {name: subject.outside.get(f"evaluation.lpips.{name}") for name in LPIPS_WEIGHTS}
        perceptual = {"lpips": {**lpips.model_dump(mode="json", include={"network", "size"}), **files}}
    return {**scored(subject), "setting": facts.shown_setting(subject.run)[0], **perceptual}


STAGE = Stage(
    "examine",
    "Examine the samples of one run: copies, classes, and what their number does to their distance.",
    doing="Examining samples",
    done="examined",
    scope="run",
    needs=("prepare", "reference", "sample"),
    settings=settings,
    files=lambda subject: ["examination/examination.json"],
    keeps=("examination/",),
    log="rediffuse.tracking.jobs:log_examination",
)


def run(job: Job, context: Context) -> None:
    """Write examination/examination.json; positions of real images count through images.npy."""
    from rediffuse.jobs.examining import examine
    from rediffuse.runs.hardware import set_threads

    set_threads(job.run)
    examine(job, context)
