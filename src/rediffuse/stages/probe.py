"""Stage `probe`: what a trained network tells by itself, without a sample."""

from typing import Any

from rediffuse.pipeline.context import Context
from rediffuse.pipeline.plan import Job
from rediffuse.pipeline.stage import Stage, Subject

#: What says how the batches of a training are drawn.
BATCHES = {"batch_size", "accumulate", "flip", "label_dropout", "timestep_sampling"}


def settings(subject: Subject) -> dict[str, Any]:
    """How many images and batches; how batches are drawn, which of weights from elsewhere nothing else says."""
    run = subject.run
    asked = run.evaluation.probe.model_dump(mode="json")
    return {"seed": subject.seed, "probe": asked, "training": run.training.model_dump(mode="json", include=BATCHES)}


STAGE = Stage(
    "probe",
    "Measure the errors of one trained network by t, and the noise of its gradients.",
    doing="Probing a network",
    done="probed",
    scope="run",
    needs=("prepare", "train"),
    settings=settings,
    files=lambda subject: ["probe/probe.json"],
    keeps=("probe/",),
    applies=lambda run: run.probed,
    ablations=True,
    log="rediffuse.tracking.jobs:log_probe",
)


def run(job: Job, context: Context) -> None:
    """Write probe/probe.json."""
    from rediffuse.data.image_set import open_image_set
    from rediffuse.jobs.probing import probe
    from rediffuse.runs.hardware import set_threads

    set_threads(job.run)
    probe(job, context, open_image_set(context.data_folder))
