"""Stage `follow`: what a training has come to, step by step: its snapshots are drawn and scored."""

from typing import Any

from rediffuse.pipeline.context import Context
from rediffuse.pipeline.plan import Job
from rediffuse.pipeline.stage import Stage, Subject
from rediffuse.registry import Registry, Way, load
from rediffuse.runs import facts
from rediffuse.stages.real import scoring

WAYS = Registry(
    "model to draw",
    Way("unet", "rediffuse.jobs.following:draw_unet"),
    Way("dcgan", "rediffuse.jobs.one_pass:draw_once"),
    Way("wgan-gp", "rediffuse.jobs.one_pass:draw_once"),
    Way("vae", "rediffuse.jobs.one_pass:draw_once"),
)


def settings(subject: Subject) -> dict[str, Any]:
    """Which snapshots are drawn, and how those that are scored are."""
    run = subject.run
    found: dict[str, Any] = {"previews": list(facts.preview_steps(run)), "batch_size": run.sampling.batch_size}
    if (during := facts.during_training(run)) is not None:
        found |= {"during_training": during.model_dump(mode="json"), "evaluation": scoring(subject)}
    return found


def files(subject: Subject) -> list[str]:
    """A picture for each preview; samples of each step that is scored, and their scores."""
    run = subject.run
    previews = [f"previews/step-{step:06d}.png" for step in facts.preview_steps(run)]
    samples = [f"during-training/step-{step:06d}.npz" for step in facts.scored_steps(run)]
    return [*previews, *samples, *(["during-training/scores.json"] if samples else [])]


STAGE = Stage(
    "follow",
    "Draw and score the snapshots that one training left.",
    doing="Following a training",
    done="followed",
    scope="run",
    needs=("prepare", "reference", "train"),
    settings=settings,
    files=files,
    keeps=("previews/", "during-training/"),
    applies=lambda run: bool(facts.snapshot_steps(run)),
    minutes=120,
    log="rediffuse.tracking.jobs:log_follow",
)


def run(job: Job, context: Context) -> dict[str, Any]:
    """Write previews/, and samples and scores.json in during-training/."""
    from rediffuse.jobs.following import follow
    from rediffuse.runs.hardware import set_threads

    set_threads(job.run)
    return follow(job, context, load(WAYS[job.run.model].code))
