"""The rebuild of a study in a scratch folder, while its receipts tell how far it is."""

import os
import re
import signal
import statistics
import subprocess
import sys
import time
from collections import defaultdict
from pathlib import Path
from shutil import copy2, copytree

from rediffuse.errors import UserError, one_line
from rediffuse.files import remove
from rediffuse.pipeline import snakemake
from rediffuse.pipeline.digests import Digests
from rediffuse.pipeline.glance import read_receipt
from rediffuse.pipeline.lock import lock
from rediffuse.pipeline.plan import Job, Plan
from rediffuse.pipeline.receipts import read_timing, why_stale
from rediffuse.progress import Progress
from rediffuse.reporting.values import counted
from rediffuse.verification.parts import table
from rediffuse.verification.scratch import Scratch

LOG = "rebuild.log"
#: Seconds that a job is taken for where nothing like it was ever timed, unless trainings took less.
#: AT_WORK: the share of one at work that counts as done at most; it takes longer than was thought beyond that.
USUAL, AT_WORK = 10.0, 0.95
POLL = 0.25


def rebuild(scratch: Scratch, plan: Plan, jobs: list[Job], targets: list[str], root: Path, cores: str) -> int:
    """Make targets, which `jobs` are and what they need; how many jobs were to be done. UserError: one failed.

    Snakemake does it; on one core a single process does, which loads what computes once and not for each job.
    """
    alone = [sys.executable, "-m", "rediffuse", "make", *(job.name for job in jobs)]
    log = scratch.folder / LOG
    log.write_text("")
    watch = _Watch(plan.study, jobs, root, scratch)
    done, seconds, _ = watch.look()
    due = len(watch.waiting)
    if due:
        about = f"about {max(seconds - done, 1):,} s of work"
        print(f"rebuilding {plan.study}: {counted(due, 'job')}, {about}", file=sys.stderr, flush=True)
    with Progress(f"rebuilding {plan.study}", "second", enabled=due > 0) as progress:
        while _at_work(scratch):  # what a killed verification left behind goes on: it is waited for, not disturbed
            progress(*watch.look())
            time.sleep(POLL)
        with log.open("w") as stream:
            process = subprocess.Popen(
                alone if cores == "1" else snakemake.command(*targets, cores=cores),
                cwd=scratch.project,
                env=snakemake.with_a_cache(scratch.environment),
                stdout=stream,
                stderr=subprocess.STDOUT,
            )
        try:
            while process.poll() is None:
                progress(*watch.look())
                time.sleep(POLL)
        except BaseException:
            process.send_signal(signal.SIGINT)  # it lets its jobs end, and is found again if it is killed, too
            process.wait()
            raise
        progress(*watch.look())
    if process.returncode:
        lines = log.read_text(errors="replace").splitlines()
        wrong = [line.strip() for line in lines if line.startswith(("rediffuse: ", "Error", "WorkflowError"))]
        why = one_line(wrong[0] if wrong else "it does not say why", 120)
        raise UserError(f"verify: the rebuild stopped: {why}; all it said stands in {os.path.relpath(log)}")
    return due


def _at_work(scratch: Scratch) -> bool:
    try:
        os.close(lock(scratch.project / "state" / "snakemake.lock", "the rebuild"))
    except UserError:
        return True
    return False


def take_over(scratch: Scratch, plan: Plan, root: Path) -> int:
    """Copy what the project at `root` has up to date by the scratch folder's keys; how many jobs need not be done."""
    digests, taken = Digests(root), 0
    for job in plan.jobs.values():
        if why_stale(job, digests) is not None or (scratch.project / job.receipt).exists():
            continue
        for path in (*job.outputs, *job.loose, job.timing, job.receipt):  # the receipt last: it vouches for the rest
            there = scratch.project / path
            remove(there)
            there.parent.mkdir(parents=True, exist_ok=True)
            (copytree if (root / path).is_dir() else copy2)(root / path, there)
        taken += 1
    digests.save()
    return taken


class _Watch:
    """How much of the work is done: jobs by the seconds that they took before, or that others of their stage took;
    those at work by the clock.
    """

    def __init__(self, study: str, jobs: list[Job], root: Path, scratch: Scratch) -> None:
        self.log, self.logs = scratch.folder / LOG, scratch.project / "state" / study / "logs"
        self.root = scratch.project
        self.waiting, self.count, self.done = jobs, len(jobs), 0.0
        self.took = {job.name: seconds for job in jobs if (seconds := _seconds(job, root))}
        trainings = _trainings(self.root / "reports" / study / "timings" / "training-cost.csv")
        self.of_stage = defaultdict(list, train=trainings)
        self.otherwise = min([USUAL, *trainings])
        for job in jobs:
            if job.name in self.took:
                self.of_stage[job.stage].append(self.took[job.name])
        self.began, self.seen = time.time(), dict[str, float]()

    def look(self) -> tuple[int, int, str]:
        """Seconds of work done, those in all, and what is at work."""
        waiting, in_turn = [], self._in_turn()
        for job in self.waiting:
            receipt = read_receipt(self.root / job.receipt)
            if receipt is None or receipt["key"] != job.key:
                waiting.append(job)
            elif seconds := _seconds(job, self.root):
                self.done += seconds
                self.of_stage[job.stage].append(seconds)
        usual = {stage: statistics.median(seconds) for stage, seconds in self.of_stage.items() if seconds}
        self.waiting, share, left, at_work = waiting, 0.0, 0.0, []
        for job in waiting:
            expected = self.took.get(job.name, usual.get(job.stage, self.otherwise))
            if job.name == in_turn or self._logs(job):
                since = time.time() - self.seen.setdefault(job.name, time.time())
                share, expected = share + since, max(expected, since / AT_WORK)
                at_work.append(job.name)
            left += expected
        note = f"{self.count - len(waiting)} of {self.count} jobs; {', '.join(at_work[:2])}"
        return int(self.done + share), int(self.done + left), note.rstrip("; ")

    def _in_turn(self) -> str:
        """What a single process has said last that it begins."""
        said = re.findall(r"^\[\d+/\d+\] (.+)$", self.log.read_text(errors="replace"), re.MULTILINE)
        return said[-1] if said else ""

    def _logs(self, job: Job) -> bool:
        try:
            return (self.logs / f"{job.name}.log").stat().st_mtime >= self.began - 1
        except OSError:
            return False


def _seconds(job: Job, root: Path) -> float | None:
    """How long a job took that lies in a project; None where nothing tells it."""
    seconds = read_timing(job, root).get("seconds")
    return seconds if isinstance(seconds, int | float) and seconds > 0 else None


def _trainings(file: Path) -> list[float]:
    """How long trainings took, as a report tells it: in a fresh clone nothing else is known."""
    try:
        head, *rows = table(file.read_text(encoding="utf-8"))
        return [float(row[head.index("Training time (s)")]) for row in rows]
    except (OSError, ValueError, IndexError):
        return []
