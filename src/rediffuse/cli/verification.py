"""Verb `verify`."""

import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from rediffuse.cli.base import app


@app.command()
def verify(
    study: Annotated[
        str | None, typer.Argument(help="Name in studies/ (such as smoke), or a file; the active one when absent.")
    ] = None,
    here: Annotated[bool, typer.Option("--here", help="Verify the working tree, not what is committed.")] = False,
    only: Annotated[
        Literal["headline", "report"] | None,
        typer.Option(
            "--only", help="headline: the two runs compared, in minutes; report: all but what experiments train."
        ),
    ] = None,
    against: Annotated[
        str | None, typer.Option("--against", metavar="REV", help="Compare with the report at another commit instead.")
    ] = None,
    threads: Annotated[
        int | None,
        typer.Option("--threads", help="Rebuild with another number of threads, as on another machine.", min=1),
    ] = None,
    cores: Annotated[
        int | None,
        typer.Option(
            "--cores",
            help="Cores to work on; all when absent. One process does all on 1: quicker for small studies.",
            min=1,
        ),
    ] = None,
) -> None:
    """Rebuild a study elsewhere and judge every number and file of its report; exit code 1 when anything differs."""
    from rich.console import Console

    from rediffuse.verification import show
    from rediffuse.verification.case import Request
    from rediffuse.verification.run import verify as run

    outcome = run(Request(study, here, only, against, threads, str(cores or "all")), Path())
    written = show.write(outcome, Path())
    console = Console() if sys.stdout.isatty() else Console(width=160)
    console.print(show.printed(outcome))
    print(f"the page: {written}" + (f"\nthe rebuild: {outcome.scratch}" if outcome.differs else ""))
    if outcome.differs or outcome.undecided:
        raise typer.Exit(1 if outcome.differs else 2)
