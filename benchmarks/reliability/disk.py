"""Takes the disk away while jobs write, and gives it back.

The project lies on a file system in memory (tmpfs) in a mount namespace of its own. Each job works with so many pages
of room, with a limit on the length of a file, and with folders mounted read-only; then the same command again with
room. Snakemake and DVC build on a disk that fills up, too. Root's rights do not count for a full disk, nor for a
read-only mount.

    python -m benchmarks.reliability.disk
"""

import argparse
import contextlib
import os
import random
import resource
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.reliability.project import (
    Clone,
    Forked,
    built,
    opened,
    parser,
    project,
    record,
    results,
    scratch,
    unlike,
    words_for,
)

from rediffuse.pipeline.context import Context
from rediffuse.pipeline.digests import Digests
from rediffuse.pipeline.plan import Job
from rediffuse.pipeline.receipts import why_stale
from rediffuse.pipeline.work import forget

INSIDE = "REDIFFUSE_OWN_MOUNTS"
PAGE = 4096
TOOLS = {"snakemake": "snakemake --cores 2 --quiet rules", "dvc": "dvc repro"}


def mount(*words: str) -> None:
    subprocess.run(["mount", *words], check=True)


@contextlib.contextmanager
def room(disk: Path, size: int) -> Iterator[None]:
    """Leave so many bytes free on a disk."""
    filler = disk / "filler"
    with filler.open("wb") as stream:
        free = os.statvfs(disk).f_bavail * PAGE - size
        if free > 0:
            os.posix_fallocate(stream.fileno(), 0, free)
    try:
        yield
    finally:
        filler.unlink()


@contextlib.contextmanager
def read_only(folder: Path) -> Iterator[None]:
    """Mount a folder so that nothing can be written in it."""
    mount("--bind", str(folder), str(folder))
    try:
        mount("-o", "remount,bind,ro", str(folder))
        yield
    finally:
        subprocess.run(["umount", str(folder)], check=True)


@contextlib.contextmanager
def limited(size: int, log: Path) -> Iterator[Callable[[], None]]:
    """What a fork calls that may write no file longer than so many bytes; its words go through a pipe."""
    with log.open("wb") as stream, subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=stream) as reader:
        assert reader.stdin is not None
        pipe = reader.stdin.fileno()

        def before() -> None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
            for stream in (1, 2):
                os.dup2(pipe, stream)

        yield before


@dataclass
class Tally:
    """What became of the cases of one kind, by stage; `wrong`: what should not have been."""

    kind: str
    failed: Counter[str] = field(default_factory=Counter)
    passed: int = 0
    wrong: list[str] = field(default_factory=list)

    def json(self) -> dict[str, Any]:
        """The figures."""
        stages = dict(self.failed)
        return {"failures": sum(stages.values()), "by stage": stages, "had room": self.passed, "wrong": self.wrong}


class Bench:
    """Jobs on a disk, one at a time."""

    def __init__(self, clone: Clone, folder: Path) -> None:
        self.clone, self.log = clone, folder / "job.log"
        self.context: Context = opened(clone)

    def run(self, job: Job, before: Callable[[], None] | None = None) -> Forked:
        """Do a job to its end, whatever that is."""
        forked = Forked(words_for(job), self.clone.folder, self.log, before)
        forked.wait()
        return forked

    def case(self, tally: Tally, job: Job, hindered: contextlib.AbstractContextManager[None], before=None) -> bool:
        """One failure and the same command again. True: it failed."""
        forget(self.context, job)
        right = self.others(job)
        with hindered:
            forked = self.run(job, before)
        if forked.code == 0:
            tally.passed += 1
            return False
        tally.failed[job.stage] += 1
        lines = [line for line in forked.said if line.startswith(("rediffuse: ", "Traceback"))]
        if forked.code != 2 or len(lines) != 1 or "Traceback" in lines[0]:
            tally.wrong.append(f"{job.name}: exit code {forked.code}: {' / '.join(forked.said[-3:])[:300]}")
        if why_stale(job, Digests(self.context.root)) is None:
            tally.wrong.append(f"{job.name} counts as finished")
        if self.others(job) != right:
            tally.wrong.append(f"{job.name} changed what others made")
        if self.run(job).code != 0:
            tally.wrong.append(f"{job.name} does not go on: {self.log.read_text()[-300:]}")
        return True

    def others(self, job: Job) -> dict[str, str]:
        """Digests of what the other jobs made."""
        mine = {str(path) for path in (*job.outputs, job.receipt)}
        paths = [p for one in self.context.plan.jobs.values() for p in (*one.outputs, one.receipt)]
        digests = Digests(self.context.root)
        return {str(p): str(digests.of(p)) for p in paths if str(p) not in mine}


