"""The verb that says what is wrong with a trained network."""

import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from rediffuse.cli.base import (
    ACTIVE,
    MOST,
    Heads,
    ImageSize,
    NullClass,
    Rescaled,
    Seed,
    StudyFile,
    app,
    check_seed,
)
from rediffuse.errors import UserError


@app.command()
def diagnose(
    what: Annotated[str, typer.Argument(help="Run of the study, or a folder or file as `rediffuse import` takes it.")],
    seed: Seed = 0,
    study: StudyFile = ACTIVE,
    data: Annotated[
        str | None,
        typer.Option("--data", help="Images of published weights: a data set in data/, pictures, or an array."),
    ] = None,
    images: Annotated[
        int, typer.Option("--images", help="Real images noised, and images drawn.", min=16, max=MOST)
    ] = 64,
    steps: Annotated[int, typer.Option("--steps", help="Steps of DDIM for those drawn.", min=2, max=1000)] = 20,
    output: Annotated[
        Path | None,
        typer.Option("--output", help="Folder for page.html and findings.json; diagnosis/NAME if left out."),
    ] = None,
    other: Annotated[
        Path | None, typer.Option("--other", help="The other weights of the same training: raw ones of an average.")
    ] = None,
    device: Annotated[Literal["cpu", "cuda"], typer.Option(help="Where published weights compute.")] = "cpu",
    prediction: Annotated[
        Literal["eps", "x0", "mu", "v"], typer.Option(help="What published weights predict, where they do not say.")
    ] = "eps",
    timesteps: Annotated[
        int | None,
        typer.Option("--timesteps", help="Likewise: T; 1000, of IDDPM's 4000, if left out.", min=2, max=10**6),
    ] = None,
    schedule: Annotated[
        str | None, typer.Option("--schedule", help="Likewise: linear, of IDDPM's cosine, if left out.")
    ] = None,
    heads: Heads = 4,
    image_size: ImageSize = 32,
    rescaled: Rescaled = True,
    null_class: NullClass = False,
    entry: Annotated[str | None, typer.Option("--entry", help="In a training state: which of its entries.")] = None,
) -> None:
    """Say what is wrong with a trained network, the cause first. Exit code 1 when something is.

    \b
    rediffuse diagnose improved
    rediffuse diagnose google-ddpm-cifar10-32 --data cifar10
    """
    from rediffuse.files import why_not_writable

    published = Path(what).exists() or "/" in what
    folder = output or Path("diagnosis", Path(what).name or "weights")
    if (why := why_not_writable(folder)) is not None or (folder.exists() and not folder.is_dir()):
        raise UserError(f"--output: {folder} cannot be written: {why or 'it is a file'}")
    if published and data is None:
        raise UserError(f"diagnose: {what} are weights: name the images they were trained on with --data")
    if not published and (data is not None or other is not None):
        raise UserError(
            f"diagnose: {what} would be a run, which knows its images and weights; leave out --data, --other"
        )

    from rich.console import Console

    from rediffuse.progress import Progress

    if published:
        from rediffuse.diagnosis.intake import Given, of_weights
        from rediffuse.interop.sources import IddpmFacts

        facts = IddpmFacts(
            image_size, heads, timesteps=timesteps or 4000, schedule=schedule or "cosine", rescaled_timesteps=rescaled
        )
        given = Given(facts, null_class, entry, other, prediction, timesteps or 1000, schedule or "linear", device)
        subject = of_weights(Path(what), str(data), given)
    else:
        from rediffuse.config import load_study
        from rediffuse.diagnosis.intake import of_run
        from rediffuse.runs.hardware import set_threads

        loaded = load_study(study)
        run = loaded.run(what)
        check_seed(run, seed)
        set_threads(run)
        subject = of_run(loaded, run, seed)

    from rediffuse.diagnosis.doctor import diagnose as examine
    from rediffuse.diagnosis.page import terminal, write

    with Progress("diagnose", "check") as progress:
        found = examine(subject, images=images, steps=steps, on_progress=progress)
    write(found, folder)
    (Console() if sys.stdout.isatty() else Console(width=160)).print(terminal(found))
    print(f"the page is {folder / 'page.html'}, the numbers are {folder / 'findings.json'}")
    if found.findings:
        raise typer.Exit(1)
