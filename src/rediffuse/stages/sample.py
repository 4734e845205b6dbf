"""Stage `sample`: a trained model becomes images, setting by setting, batch by batch."""

from typing import Any

from rediffuse.pipeline.context import Context
from rediffuse.pipeline.plan import Job
from rediffuse.pipeline.stage import Stage, Subject
from rediffuse.registry import Registry, Way, load
from rediffuse.runs import facts

WAYS = Registry(
    "model to sample",
    Way("unet", "rediffuse.jobs.sampling:sample_settings"),
    Way("dcgan", "rediffuse.jobs.one_pass:sample_once"),
    Way("wgan-gp", "rediffuse.jobs.one_pass:sample_once"),
    Way("vae", "rediffuse.jobs.one_pass:sample_once"),
)


def settings(subject: Subject) -> dict[str, Any]:
    """How it is sampled."""
    run = subject.run
    shared = {"images", "batch_size"} if facts.is_one_pass(run) else None
    return {"sampling": run.sampling.model_dump(mode="json", include=shared)}


def files(subject: Subject) -> list[str]:
    """One file a setting."""
    return [f"samples/{setting}.npz" for setting, _, _ in facts.settings(subject.run)]


STAGE = Stage(
    "sample",
    "Sample one trained run with every sampler and step count of the study.",
    doing="Sampling",
    done="sampled",
    scope="run",
    needs=("train", "classifier"),
    settings=settings,
    files=files,
    keeps=("samples/",),
    ablations=True,
    by_images=True,
    resumes=True,
    minutes=480,
    memory_mb=8000,
    first=3,  # the longest way to the report leads over it
    divided="rediffuse.jobs.divided:sample",
)


def run(job: Job, context: Context) -> dict[str, Any]:
    """Write samples/<setting>.npz (see `rediffuse.runs.samples.Samples`) for every setting of the run."""
    from rediffuse.data.image_set import open_image_set
    from rediffuse.runs.hardware import set_threads

    set_threads(job.run)
    return {"settings": load(WAYS[job.run.model].code)(job, context, open_image_set(context.data_folder))}
