"""What the scripts share: a project with a study of seconds, jobs run in forks, and how figures are kept."""

import argparse
import contextlib
import datetime
import importlib
import os
import pkgutil
import shutil
import signal
import sys
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from pathlib import Path
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"

import psutil
import yaml
from tests.pipeline.conftest import Clone, new_clone
from tests.verification.conftest import STUDY

import rediffuse
from rediffuse.formats import write_json
from rediffuse.machine import machine
from rediffuse.pipeline.context import Context
from rediffuse.pipeline.plan import Job
from rediffuse.pipeline.work import commit

RESULTS = Path(__file__).parent / "results"
#: Other work may take all cores for hours: what a script waits for may take a day.
Clone.patience = 24 * 3600.0


def every_stage() -> str:
    """The tests' study of seconds with a job of every stage, each of which takes a second or less besides importing."""
    study = yaml.safe_load(STUDY)
    del study["tracking"]
    study["evaluation"] |= {
        "probe": {"images": 8, "batches": 8},
        "during_training": {"every": 3, "images": 8, "steps": 2},
        "trajectories": {"images": 8, "steps": 4, "points": 2},
    }
    study["corrections"] = {"images": 8, "steps": 2, "many_steps": 3}
    classifier = {"channels": 4, "steps": 8, "batch_size": 8, "warmup": 2, "log_every": 2, "checkpoint_every": 4}
    study["runs"]["baseline"]["classifier"] = classifier
    return yaml.safe_dump(study, sort_keys=False)


def project(folder: Path) -> Clone:
    """A clone of this project that has the study as its active one, committed and not built."""
    clone = new_clone(folder)
    (clone.folder / "params.yaml").write_text(every_stage())
    clone.run("git add -A && git commit -qm 'the study'")
    return clone


def opened(clone: Clone) -> Context:
    """The study of a clone, its jobs in the order in which they can be done."""
    return Context.open(clone.folder / "params.yaml", clone.folder)


def results(clone: Clone) -> dict[str, str]:
    """Digests of every file of data/, runs/, reports/ and plan/ that holds no times, hidden ones included."""
    found = clone.digests("data/**/*", "runs/**/*", "reports/**/*", "plan/**/*")
    return {name: digest for name, digest in found.items() if "timing" not in name and not name.endswith(".html")}


def unlike(one: dict[str, str], other: dict[str, str]) -> list[str]:
    """Files that only one of two builds has, or that differ."""
    return sorted(name for name in one.keys() | other.keys() if one.get(name) != other.get(name))


def stale(clone: Clone) -> list[str]:
    """Jobs of the study that have to be done, as `status` says."""
    lines = clone.run("rediffuse status").splitlines()
    return [line.split()[0] for line in lines if not line.endswith("up to date")]


class Forked:
    """A command of `rediffuse` in a fork of this process, which has imported already what each command would import.

    It runs all that the command runs, from its words to its exit code, in a process that can be killed.
    """

    def __init__(self, words: list[str], folder: Path, log: Path, before: Callable[[], None] | None = None) -> None:
        preload()
        self.log, self.code = log, None
        log.parent.mkdir(parents=True, exist_ok=True)
        log.write_bytes(b"")
        sys.stdout.flush()
        sys.stderr.flush()
        self.began = time.monotonic()
        self.pid = os.fork()
        if self.pid == 0:
            _be_a_command(words, folder, log, before)

    def wait(self, seconds: float | None = None) -> int | None:
        """Its exit code, minus the signal where one ended it; None where it is at work after so many seconds."""
        end = None if seconds is None else time.monotonic() + seconds
        while self.code is None:
            pid, status = os.waitpid(self.pid, 0 if end is None else os.WNOHANG)
            if pid:
                self.code = os.waitstatus_to_exitcode(status)
                self.seconds = time.monotonic() - self.began
            elif end is not None and time.monotonic() > end:
                return None
            else:
                time.sleep(0.002)
        return self.code

    def kill(self, number: int) -> None:
        """Send it a signal."""
        os.kill(self.pid, number)

    @property
    def said(self) -> list[str]:
        """The lines that it wrote."""
        return self.log.read_text(errors="replace").splitlines()


