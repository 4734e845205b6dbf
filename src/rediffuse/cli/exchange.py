"""Verbs that take weights in and give them out."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from rediffuse.cli.base import (
    ACTIVE,
    Heads,
    ImageSize,
    NullClass,
    Rescaled,
    RunName,
    Seed,
    StudyFile,
    app,
    check_seed,
    open_study,
)
from rediffuse.errors import UserError


@app.command("import")
def import_(
    path: Annotated[Path, typer.Argument(help="Folder of diffusers or of `rediffuse export`, or IDDPM's weights.")],
    into: Annotated[str, typer.Option("--into", help="Name of the new study: studies/NAME.yaml, weights/NAME/.")],
    like: Annotated[
        Path, typer.Option("--like", help="Study whose images, evaluation and samplers it has.", show_default=True)
    ] = ACTIVE,
    null_class: NullClass = False,
    entry: Annotated[
        str | None, typer.Option("--entry", help="A file with a training state: which of its entries (as ema.model).")
    ] = None,
    heads: Heads = 4,
    image_size: ImageSize = 32,
    timesteps: Annotated[int, typer.Option("--timesteps", help="IDDPM only: T.", min=2, max=10**6)] = 4000,
    schedule: Annotated[str, typer.Option("--schedule", help="IDDPM only: noise schedule.")] = "cosine",
    rescaled: Rescaled = True,
) -> None:
    """Turn published weights into a study that samples and scores them without training."""
    from rediffuse.interop.exchange import import_weights
    from rediffuse.interop.sources import IddpmFacts

    facts = IddpmFacts(image_size, heads, timesteps=timesteps, schedule=schedule, rescaled_timesteps=rescaled)
    for line in import_weights(Path(), path, into, like, null_class=null_class, facts=facts, entry=entry):
        print(line)
    print(f"next: `rediffuse use {into}`, then `dvc repro`")


@app.command()
def export(
    run: RunName,
    to: Annotated[Path, typer.Option("--to", help="New folder for weights, configuration and model card.")],
    format_name: Annotated[str, typer.Option("--format", help="diffusers or rediffuse.")] = "diffusers",
    seed: Seed = 0,
    study: StudyFile = ACTIVE,
) -> None:
    """Write a trained run as safetensors with its configuration and a model card."""
    from rediffuse.data.image_set import open_image_set
    from rediffuse.interop.exchange import check_export, export_run
    from rediffuse.pipeline.digests import Digests
    from rediffuse.pipeline.receipts import read_receipt, why_stale

    context = open_study(study)
    resolved = context.loaded.run(run)
    check_seed(resolved, seed)
    check_export(resolved, to, format_name)
    job = context.plan.find("train", run, seed)
    stale = why_stale(job, Digests(context.root))
    receipt = read_receipt(context.root / job.receipt)
    if receipt is None or stale not in (None, "code changed", "what it is made from changed"):
        raise UserError(f"{job.outputs[1]}: {stale}; run `{job.command}` first")
    origin = {
        "study and run": f"{resolved.study}/{run}, seed {seed}",
        "command": job.command,
        "commit": _commit(context.root / job.timing),
        "key of settings and code": receipt["key"],
    }
    folder, image_set = context.folder(resolved, seed), open_image_set(context.data_folder)
    export_run(resolved, folder, image_set, to, format_name, settings=receipt["settings"], origin=origin)
    if stale is not None:
        print(f"note: since the training of {run}, {stale}", file=sys.stderr)
    print(f"{run}, seed {seed}, is in {to} ({format_name})")


def _commit(timing: Path) -> str:
    """The commit under which weights were made, where that is recorded."""
    from rediffuse.files import read_json

    try:
        return read_json(timing)["commit"]
    except (OSError, ValueError, KeyError, TypeError):
        return "not recorded"
