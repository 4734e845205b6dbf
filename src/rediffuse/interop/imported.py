"""What training is for a run whose weights were trained elsewhere: they are taken, checked, in place of training."""

from pathlib import Path
from typing import Any

from rediffuse.config import ResolvedRun
from rediffuse.data.image_set import ImageSet
from rediffuse.errors import UserError
from rediffuse.files import sha256, write_atomically
from rediffuse.interop.own_format import NOT_OF_THE_FUNCTION, WEIGHTS, Package, read_package
from rediffuse.jobs.training import write_settings
from rediffuse.models.unet_config import UNetConfig
from rediffuse.pipeline.context import Context
from rediffuse.pipeline.plan import Job
from rediffuse.runs.networks import build_network
from rediffuse.weights import write_weights

# What a history must have as columns; there is nothing to put into them.
HISTORY = "step,loss,grad_norm\n"


def take_weights(job: Job, context: Context, image_set: ImageSet) -> dict[str, Any]:
    """Write run.yaml, weights.safetensors and a history.csv without rows, from the folder that the run names.

    Raises:
        UserError: the folder is not there, its weights are not those the study names, or their network is another.
    """
    run, folder = job.run, context.root / job.folder
    assert run.weights is not None
    source = context.root / run.weights.folder
    package = _read(source, run)
    _compare(package, build_network(run, image_set).config, run, source)
    write_weights(folder / "weights.safetensors", package.state, {"job": job.name})
    write_atomically(folder / "history.csv", HISTORY)
    write_settings(job, context)
    return {}


def _read(source: Path, run: ResolvedRun) -> Package:
    assert run.weights is not None
    if not (source / WEIGHTS).exists():
        raise UserError(
            f"runs.{run.name}.weights.folder: {run.weights.folder} has no {WEIGHTS}; `rediffuse import` makes such a folder"
        )
    if (found := sha256(source / WEIGHTS)) != run.weights.sha256:
        raise UserError(
            f"runs.{run.name}.weights.sha256: {source / WEIGHTS} has the digest {found}, the study says "
            f"{run.weights.sha256}; put the right file there, or import it anew"
        )
    return read_package(source)


def _compare(package: Package, wanted: UNetConfig, run: ResolvedRun, source: Path) -> None:
    """Refuse weights of another network: some differences show in no shape."""
    ours = wanted.model_dump()
    for name, theirs in package.network.model_dump().items():
        if ours[name] != theirs and name not in NOT_OF_THE_FUNCTION:
            raise UserError(
                f"runs.{run.name}.network: {name} is {ours[name]!r} in this study (or its images), and {theirs!r} in "
                f"the weights in {source}; use theirs"
            )
