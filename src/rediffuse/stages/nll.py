"""Stage `nll`: the bound on the likelihood of held-out images under a trained model."""

from typing import Any

from rediffuse.pipeline.context import Context
from rediffuse.pipeline.plan import Job
from rediffuse.pipeline.stage import Stage, Subject
from rediffuse.registry import Registry, Way, load
from rediffuse.runs import facts

WAYS = Registry(
    "model with a bound",
    Way("unet", "rediffuse.jobs.likelihood:diffusion_bound"),
    Way("vae", "rediffuse.jobs.one_pass:vae_bound"),
)


def settings(subject: Subject) -> dict[str, Any]:
    """Of how many images, and how many at once."""
    run = subject.run
    return {"images": run.evaluation.likelihood_images, "batch_size": run.sampling.batch_size}


def files(subject: Subject) -> list[str]:
    """The bound; of a diffusion model also its terms by t."""
    terms = [] if facts.is_one_pass(subject.run) else ["likelihood/terms.csv"]
    return ["likelihood/nll.json", *terms]


STAGE = Stage(
    "nll",
    "Compute the bound on the likelihood of held-out images under one trained run.",
    doing="Computing the likelihood",
    done="likelihoods",
    scope="run",
    needs=("prepare", "train"),
    settings=settings,
    files=files,
    keeps=("likelihood/",),
    applies=facts.bounds_likelihood,
    resumes=True,
    minutes=240,
    log="rediffuse.tracking.jobs:log_likelihood",
    divided="rediffuse.jobs.divided:bound",
)


def run(job: Job, context: Context) -> None:
    """Write likelihood/nll.json (bits/dim, with the interval over images),
    and of a diffusion model terms.csv (by t).
    """
    from rediffuse.data.image_set import open_image_set
    from rediffuse.runs.hardware import set_threads

    set_threads(job.run)
    load(WAYS[job.run.model].code)(job, context, open_image_set(context.data_folder))