def rooms(chance: random.Random, count: int) -> Iterator[int]:
    """Numbers of pages: none, one, two, …, then more and more."""
    pages = 0
    for number in range(count):
        yield pages
        pages += 1 if number < count // 2 else chance.randint(1, 2 + pages // 2)


def hinder(bench: Bench, disk: Path, job: Job, each: int, chance: random.Random, tallies: dict[str, Tally]) -> None:
    """All cases of one job."""
    for pages in rooms(chance, each):
        if not bench.case(tallies["full disk"], job, room(disk, pages * PAGE)):
            break
    sizes = sorted((bench.clone.folder / path).stat().st_size for path in (*job.outputs, job.receipt))
    for size in {0, sizes[0] // 2, chance.randrange(sizes[-1]), sizes[-1] - 1}:
        with limited(size, bench.log) as before:
            bench.case(tallies["limit of a file's length"], job, contextlib.nullcontext(), before)
    root = bench.clone.folder
    for folder in (root / job.folder, root / "state", root):
        folder.mkdir(parents=True, exist_ok=True)
        bench.case(tallies["read-only folder"], job, read_only(folder))


def fill_up(clone: Clone, disk: Path, tool: str, sizes: list[int], right: dict[str, str]) -> dict[str, Any]:
    """Build with a tool on a disk that fills up, a little more room each time."""
    codes = []
    for size in sizes:
        with room(disk, size):
            process = clone.start(TOOLS[tool])
            process.communicate()
            codes.append(process.returncode)
    clone.run(TOOLS[tool])
    return {"rooms, kB": [size // 1000 for size in sizes], "codes": codes, "different": unlike(results(clone), right)}


def main(arguments: list[str] | None = None) -> None:
    parse = parser(__doc__, "disk")
    parse.add_argument("--each", type=int, default=12, help="rooms of each job at most")
    parse.add_argument("--parts", nargs="*", choices=("jobs", "tools"), default=["jobs", "tools"])
    options = parse.parse_args(arguments)
    if INSIDE not in os.environ:
        words = ["-m", "benchmarks.reliability.disk", *(sys.argv[1:] if arguments is None else arguments)]
        command = ["unshare", "--map-root-user", "--mount", sys.executable, *words]
        raise SystemExit(subprocess.run(command, env={**os.environ, INSIDE: "1"}).returncode)
    with scratch(options.folder) as folder:
        disk = folder / "disk"
        disk.mkdir()
        mount("-t", "tmpfs", "-o", "size=200m", "tmpfs", str(disk))
        try:
            for name in options.parts:
                began = time.monotonic()
                for figures in PARTS[name](disk, folder / name, options):
                    record(f"disk-{name}", options.results, began, {"seed": options.seed, **figures})
        finally:
            subprocess.run(["umount", str(disk)], check=True)


def by_job(disk: Path, folder: Path, options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """What became of each job, so far."""
    chance = random.Random(options.seed)
    kinds = ("full disk", "limit of a file's length", "read-only folder")
    tallies = {kind: Tally(kind) for kind in kinds}
    whole, jobs = built(folder / "whole", options)
    right = results(whole)
    bench = Bench(project(disk / "project"), folder)
    for job in jobs:
        hinder(bench, disk, job, options.each, chance, tallies)
        now = results(bench.clone)
        different = [name for name in unlike(now, right) if name in now]
        yield {"jobs": {kind: tally.json() for kind, tally in tallies.items()}, "different": different}
    shutil.rmtree(disk / "project")


def by_tool(disk: Path, folder: Path, options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """What became of builds on a disk that fills up, so far."""
    whole = project(folder / "whole")
    whole.run(TOOLS["dvc"])
    right, found = results(whole), {}
    for tool in TOOLS:
        # Only DVC writes the plan's files.
        wanted = {name: made for name, made in right.items() if tool == "dvc" or not name.startswith("plan/")}
        clone = project(disk / "project")
        found[tool] = fill_up(clone, disk, tool, [200_000, 600_000, 1_500_000, 3_000_000], wanted)
        shutil.rmtree(clone.folder)
        yield found


PARTS = {"jobs": by_job, "tools": by_tool}


if __name__ == "__main__":
    main()
