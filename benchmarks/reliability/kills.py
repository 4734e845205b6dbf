"""Kills a build again and again while it goes on, and compares what it ends with.

One clone is built without any kill. Others are killed over every stage, at moments drawn from a seed, and started
again each time: by single jobs and by `rediffuse make` (forks of one process, which saves the imports), by Snakemake
and by DVC. Of the two tools the signal goes to the tool alone, whose jobs then go on as orphans, to all of its
processes, or to the job alone.

    python -m benchmarks.reliability.kills
"""

import random
import signal
import sqlite3
import subprocess
import time
from collections import Counter
from collections.abc import Iterable
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psutil
from benchmarks.reliability.project import (
    Clone,
    Forked,
    built,
    end_all,
    family,
    jobs_of,
    opened,
    parser,
    project,
    record,
    results,
    scratch,
    stale,
    unlike,
    words_for,
    words_of,
)

from rediffuse.pipeline.plan import Job
from rediffuse.pipeline.receipts import read_timing
from rediffuse.pipeline.stage import stages
from rediffuse.pipeline.work import forget

SIGNALS = {"KILL": signal.SIGKILL, "TERM": signal.SIGTERM, "INT": signal.SIGINT}
TARGETS = ("tool", "tree", "job")
# What DVC has done before it would fetch from its cache.
TOOLS = {"snakemake": "snakemake --cores 2 --quiet rules", "dvc": "dvc repro --no-run-cache"}


@dataclass(frozen=True)
class Kill:
    """One kill: what was killed and how, the stages whose jobs were at work then,
    seconds until its target had ended.
    """

    by: str
    target: str
    signal: str
    stages: tuple[str, ...]
    seconds: float


def kill_jobs(clone: Clone, jobs: list[Job], each: int, chance: random.Random, seconds: dict[str, float]) -> list[Kill]:
    """Do all jobs one after the other, each killed so many times at moments spread over its time before it is done."""
    kills: list[Kill] = []
    log = clone.folder.parent / "job.log"
    for position, job in enumerate(jobs):
        words = words_for(job)
        for number in range(each):
            name = list(SIGNALS)[(number + position) % len(SIGNALS)]
            forked = Forked(words, clone.folder, log)
            if forked.wait((number + chance.random()) / each * seconds[job.stage]) is not None:
                continue  # it was done before
            forked.kill(SIGNALS[name])
            asked = time.monotonic()
            code = forked.wait(3600)
            assert code is not None, f"{job.name} lives on after SIG{name}"
            if code != 0:  # the signal came when it had just ended
                kills.append(Kill("job", "job", name, (job.stage,), round(time.monotonic() - asked, 3)))
            if name == "INT" and code == 130:
                assert "stopped" in forked.said[-1], forked.said
        forked = Forked(words, clone.folder, log)
        assert forked.wait() == 0, forked.said
    return kills


def kill_make(clone: Clone, jobs: list[Job], each: int, chance: random.Random, seconds: dict[str, float]) -> list[Kill]:
    """Build in one process, which is killed so many times in each job."""
    kills: list[Kill] = []
    log = clone.folder.parent / "make.log"
    for position, job in enumerate(jobs):
        for number in range(each):
            name = list(SIGNALS)[(number + position) % len(SIGNALS)]
            forked = Forked(["make"], clone.folder, log)
            while not (begun := any(line.endswith(f"] {job.name}") for line in forked.said)):
                if forked.wait(0.01) is not None:
                    break
            if not begun or forked.wait((number + chance.random()) / each * seconds[job.stage]) is not None:
                continue
            current = [line.split("] ")[1].split("/")[0] for line in forked.said if line.startswith("[")][-1]
            forked.kill(SIGNALS[name])
            asked = time.monotonic()
            if forked.wait() != 0:
                kills.append(Kill("make", "tree", name, (current,), round(time.monotonic() - asked, 3)))
    return kills


def kill_tool(
    clone: Clone, tool: str, each: int, every: int, chance: random.Random, seconds: dict[str, float]
) -> list[Kill]:
    """Build with a tool, which is killed so many times in each stage:
    when a job of it has begun, and some moment more.
    """
    kills: list[Kill] = []
    log = clone.folder.parent / f"{tool}.log"
    context, jobs = opened(clone), jobs_of(clone, None)
    for number in range(each):
        for position, job in list(enumerate(jobs))[::every]:
            forget(context, job)  # the tools go their own ways, and may have done it by now
            target = TARGETS[(number + position) % len(TARGETS)]
            name = chance.choice(list(SIGNALS))
            with log.open("a") as stream:
                process = subprocess.Popen(
                    TOOLS[tool].split(),
                    cwd=clone.folder,
                    env=clone.environment,
                    start_new_session=True,
                    stdout=stream,
                    stderr=subprocess.STDOUT,
                )
            if wait_for(clone, process, job):
                time.sleep(chance.random() * seconds[job.stage])
                kills.append(_kill(process, tool, target, name))
            process.wait()
            end_all(orphans_to_end(clone, chance))
    return kills


def wait_for(clone: Clone, process: subprocess.Popen[bytes], job: Job) -> bool:
    """Wait until a job is at work; False where the tool ends without it."""
    while process.poll() is None:
        if any(of_job(words_of(member), job) for member in family(process.pid)):
            return True
        time.sleep(0.02)
    return False


def of_job(words: list[str], job: Job) -> bool:
    """Whether a command line is that of a job under Snakemake."""
    wanted = ["-m", "rediffuse", *words_for(job)]
    return words[1 : 1 + len(wanted)] == wanted


