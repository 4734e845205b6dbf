"""Stage `reference`: statistics of the training images in the study's feature network, in a file of their own."""

from typing import Any

from rediffuse.pipeline.context import Context
from rediffuse.pipeline.plan import Job
from rediffuse.pipeline.stage import Stage, Subject

FILES = ("reference-{features}.npz", "reference-{features}.json")


def settings(subject: Subject) -> dict[str, Any]:
    """Which network: not where its weights lie, but what they are."""
    features = subject.loaded.study.evaluation.features
    return {"features": features, "weights": subject.outside.get("evaluation.weights")}


STAGE = Stage(
    "reference",
    "Write the reference statistics of the training images in the study's feature network.",
    doing="Computing reference statistics",
    done="referenced",
    scope="study",
    folder="data/{data}",
    receipt="data/{data}/receipts/reference-{features}.json",
    needs=("prepare",),
    settings=settings,
    files=lambda subject: FILES,
    keeps=FILES,
    memory_mb=8000,
    first=4,  # it is cheap, and trainings are scored against it while they work
)


def run(job: Job, context: Context) -> None:
    """Write reference-<features>.npz and its card beside the images."""
    import torch

    from rediffuse.runs.judge import write_reference

    torch.set_num_threads(context.loaded.study.hardware.threads)
    write_reference(context.loaded, context.root, context.made_by)
