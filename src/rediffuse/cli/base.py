"""The application, what its verbs share, and how a user's mistake ends.

Verbs import what they need when they run, so that `rediffuse --help` answers at once.
"""

import errno
import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rediffuse.errors import CUT_SHORT, UserError, one_line, shown

if TYPE_CHECKING:
    from rediffuse.config import ResolvedRun
    from rediffuse.pipeline.context import Context
    from rediffuse.pipeline.plan import Job

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
#: More than any count that a verb takes, and than any side of an image: what is above is a slip of the keyboard.
MOST, WIDEST = 10**8, 2**14
Seed = Annotated[int, typer.Option("--seed", help="Training seed.", min=0, max=2**63 - 1)]
Force = Annotated[bool, typer.Option("--force", help="Do it anew, whatever lies there.")]
Later = Annotated[bool, typer.Option("--later", help="Leave MLflow to `rediffuse track`, where the job is short.")]
#: What IDDPM's files do not say of their network, and what those of others may lack.
Heads = Annotated[int, typer.Option("--heads", help="IDDPM only: attention heads.", min=1, max=10**5)]
ImageSize = Annotated[int, typer.Option("--image-size", help="IDDPM only: pixels a side.", min=1, max=WIDEST)]
Rescaled = Annotated[bool, typer.Option("--rescaled/--not-rescaled", help="IDDPM only: the network sees t · 1000/T.")]
NullClass = Annotated[bool, typer.Option("--null-class", help='The last class embedding stands for "no label".')]
ACTIVE = Path("params.yaml")
#: Where linear algebra reads its number of threads, which changes the last bits of sums and what a fit makes of them.
#: It is read when NumPy is first imported: verbs open their study before they import what computes.
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")

#: A command with words that it does not take, or without those that it needs.
USAGE: type[Exception] = typer.BadParameter.__mro__[1]
FULL, CLOSED = "make room, then give the same command again", "use a folder that you may write to"
#: What to do where the system refuses.
MACHINE = {
    errno.ENOSPC: FULL,
    errno.EDQUOT: FULL,
    errno.EFBIG: FULL,
    errno.EROFS: CLOSED,
    errno.EACCES: CLOSED,
    errno.EPERM: CLOSED,
    errno.EIO: "the disk is damaged, or gone",
    errno.EMFILE: "raise the limit of open files (`ulimit -n`)",
    errno.ENAMETOOLONG: "use shorter names",
}


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

    return work(context, find_job(context, name, run, seed), force=force, later=later)


def find_job(context: "Context", name: str, run: str | None = None, seed: int = 0) -> "Job":
    """The job of a stage, for one run and seed; UserError where there is none."""
    if run is not None:
        resolved = context.loaded.run(run)
        having = dict.fromkeys(job.run.name for job in context.plan.jobs.values() if job.stage == name)
        if run not in having:
            only = f"only {', '.join(having)} {'has' if len(having) == 1 else 'have'} it"
            raise UserError(f"{name}: {run} has no such job, {only if having else 'and nothing here has it'}")
        check_seed(resolved, seed)
    return context.plan.find(name, run, None if run is None else seed)


def check_seed(run: "ResolvedRun", seed: int) -> None:
    """Raise UserError unless the run has the seed."""
    if seed not in run.seeds:
        raise UserError(f"run {run.name!r} has no seed {seed}; use one of {', '.join(map(str, run.seeds))}")


def _goes_on(verb: str) -> bool:
    """Whether a verb that was stopped goes on where it was: finished steps, batches or bytes of a download are kept."""
    from rediffuse.pipeline.stage import stages

    return verb == "verify" or (verb in stages() and stages()[verb].resumes)


def main() -> None:
    """Run a verb; a user's mistake is one line on stderr and exit code 2, Ctrl-C one line and exit code 130."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # a terminal that lacks a letter shows another one
    try:
        code = app(prog_name="rediffuse", standalone_mode=False)
        print(end="", flush=True)
    except UserError as error:
        code = _say(str(error))
    except USAGE as error:
        code = _say_usage(error)
    except BrokenPipeError:
        code = 1  # nobody reads on, as in `rediffuse status | head -1`
    except KeyboardInterrupt:
        code = 130
    except SystemExit as end:
        code = end.code
    except Exception as error:
        if (why := _of_the_machine(error)) is None:
            raise
        code = _say(why)
    if code == 130:  # Typer turns Ctrl-C inside a verb into this, without a word
        then = "goes on where it was" if _goes_on(" ".join(sys.argv[1:2])) else "starts from the beginning"
        print(f"rediffuse: stopped; the same command {then}", file=sys.stderr)
    try:
        print(end="", flush=True)
    except OSError:  # Python would complain of it once more when it ends
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    raise SystemExit(code)


def _say(line: str) -> int:
    print(f"rediffuse: {one_line(line)}", file=sys.stderr)
    return 2


def _say_usage(error: Any) -> int:
    """What is wrong with the words of a command; without any, what there is."""
    from rediffuse.options import in_words

    if type(error).__name__ == "NoArgsIsHelpError":
        print(error.format_message(), file=sys.stderr)
        return 2
    command, message = error.ctx.command_path if error.ctx else "rediffuse", error.format_message().rstrip(".")
    if hasattr(cause := error.__cause__, "errors"):  # pydantic's, which knows the value
        first = cause.errors()[0]
        message = f"{message.split(': ')[0]}: {shown(first['input'])}; {in_words(first['msg'])}"
    return _say(f"{message}; see `{command} --help`")


def _of_the_machine(error: Exception) -> str | None:
    """What a disk, a permission or the memory refuses, in words; None of any other error.

    Libraries that write tell it in errors of their own, by the system's words.
    """
    if isinstance(error, MemoryError):
        return "the memory is full; use smaller batches, or stop what else runs"
    if "marshal data too short" in f"{error}{error.__cause__}":  # Typer takes this EOFError for the end of the input
        return CUT_SHORT
    if isinstance(error, OSError) and error.errno in MACHINE:
        where = f"{error.filename}: " if error.filename is not None else ""
        return f"{where}{error.strerror}; {MACHINE[error.errno]}"
    if isinstance(error, RuntimeError) and isinstance(error.__context__, OSError):
        return _of_the_machine(error.__context__)  # torch complains once more as it closes what it could not write
    full = re.search("No space left on device|File too large|requested and .* written", str(error))
    return f"{os.strerror(errno.ENOSPC)}; {FULL}" if full else None
