"""Stage `restore`: what a trained network makes of damaged held-out images, and how a sample comes about."""

from typing import Any

from rediffuse.pipeline.context import Context
from rediffuse.pipeline.plan import Job
from rediffuse.pipeline.stage import Stage, Subject


def settings(subject: Subject) -> dict[str, Any]:
    """Of how many images, and how."""
    return {"restoration": subject.run.restoration.model_dump(mode="json", exclude={"runs"})}


STAGE = Stage(
    "restore",
    "Try one trained run on damaged held-out images: inpainting, denoising, super-resolution.",
    doing="Restoring images",
    done="restored",
    scope="run",
    needs=("prepare", "train"),
    settings=settings,
    files=lambda subject: ("restoration/psnr.json", "restoration/images.npz"),
    keeps=("restoration/",),
    applies=lambda run: run.restores,
    ablations=True,
)


def run(job: Job, context: Context) -> None:
    """Write restoration/psnr.json and restoration/images.npz."""
    from rediffuse.jobs.restoration import restore
    from rediffuse.runs.hardware import set_threads

    set_threads(job.run)
    restore(job, context)