def words_for(job: Job) -> list[str]:
    """The words of a job's command, as Snakemake gives them."""
    return [*job.command.split()[1:], "--later"]


def do_jobs(clone: Clone, jobs: Iterable[Job], log: Path) -> dict[str, float]:
    """Do jobs one after the other in forks; how long each took, by stage."""
    seconds = {}
    for job in jobs:
        forked = Forked(words_for(job), clone.folder, log)
        assert forked.wait() == 0, forked.said
        seconds[job.stage] = forked.seconds
    return seconds


def built(folder: Path, options: argparse.Namespace) -> tuple[Clone, list[Job]]:
    """A project in which the study, or what the options name of it, is built; its jobs."""
    clone = Clone(options.built.resolve()).copy(folder) if options.built else project(folder)
    jobs = jobs_of(clone, options.stages)
    do_jobs(clone, jobs, folder.parent / "log")
    return clone, jobs


def jobs_of(clone: Clone, stages: Collection[str] | None) -> list[Job]:
    """The jobs of some stages in the order in which they can be done; all where None are named."""
    return [job for job in opened(clone).plan.jobs.values() if not stages or job.stage in stages]


def parser(description: str | None, name: str) -> argparse.ArgumentParser:
    """What every script takes."""
    found = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    where = Path("state/reliability", name)
    found.add_argument("--folder", type=Path, default=where, help="to work in: new, deleted at the end")
    found.add_argument("--results", type=Path, default=RESULTS, help="where the figures are written")
    found.add_argument("--stages", nargs="*", help="only jobs of these, and of none but these; all when absent")
    found.add_argument("--built", type=Path, help="project with this study built, to copy; one is built when absent")
    found.add_argument("--seed", type=int, default=0, help="of all that is drawn")
    return found


def _be_a_command(words: list[str], folder: Path, log: Path, before: Callable[[], None] | None) -> None:
    code = 70
    try:
        os.setsid()
        descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        for stream in (1, 2):
            os.dup2(descriptor, stream)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.chdir(folder)
        for name in [name for name in os.environ if name.startswith(("MLFLOW", "PYTEST"))]:
            del os.environ[name]
        sys.argv = ["rediffuse", *words]
        if before is not None:
            before()
        sys.stdout, sys.stderr = (os.fdopen(stream, "w", closefd=False) for stream in (1, 2))
        try:
            importlib.import_module("rediffuse.cli").main()
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else int(end.code is not None)
        else:
            code = 0
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        with contextlib.suppress(BaseException):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


def preload() -> None:
    """Import all that a job imports, once."""
    if preload.__dict__.setdefault("done", False):
        return
    preload.__dict__["done"] = True
    import torch

    torch.set_num_threads(1)
    for module in pkgutil.walk_packages(rediffuse.__path__, "rediffuse."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    for name in (
        "matplotlib.pyplot",
        "pandas",
        "scipy.stats",
        "seaborn",
        "sklearn.linear_model",
        "mlflow",
        "torchvision",
    ):
        importlib.import_module(name)


def family(pid: int) -> list[psutil.Process]:
    """A process and all that it started, as far as they live."""
    try:
        top = psutil.Process(pid)
        return [top, *top.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def words_of(process: psutil.Process) -> list[str]:
    """Its command line; nothing of one that has ended."""
    try:
        return process.cmdline()
    except psutil.Error:
        return []


def end_all(processes: list[psutil.Process]) -> None:
    """End what a script has started."""
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.send_signal(signal.SIGKILL)
    psutil.wait_procs(processes, timeout=30)


@contextlib.contextmanager
def scratch(folder: Path) -> Iterator[Path]:
    """A new folder for a script to work in, deleted at the end."""
    folder = folder.resolve()
    folder.mkdir(parents=True, exist_ok=False)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def record(name: str, results: Path, began: float, figures: dict[str, Any]) -> None:
    """Keep what a script has found, with its command, the machine, the day and the commit."""
    about = {
        "command": " ".join(["python", "-m", f"benchmarks.reliability.{name.partition('-')[0]}", *sys.argv[1:]]),
        "commit": commit(RESULTS.parents[2]),
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "machine": machine("cpu", 1),
        "minutes": round((time.monotonic() - began) / 60, 1),
    }
    write_json(results / f"{name}.json", {"about": about, **figures})
