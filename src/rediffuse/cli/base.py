"""The application, what its verbs share, and how a user's mistake ends.

Verbs import what they need when they run, so that `rediffuse --help` answers at once.
"""

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rediffuse.errors import UserError

if TYPE_CHECKING:
    from rediffuse.config import ResolvedRun
    from rediffuse.pipeline.context import Context

app = typer.Typer(
    help="Rebuild a denoising-diffusion study: data, training, sampling, evaluation, report.",
    epilog="The whole study: `make repro` (or `dvc repro`). The active study is params.yaml; others lie in studies/.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)

StudyFile = Annotated[Path, typer.Option("--study", help="Study to work on.", show_default=True)]
RunName = Annotated[str, typer.Argument(help="Run or ablation of the study.")]
Seed = Annotated[int, typer.Option("--seed", help="Training seed.", min=0)]
Force = Annotated[bool, typer.Option("--force", help="Do it anew, whatever lies there.")]
Later = Annotated[bool, typer.Option("--later", help="Leave MLflow to `rediffuse track`, where the job is short.")]
ACTIVE = Path("params.yaml")
#: Where linear algebra reads its number of threads, which changes the last bits of sums and what a fit makes of them.
#: It is read when NumPy is first imported: verbs open their study before they import what computes.
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def open_study(study: Path) -> "Context":
    """The study with its plan, and its number of threads set for all libraries. Raises UserError when it is wrong."""
    from rediffuse.pipeline.context import Context

    context = Context.open(study)
    for name in THREADS:
        os.environ[name] = str(context.loaded.study.hardware.threads)
    return context


def do_stage(
    context: "Context",
    name: str,
    run: str | None = None,
    seed: int = 0,
    *,
    force: bool = False,
    later: bool = False,
) -> bool:
    """Do the job of a stage (for one run and seed) unless its files are up to date; whether it worked."""
    from rediffuse.pipeline.work import work

    if run is not None:
        resolved = context.loaded.run(run)
        having = dict.fromkeys(job.run.name for job in context.plan.jobs.values() if job.stage == name)
        if run not in having:
            only = f"only {', '.join(having)} {'has' if len(having) == 1 else 'have'} it"
            raise UserError(f"{name}: {run} has no such job, {only if having else 'and nothing here has it'}")
        check_seed(resolved, seed)
    job = context.plan.find(name, run, None if run is None else seed)
    return work(context, job, force=force, later=later)


def check_seed(run: "ResolvedRun", seed: int) -> None:
    """Raise UserError unless the run has the seed."""
    if seed not in run.seeds:
        raise UserError(f"run {run.name!r} has no seed {seed}; use one of {', '.join(map(str, run.seeds))}")


def _goes_on(verb: str) -> bool:
    """Whether a verb that was stopped goes on where it was: finished steps, batches or bytes of a download are kept."""
    from rediffuse.pipeline.stage import stages

    return verb in stages() and stages()[verb].resumes


def main() -> None:
    """Run a verb; a user's mistake is one line on stderr and exit code 2, Ctrl-C one line and exit code 130."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # a terminal that lacks a letter shows another one
    try:
        app()
    except UserError as error:
        print(f"rediffuse: {error}", file=sys.stderr)
        raise SystemExit(2) from None
    except (KeyboardInterrupt, SystemExit) as end:
        # Typer turns Ctrl-C inside a verb into exit code 130, without a word.
        if isinstance(end, SystemExit) and end.code != 130:
            raise
        then = "goes on where it was" if _goes_on(" ".join(sys.argv[1:2])) else "starts from the beginning"
        print(f"rediffuse: stopped; the same command {then}", file=sys.stderr)
        raise SystemExit(130) from None
