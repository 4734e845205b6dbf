"""Verbs of the pipeline: one a stage, made from its declaration, and those that plan, build, accept and gather."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer

from rediffuse.cli.base import (
    ACTIVE,
    MOST,
    WIDEST,
    Force,
    Later,
    RunName,
    Seed,
    StudyFile,
    app,
    do_stage,
    find_job,
    open_study,
)
from rediffuse.errors import UserError
from rediffuse.pipeline.stage import Stage, stages

#: Stages whose verbs can do more than their job: they stand below, or with the verbs for images of any origin.
OWN_VERBS = ("cost", "evaluate", "report", "sample")


def _add_verb(stage: Stage) -> None:
    def of_study(study: StudyFile = ACTIVE, force: Force = False, later: Later = False) -> None:
        do_stage(open_study(study), stage.name, force=force, later=later)

    def of_run(
        run: RunName, seed: Seed = 0, study: StudyFile = ACTIVE, force: Force = False, later: Later = False
    ) -> None:
        do_stage(open_study(study), stage.name, run, seed, force=force, later=later)

    app.command(stage.name, help=stage.summary)(of_run if stage.scope == "run" else of_study)


for _stage in stages().values():
    if _stage.name not in OWN_VERBS:
        _add_verb(_stage)


@app.command(help=stages()["sample"].summary)
def sample(
    run: RunName,
    seed: Seed = 0,
    only: Annotated[
        str | None,
        typer.Option(
            "--only",
            metavar="FIRST:LAST",
            help="Only draw these images of each setting, whole batches, for the job to find in state/.",
        ),
    ] = None,
    study: StudyFile = ACTIVE,
    force: Force = False,
    later: Later = False,
) -> None:
    """Sample a run, or with --only a share of its images."""
    context = open_study(study)
    if only is None:
        do_stage(context, "sample", run, seed, force=force, later=later)
        return
    if force or later:
        raise UserError("--only draws a share of the images and finishes no job; leave out --force and --later")
    from rediffuse.jobs.sampling import sample_shard

    sample_shard(find_job(context, "sample", run, seed), context, only)


@app.command()
def report(study: StudyFile = ACTIVE, force: Force = False, later: Later = False) -> None:
    """Write tables, figures and the report from what is on disk, and sum them up."""
    context = open_study(study)
    do_stage(context, "report", force=force, later=later)
    from rich.console import Console

    from rediffuse.reporting import terminal_summary

    # A log has no width of its own, and the customary 80 columns would break the table's lines.
    console = Console() if sys.stdout.isatty() else Console(width=120)
    console.print(terminal_summary(context.loaded, context.plan, context.root))


@app.command()
def cost(
    runs: Annotated[list[str] | None, typer.Argument(help="Runs or ablations; the study's runs when absent.")] = None,
    presets: Annotated[list[str] | None, typer.Option("--preset", help="Network of the literature, by name.")] = None,
    batches: Annotated[
        list[int] | None, typer.Option("--batch", help="Images at once; may be given again.", min=1, max=MOST)
    ] = None,
    resolutions: Annotated[
        list[int] | None,
        typer.Option("--resolution", help="Side in pixels; the network's own when absent.", min=1, max=WIDEST),
    ] = None,
    steps: Annotated[
        list[int] | None, typer.Option("--steps", help="Sampling steps to predict seconds for.", min=1, max=MOST)
    ] = None,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write everything measured there, too.")] = None,
    profile: Annotated[
        bool, typer.Option("--profile", help="Print torch's profile of a training pass as well.")
    ] = False,
    exact: Annotated[bool, typer.Option("--exact", help="Count only; measure no time and no peak memory.")] = False,
    advise: Annotated[
        bool, typer.Option("--advise", help="Time the first network under other hardware settings; say which to set.")
    ] = False,
    record: Annotated[bool, typer.Option("--record", help="As the pipeline does: write runs/<study>/cost/.")] = False,
    study: StudyFile = ACTIVE,
    force: Force = False,
    later: Later = False,
) -> None:
    """Say what networks cost: parameters, FLOPs, memory, seconds of training and sampling."""
    if record or force or later:
        if runs or presets or batches or resolutions or steps or json_file or profile or exact or advise:
            raise UserError("--record measures the study as the pipeline does; give it no run and no other option")
        do_stage(open_study(study), "cost", force=force, later=later)
        return
    if advise and (resolutions or steps or json_file or profile or exact):
        raise UserError("--advise goes with a run or --preset, and --batch; leave the other options out")
    from rediffuse.cost.table import CostRequest, show_cost
    from rediffuse.loose.output import check_output

    if json_file is not None:
        check_output(json_file, ".json", "--json")
    request = CostRequest(
        tuple(runs or ()),
        tuple(presets or ()),
        tuple(batches or ()),
        tuple(resolutions or ()),
        tuple(steps or ()),
        json_file,
        profile,
        exact,
        advise,
    )
    show_cost(request, study)


@app.command()
def plan(
    dvc: Annotated[bool, typer.Option("--dvc", help="Write dvc.yaml from the stages' declarations instead.")] = False,
    study: StudyFile = ACTIVE,
) -> None:
    """Write plan/<study>/: what each job is made from, for DVC to watch."""
    from rediffuse.files import write_atomically
    from rediffuse.pipeline.dvc import dvc_yaml, write_plan

    if dvc:
        if not Path("dvc.yaml").exists():
            raise UserError("plan: there is no dvc.yaml here; go to the project's folder first")
        write_atomically("dvc.yaml", dvc_yaml())
        return
    write_plan(open_study(study))


@app.command()
def build(
    stage: Annotated[str, typer.Argument(help="Stage of the study.")],
    run: Annotated[str | None, typer.Argument(help="Run, for stages of runs.")] = None,
    seed: Seed = 0,
) -> None:
    """Do what a stage of DVC stands for: nothing where it is up to date; otherwise Snakemake does all that waits.

    Training, sampling and evaluation of all runs are asked for at once, so that no core waits where one phase ends and
    the next begins.
    """
    context = open_study(ACTIVE)
    from rediffuse.pipeline import snakemake
    from rediffuse.pipeline.digests import Digests
    from rediffuse.pipeline.dvc import leave_empty
    from rediffuse.pipeline.glance import is_forced
    from rediffuse.pipeline.receipts import why_stale

    if stage not in stages():
        raise UserError(f"build: there is no stage {stage!r}; use one of {', '.join(stages())}")
    declared = stages()[stage]
    if run is not None and not context.plan.has(stage, run, seed):
        leave_empty(context, declared, run, seed)
        return
    job = context.plan.find(stage, run, None if run is None else seed)
    digests = Digests(context.root)
    stale = why_stale(job, digests)
    digests.save()
    if stale is None:
        if is_forced(context.root, context.plan.study, job.name):
            do_stage(context, stage, run, seed, force=True)
        return
    alone = stage in ("prepare", "reference", "report")
    command = snakemake.command(declared.done if alone else "measured")
    raise SystemExit(subprocess.run(command, check=False, env=snakemake.with_a_cache(os.environ)).returncode)


@app.command()
def make(
    jobs: Annotated[
        list[str] | None,
        typer.Argument(help="Only these jobs, as `rediffuse status` names them, and what they need; all when absent."),
    ] = None,
    study: StudyFile = ACTIVE,
    ablations: Annotated[bool, typer.Option("--ablations", help="Train what experiments ask for, too.")] = False,
    minutes: Annotated[
        float | None,
        typer.Option("--minutes", help="Stop after so many with exit code 1; the same command goes on.", min=0.01),
    ] = None,
    at_once: Annotated[
        int, typer.Option("--at-once", help="Jobs at a time, each in a process of its own.", min=1, max=1024)
    ] = 1,
) -> None:
    """Do all jobs in turn in this process, or a few at once, as on a GPU machine without Snakemake and DVC."""
    open_study(study)  # its number of threads is set before anything computes
    from rediffuse.pipeline.in_turn import make as make_in_turn

    done = make_in_turn(study, jobs or (), ablations=ablations, minutes=minutes, at_once=at_once)
    if done is None:
        print("rediffuse: time is up; the same command goes on where this one stopped", file=sys.stderr)
        raise SystemExit(1)
    print(f"{done} jobs done; all is up to date", file=sys.stderr)


@app.command()
def accept(
    job: Annotated[str, typer.Argument(help="Job as `rediffuse status` names it.")],
    because: Annotated[str, typer.Option("--because", help="Why its result still counts.")],
    study: StudyFile = ACTIVE,
) -> None:
    """Keep a job's result although code that it runs has changed; its receipt says so."""
    from rediffuse.pipeline.receipts import accept as accept_job

    context = open_study(study)
    if job not in context.plan.jobs:
        raise UserError(f"accept: there is no job {job!r}; `rediffuse status` lists them")
    if not because.strip():
        raise UserError("accept: --because is empty; say why the result still counts")
    for name in accept_job(context.plan, context.plan.jobs[job], because, context.root):
        print(f"{name} is kept")