def at_work(members: Iterable[psutil.Process]) -> list[tuple[str, psutil.Process]]:
    """The jobs among processes, by stage."""
    found = []
    for member in members:
        words = words_of(member)
        if words[1:3] == ["-m", "rediffuse"] and words[3] in stages() and "--later" in words:
            found.append((words[3], member))
    return found


def _kill(process: subprocess.Popen[bytes], tool: str, target: str, name: str) -> Kill:
    members = family(process.pid)
    jobs = at_work(members)
    if target == "job" and not jobs:
        target = "tree"
    struck = {"tool": members[:1], "tree": members, "job": [member for _, member in jobs]}[target]
    if target == "tree" and name == "KILL":
        for member in struck:
            member.suspend()
        struck = family(process.pid)  # with what was started in between
    began = time.monotonic()
    for member in struck:
        try:
            member.send_signal(SIGNALS[name])
        except psutil.NoSuchProcess:
            continue
    psutil.wait_procs(struck, timeout=3600)
    return Kill(tool, target, name, tuple(sorted(stage for stage, _ in jobs)), round(time.monotonic() - began, 3))


def orphans_to_end(clone: Clone, chance: random.Random) -> list[psutil.Process]:
    """In half of the cases what lives on of a killed tool, to be ended; else it goes on beside the next build."""
    if chance.random() < 0.5:
        return []
    mine = []
    for process in psutil.process_iter():
        try:
            if process.pid != psutil.Process().pid and Path(process.cwd()) == clone.folder:
                mine.append(process)
        except psutil.Error:
            continue
    return mine


def logged_twice(clone: Clone) -> tuple[int, int, int]:
    """Runs in the clone's MLflow store, those that are there twice, and values of a metric that are there twice: a time
    that was measured anew is another value.
    """
    with closing(sqlite3.connect(clone.folder / "mlflow.db")) as store:
        runs = store.execute("select value, count(*) from tags where key = 'rediffuse.job' group by value").fetchall()
        again = "select count(*) n from metrics group by run_uuid, key, step, value having n > 1"
        return len(runs), sum(count > 1 for _, count in runs), len(store.execute(again).fetchall())


def end_of(clone: Clone, command: str, right: dict[str, str], dirty: str) -> dict[str, Any]:
    """Let a killed build end, and what differs then from one that was never killed."""
    clone.run(command)
    found = results(clone)
    hidden = [name for name in found if Path(name).name.startswith(".")]
    waits = stale(clone)
    clone.run("rediffuse track")
    runs, twice, metrics = logged_twice(clone)
    return {
        "files": len(right),
        "different": [name for name in unlike(found, right) if name not in hidden],
        "temporary files left": len(hidden),
        "stale": waits,
        "git status the same": clone.run("git status --porcelain") == dirty,
        "runs in MLflow": runs,
        "logged twice": twice + metrics,
    }


def main(arguments: list[str] | None = None) -> None:
    parse = parser(__doc__, "kills")
    parse.add_argument("--by", nargs="*", choices=("job", "make", *TOOLS), default=["job", "make", *TOOLS])
    parse.add_argument("--jobs-each", type=int, default=6, help="kills of each job")
    parse.add_argument("--tools-each", type=int, default=2, help="kills of each tool in each stage")
    parse.add_argument("--every", type=int, default=1, help="tools are killed in every so-many-th stage only")
    options = parse.parse_args(arguments)
    signal.signal(
        signal.SIGINT, signal.default_int_handler
    )  # which shells ignore for what they start in the background
    with scratch(options.folder) as folder:
        for by in options.by:
            clone, chance = project(folder / by), random.Random(f"{options.seed} {by}")
            began = time.monotonic()
            if by in TOOLS:
                whole = project(folder / f"{by}-whole")
                whole.run(TOOLS[by])
                kills = kill_tool(clone, by, options.tools_each, options.every, chance, usual(whole))
            else:
                whole, jobs = built(folder / f"{by}-whole", options)
                seconds = {job.stage: read_timing(job, whole.folder)["seconds"] for job in jobs}
                kills = (kill_jobs if by == "job" else kill_make)(clone, jobs, options.jobs_each, chance, seconds)
            last = TOOLS.get(by, "rediffuse make" if by == "make" and not options.stages else "true")
            end = end_of(clone, last, results(whole), whole.run("git status --porcelain"))
            record(f"kills-{by}", options.results, began, summary(kills, end, options.seed))


def usual(whole: Clone) -> dict[str, float]:
    """Seconds that each job took under Snakemake."""
    found = {}
    for job in jobs_of(whole, None):
        lines = (whole.folder / "state" / "tiny" / "benchmarks" / f"{job.name}.tsv").read_text().splitlines()
        found[job.stage] = float(lines[1].split("\t")[0])
    return found


def summary(kills: list[Kill], end: dict[str, Any], seed: int) -> dict[str, Any]:
    """What the page says, and every kill by itself."""
    by_stage = Counter((stage, kill.signal) for kill in kills for stage in kill.stages)
    by_target = Counter((kill.target, kill.signal) for kill in kills)
    return {
        "seed": seed,
        "kills": len(kills),
        "by target": {target: {s: by_target[target, s] for s in SIGNALS} for target in TARGETS},
        "by stage": {name: {s: by_stage[name, s] for s in SIGNALS} for name in stages()},
        "with no job at work": sum(not kill.stages for kill in kills),
        "slowest to end, s": max((kill.seconds for kill in kills), default=0.0),
        "end": end,
        "each": [asdict(kill) for kill in kills],
    }


if __name__ == "__main__":
    main()
