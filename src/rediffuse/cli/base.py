"""The application, what its verbs share, and how a user's mistake ends.

Verbs import what they need when they run, so that `rediffuse --help` answers at once.
"""

import importlib
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rediffuse.errors import UserError

if TYPE_CHECKING:
    from rediffuse.config import ResolvedGenerator, ResolvedRun
    from rediffuse.stages.context import Context

app = typer.Typer(
    help="Rebuild a denoising-diffusion study: data, training, sampling, evaluation, report.",
    epilog="The whole study: `make repro` (or `dvc repro`). The active study is params.yaml; others lie in studies/.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)

StudyFile = Annotated[Path, typer.Option("--study", help="Study to work on.", show_default=True)]
RunName = Annotated[str, typer.Argument(help="Run, ablation or one-pass model of the study.")]
Seed = Annotated[int, typer.Option("--seed", help="Training seed.", min=0)]
ACTIVE = Path("params.yaml")
#: Where linear algebra reads its number of threads, which changes the last bits of sums and what a fit makes of them.
#: It is read when NumPy is first imported: verbs open their study before they import a stage.
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
#: Verbs that keep finished steps, batches or bytes of a download; the others start over.
GO_ON = ("prepare", "train", "classifier", "fit", "sample", "nll")


def open_study(study: Path) -> "Context":
    """The study with its plan, and its number of threads set for all libraries. Raises UserError when it is wrong."""
    from rediffuse.stages.context import Context

    context = Context.open(study)
    for name in THREADS:
        os.environ[name] = str(context.loaded.study.hardware.threads)
    return context


def run_stage(context: "Context", kind: str) -> None:
    """Run stages/<kind>.py unless its files are up to date."""
    if is_stale(context, kind):
        stage_function(kind)(context)


def stage_function(kind: str) -> Callable[..., None]:
    """What stages/<kind>.py does."""
    return getattr(importlib.import_module(f"rediffuse.stages.{kind}"), kind)


def run_stage_of(context: "Context", kind: str, run: str, seed: int, **options: Any) -> None:
    """Run stages/<kind>.py for one run and seed unless its files are up to date."""
    resolved = context.loaded.model(run)
    if not context.plan.has(kind, run, resolved.seeds[0]):
        having = dict.fromkeys(job.name.split("/")[1] for job in context.plan.jobs.values() if job.stage == kind)
        what = {"ablation": "an ablation", "generator": "a one-pass model"}.get(resolved.role, "a run")
        only = (
            f"only {', '.join(having)} {'has' if len(having) == 1 else 'have'} it" if having else "nothing here has it"
        )
        raise UserError(f"{kind}: {run} is {what}, and {only}")
    check_seed(resolved, seed)
    if is_stale(context, f"{kind}/{run}/seed{seed}"):
        stage_function(kind)(context, resolved, seed, **options)


def check_seed(run: "ResolvedRun | ResolvedGenerator", seed: int) -> None:
    """Raise UserError unless the run has the seed."""
    if seed not in run.seeds:
        raise UserError(f"run {run.name!r} has no seed {seed}; use one of {', '.join(map(str, run.seeds))}")


def is_stale(context: "Context", job_name: str) -> bool:
    """Whether a job has to run; says so on stderr where it has not."""
    from rediffuse.pipeline.digests import Digests
    from rediffuse.pipeline.receipts import why_stale

    digests = Digests(context.root)
    reason = why_stale(context.plan.jobs[job_name], digests)
    if reason is None:
        print(f"{job_name} is up to date", file=sys.stderr)
    return reason is not None


def main() -> None:
    """Run a verb; a user's mistake is one line on stderr and exit code 2, Ctrl-C one line and exit code 130."""
    try:
        app()
    except UserError as error:
        print(f"rediffuse: {error}", file=sys.stderr)
        raise SystemExit(2) from None
    except (KeyboardInterrupt, SystemExit) as end:
        # Typer turns Ctrl-C inside a verb into exit code 130, without a word.
        if isinstance(end, SystemExit) and end.code != 130:
            raise
        goes_on = sys.argv[1:2] and sys.argv[1] in GO_ON
        then = "goes on where it was" if goes_on else "starts from the beginning"
        print(f"rediffuse: stopped; the same command {then}", file=sys.stderr)
        raise SystemExit(130) from None