@app.command()
def ablations(
    study: StudyFile = ACTIVE,
    because: Annotated[
        str | None,
        typer.Option("--accept-because", help="Keep the committed results under changed code, for a reason."),
    ] = None,
) -> None:
    """Gather the results of finished ablations into reports/, for the report's ablation table."""
    context = open_study(study)
    from rediffuse.pipeline.evidence import mend

    mend(context.root, context.plan.study)
    if because is not None:
        from rediffuse.reporting import accept_kept

        if not because.strip():
            raise UserError("ablations: --accept-because is empty; say why the results still count")
        for name in accept_kept(context.loaded, context.plan, context.root, because):
            print(f"{name} is kept")
        return
    from rediffuse.pipeline.receipts import reasons
    from rediffuse.reporting import write_ablations

    written = write_ablations(context.loaded, context.plan, context.root)
    if not written:
        raise UserError("no ablation is finished; run `snakemake --cores 8 ablations`")
    why = reasons(context.plan, context.root)
    stale = [job.name for job in context.plan.of_stage("evaluate", ablation=True) if why[job.name] is not None]
    waiting = f"; not finished: {', '.join(stale)}" if stale else ""
    print(f"{written} ablations gathered{waiting}\nnext: `dvc repro` writes them into the report", file=sys.stderr)


@app.command()
def track(
    study: StudyFile = ACTIVE,
    waiting: Annotated[
        bool, typer.Option("--waiting", help="Only if jobs of Snakemake left their logging for later.")
    ] = False,
) -> None:
    """Log to MLflow whatever is on disk and not there yet."""
    from rediffuse.tracking import late

    context = open_study(study)
    if not waiting:
        late.track(context)
    elif late.waiting(context):
        try:
            late.track(context)
        except UserError as error:  # no reason for a build to fail
            print(f"rediffuse: {error}", file=sys.stderr)
