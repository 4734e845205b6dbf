"""Stage `trace`: what samples go through on their way from noise: x_t at some steps, and the estimates of x0 there."""

from typing import Any

from rediffuse.pipeline.context import Context
from rediffuse.pipeline.plan import Job
from rediffuse.pipeline.stage import Stage, Subject
from rediffuse.runs import facts
from rediffuse.stages.real import scoring


def settings(subject: Subject) -> dict[str, Any]:
    """Of how many images, in how many steps, of which how many are looked at."""
    asked, sampling = facts.trajectories(subject.run), subject.run.sampling
    assert asked is not None
    drawn = {"batch_size": sampling.batch_size, "clip": sampling.clip}
    return {"trajectories": asked.model_dump(mode="json"), **drawn, "evaluation": scoring(subject)}


STAGE = Stage(
    "trace",
    "Watch samples of one trained run along their steps.",
    doing="Watching samples",
    done="traced",
    scope="run",
    needs=("prepare", "reference", "train"),
    settings=settings,
    files=lambda subject: ("trajectory/trajectory.json", "trajectory/images.npz"),
    keeps=("trajectory/",),
    applies=lambda run: facts.trajectories(run) is not None,
)


def run(job: Job, context: Context) -> None:
    """Write trajectory/trajectory.json and trajectory/images.npz."""
    from rediffuse.jobs.tracing import trace
    from rediffuse.runs.hardware import set_threads

    set_threads(job.run)
    trace(job, context)
