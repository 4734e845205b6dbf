"""What stage `train` does for a run whose weights were trained elsewhere: take them, checked, in place of training."""

from dataclasses import asdict
from pathlib import Path

import yaml

from rediffuse.config import ResolvedRun
from rediffuse.data.image_set import open_image_set
from rediffuse.errors import UserError
from rediffuse.files import sha256, write_atomically
from rediffuse.interop.own_format import NOT_OF_THE_FUNCTION, WEIGHTS, Package, read_package
from rediffuse.models.unet_config import UNetConfig
from rediffuse.stages.context import Context, keep_only, working
from rediffuse.stages.networks import build_network
from rediffuse.stages.weights import write_weights
from rediffuse.tracking import open_tracker, track_training

# What a history must have as columns; there is nothing to put into them.
HISTORY = "step,loss,grad_norm\n"


def take_weights(context: Context, run: ResolvedRun, seed: int) -> None:
    """Write run.yaml, weights.safetensors and a history.csv without rows, from the folder that the run names.

    Raises:
        UserError: the folder is not there, its weights are not those the study names, or their network is another.
    """
    assert run.weights is not None
    job = context.plan.find("train", run.name, seed)
    folder = context.folder(run, seed)
    source = context.root / run.weights.folder
    with open_tracker(context) as tracker:
        with working(context, job):
            package = _read(source, run)
            network = build_network(run, open_image_set(context.data_folder))
            _compare(package, network.config, run, source)
            write_weights(folder / "weights.safetensors", package.state, {"job": job.name, "key": job.key})
            write_atomically(folder / "history.csv", HISTORY)
            for kept in ("previews", "during-training"):
                keep_only(folder / kept, set())
            settings = {"run": run.name, "study": run.study, **job.settings}
            write_atomically(folder / "run.yaml", yaml.safe_dump(settings, sort_keys=False, allow_unicode=True))
        if tracker is not None:
            track_training(tracker, context, run, seed)


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
    ours = asdict(wanted)
    for name, theirs in asdict(package.network).items():
        if ours[name] != theirs and name not in NOT_OF_THE_FUNCTION:
            raise UserError(
                f"runs.{run.name}.network: {name} is {ours[name]!r} in this study (or its images), and {theirs!r} in "
                f"the weights in {source}; use theirs"
            )
