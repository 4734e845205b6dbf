"""Stage `classifier`: the noise-conditional classifier of a run is trained on noisy images, and judged by t."""

from typing import Any

from rediffuse.pipeline.context import Context
from rediffuse.pipeline.plan import Job
from rediffuse.pipeline.stage import Stage, Subject

FILES = ("classifier/weights.safetensors", "classifier/accuracy.json", "classifier/history.csv")


def settings(subject: Subject) -> dict[str, Any]:
    """What the classifier follows from: of the run, only its noise."""
    run = subject.run
    assert run.diffusion is not None
    values = run.model_dump(mode="json", include={"hardware": True, "classifier": True})
    values["classifier"].pop("checkpoint_every")
    noise = run.diffusion.model_dump(mode="json", include={"schedule", "timesteps"})
    return {"seed": subject.seed, **values, "diffusion": noise}


STAGE = Stage(
    "classifier",
    "Train the noise-conditional classifier that guides one run's samples.",
    doing="Training the classifier",
    done="classified",
    scope="run",
    needs=("prepare",),
    settings=settings,
    files=lambda subject: FILES,
    keeps=("classifier/",),
    applies=lambda run: run.classifier is not None,
    resumes=True,
    minutes=240,
    first=3,
    log="rediffuse.tracking.jobs:log_classifier",
)


def run(job: Job, context: Context) -> dict[str, Any]:
    """Write the classifier's weights, its held-out accuracy by t and its history.

    Raises:
        UserError: its loss is no longer finite.
    """
    from rediffuse.data.image_set import open_image_set
    from rediffuse.jobs.classifier import train_classifier
    from rediffuse.runs.hardware import set_threads

    set_threads(job.run)
    return train_classifier(job, context, open_image_set(context.data_folder))
