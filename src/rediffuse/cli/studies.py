"""Verbs about studies: check, use, schema, status, claims."""

import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer

from rediffuse.cli.base import ACTIVE, StudyFile, app, open_study
from rediffuse.errors import UserError


@app.command()
def check(
    file: Annotated[Path, typer.Argument(help="Study to check.")] = ACTIVE,
    full: Annotated[bool, typer.Option("--full", help="Print every resolved setting.")] = False,
) -> None:
    """Validate a study, look for the files it names, and print the runs it resolves to."""
    from rediffuse.config import load_study
    from rediffuse.evaluation.feature_networks import OWN_RISK
    from rediffuse.pipeline.outside import check_pictures, own_program, weights_there
    from rediffuse.runs.describe import describe_study

    loaded = load_study(file)
    try:
        check_pictures(loaded, Path())
        weights_there(loaded, Path())
    except UserError as error:
        raise UserError(f"{file}: {error}") from None
    if (weights := own_program(loaded)) is not None:
        print(OWN_RISK.format(weights))
    print(describe_study(loaded, full=full))


@app.command()
def use(
    study: Annotated[str, typer.Argument(help="Name in studies/ (such as smoke), or a file.")],
    force: Annotated[bool, typer.Option("--force", help="Replace params.yaml even if its edits are lost.")] = False,
) -> None:
    """Make a study the active one: check it, then copy it to params.yaml, unless edits there would be lost."""
    from rediffuse.config import load_study
    from rediffuse.config.yaml12 import where_to_go
    from rediffuse.files import write_atomically

    path = Path(study) if study.endswith((".yaml", ".yml")) else Path("studies", f"{study}.yaml")
    if not path.exists():
        known = ", ".join(sorted(p.stem for p in Path("studies").glob("*.yaml")))
        instead = f"use one of {known}, or name a file ending in .yaml" if known else where_to_go(path)
        raise UserError(f"{path}: no such study; {instead}")
    loaded = load_study(path)
    former = None if force or not ACTIVE.exists() else _also_in(path)
    write_atomically(ACTIVE, path.read_bytes())
    print(f"params.yaml is now {path}: {loaded.study.title}")
    if former is not None:
        print(f"the former one is {former}")
    print("next: `dvc repro`")


def _also_in(chosen: Path) -> str | None:
    """Where the active study's content lies besides params.yaml; None where it is the chosen study's.

    Raises:
        UserError: it lies nowhere else.
    """
    content = ACTIVE.read_bytes()
    if content == chosen.read_bytes():
        return None
    for path in sorted(Path("studies").glob("*.yaml")):
        if path.read_bytes() == content:
            return str(path)
    try:
        committed = subprocess.run(["git", "show", f"HEAD:./{ACTIVE}"], capture_output=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        committed = None
    if committed == content:
        return f"in git (`git show HEAD:./{ACTIVE}`)"
    raise UserError(
        f"{ACTIVE} has edits that lie nowhere else, neither in studies/ nor in git: save it first "
        f"(`cp {ACTIVE} studies/NAME.yaml`), or give --force to lose them"
    )


@app.command()
def schema(
    markdown: Annotated[bool, typer.Option("--markdown", help="The reference page instead of JSON.")] = False,
) -> None:
    """Print what a study may say: the JSON schema, or a page with every key, meaning and default."""
    from rediffuse.runs.describe import json_schema, reference_page

    print(reference_page() if markdown else json_schema())


@app.command()
def status(
    stages: Annotated[list[str] | None, typer.Argument(help="Only these stages, and not the ablations.")] = None,
    study: StudyFile = ACTIVE,
) -> None:
    """Say of every job whether it is up to date and, if not, why. Exit code 1 when a named stage is not."""
    from rediffuse.pipeline.receipts import reasons

    context = open_study(study)
    known = dict.fromkeys(job.stage for job in context.plan.jobs.values())
    for stage in stages or ():
        if stage not in known:
            raise UserError(f"status: there is no stage {stage!r} in this study; use one of {', '.join(known)}")
    jobs = list(context.plan.jobs.values())
    if stages:
        jobs = [job for stage in stages for job in context.plan.of_stage(stage)]
    why = reasons(context.plan, context.root)
    for job in jobs:
        print(f"{job.name:40} {why[job.name] or 'up to date'}")
    if stages and any(why[job.name] for job in jobs):
        raise typer.Exit(1)


@app.command()
def claims(
    study: StudyFile = ACTIVE,
    as_json: Annotated[bool, typer.Option("--json", help="Print what claims.json would hold instead.")] = False,
) -> None:
    """Judge every claim of a study by what is on disk: holds, does not hold, undecided or not run, and why."""
    from rediffuse.config import load_study

    loaded = load_study(study)
    from rich.console import Console

    from rediffuse.formats import json_text
    from rediffuse.reporting import judged
    from rediffuse.reporting.experiments.claims import claims_json
    from rediffuse.reporting.render.terminal import claims_table

    verdicts = judged(loaded, Path())
    if as_json:
        print(json_text(claims_json(verdicts)), end="")
        return
    console = Console() if sys.stdout.isatty() else Console(width=160)
    console.print(claims_table(verdicts))
