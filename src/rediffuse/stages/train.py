"""Stage `train`: a model is trained, or goes on training where it was stopped; or takes weights trained elsewhere."""

from typing import Any

from rediffuse.errors import UserError
from rediffuse.pipeline.context import Context
from rediffuse.pipeline.plan import Job
from rediffuse.pipeline.stage import Stage, Subject
from rediffuse.registry import Registry, Way, load
from rediffuse.runs import facts

WAYS = Registry(
    "model to train",
    Way("unet", "rediffuse.jobs.training:train_unet"),
    Way("dcgan", "rediffuse.jobs.one_pass_training:train_adversaries"),
    Way("wgan-gp", "rediffuse.jobs.one_pass_training:train_adversaries"),
    Way("vae", "rediffuse.jobs.one_pass_training:train_vae"),
    Way("weights", "rediffuse.jobs.imported:take_weights"),
)


def settings(subject: Subject) -> dict[str, Any]:
    """What the weights follow from. Of weights trained elsewhere: which they are, not where they lie."""
    run = subject.run
    parts = ["hardware", "network", "diffusion", *([] if run.weights else ["training"])]
    values = run.model_dump(mode="json", include={*parts, "model"})
    # Which snapshots are shown, and how often a training could be taken up again, change no weights.
    if not run.weights:
        for name in ("preview_steps", "checkpoint_every", "checkpoint_every_s"):
            values["training"].pop(name, None)
        values["snapshots"] = list(facts.snapshot_steps(run))
        if run.hardware.processes > 1:  # to rounding the same weights, and where there is dropout other draws
            values["hardware"]["processes"] = run.hardware.processes
    else:
        values["weights"] = {"sha256": run.weights.sha256}
    return {"seed": subject.seed, **{name: value for name, value in values.items() if value is not None}}


def files(subject: Subject) -> list[str]:
    """Settings, weights, history and a snapshot for each step that is looked at."""
    steps = facts.snapshot_steps(subject.run)
    return ["run.yaml", "weights.safetensors", "history.csv", *(f"snapshots/{snapshot(step)}" for step in steps)]


def snapshot(step: int) -> str:
    """The file of a snapshot: averaged and raw weights after a step."""
    return f"step-{step:06d}.safetensors"


STAGE = Stage(
    "train",
    "Train one run; a killed training goes on where it was.",
    doing="Training",
    done="trained",
    scope="run",
    needs=("prepare",),
    settings=settings,
    files=files,
    keeps=("run.yaml", "weights.safetensors", "history.csv", "snapshots/"),
    ablations=True,
    resumes=True,
    watched=True,
    minutes=720,
    memory_mb=8000,
    first=2,
    log="rediffuse.tracking.jobs:log_training",
    shown=("history.csv", "history.rst", "Training"),
    divided="rediffuse.jobs.divided:train",
)


def run(job: Job, context: Context) -> dict[str, Any]:
    """Write run.yaml, weights.safetensors, history.csv and snapshots/ of a run.

    Raises:
        UserError: the hardware cannot do what the run asks for, or the loss is no longer finite.
    """
    from rediffuse.data.image_set import open_image_set
    from rediffuse.runs.hardware import set_threads

    set_threads(job.run)
    check_hardware(job)
    way = "weights" if job.run.weights is not None else job.run.model
    return load(WAYS[way].code)(job, context, open_image_set(context.data_folder))


def check_hardware(job: Job) -> None:
    """Raise UserError where the machine cannot do what the study asks for."""
    import torch

    hardware = job.run.hardware
    if hardware.device == "cuda" and not torch.cuda.is_available():
        raise UserError("hardware.device: cuda, but this machine has no usable GPU; use cpu")
    if hardware.device == "cuda" and hardware.precision == "bfloat16" and not torch.cuda.is_bf16_supported():
        raise UserError("hardware.precision: bfloat16, but this GPU cannot; use float32")
