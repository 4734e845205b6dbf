"""Jobs of a study in processes side by side, each of which opens the study once and then does one job after another.

Most jobs of small studies are done sooner than a process has imported what it needs, which is what Snakemake, with a
process for each, spends its time on.
"""

import functools
import os
import signal
import sys
import threading
import time
from collections.abc import Iterable, Sequence, Set
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import replace
from multiprocessing import connection, get_context, parent_process
from pathlib import Path

from rediffuse.pipeline.context import Context
from rediffuse.pipeline.deadline import at_most
from rediffuse.pipeline.plan import Job
from rediffuse.pipeline.work import work


def do_at_once(context: Context, due: Sequence[Job], count: int, study: Path, end: float | None) -> None:
    """Do jobs, `count` at a time, each as soon as those that it needs are done.

    study: the study's file; end: when each job stops, as `time.time()` says it.

    Raises:
        UserError: one cannot work as the study asks. Those at work are finished, and no other is begun.
        TimeIsUp: the end has come.
    """
    waiting = {job.name: job for job in due}
    needs = {job.name: context.plan.upstream(job.needs).keys() & waiting.keys() for job in due}
    on_gpu = context.loaded.study.hardware.device == "cuda"
    apart = {job.name for job in due if on_gpu and job.declaration.alone}
    running: dict[Future[None], str] = {}
    # New interpreters: a fork would have the locks of libraries, and not the threads that hold them.
    with ProcessPoolExecutor(count, mp_context=get_context("spawn"), initializer=_ready) as pool:
        try:
            while waiting or running:
                unfinished = waiting.keys() | running.values()
                free = [job for job in waiting.values() if not needs[job.name] & unfinished]
                for job in begun_next(free, running.values(), count, apart):
                    del waiting[job.name]
                    print(f"[{len(due) - len(waiting)}/{len(due)}] {job.name}", file=sys.stderr, flush=True)
                    beside = 1 if job.name in apart else count
                    running[pool.submit(_do, study, job.name, beside, end)] = job.name
                for ended in wait(running, return_when=FIRST_COMPLETED).done:
                    del running[ended]
                    ended.result()
        finally:
            pool.shutdown(cancel_futures=True)


def begun_next(free: Iterable[Job], running: Iterable[str], count: int, apart: Set[str]) -> list[Job]:
    """Which of the jobs that could be begun are, beside those running; one of `apart` only when no other is left."""
    busy = set(running)
    if busy & apart:
        return []
    ordered = sorted(free, key=lambda job: -job.declaration.first)
    beside = [job for job in ordered if job.name not in apart]
    if beside or busy:
        return beside[: count - len(busy)]
    return ordered[:1]


def _ready() -> None:
    """Before the first job of a process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C counts while a job is done, not between two
    threading.Thread(target=_end_with_the_first, daemon=True).start()


def _end_with_the_first() -> None:
    """Once the process that gives out the jobs is gone, end as one that is asked to: a training saves first."""
    first = parent_process()
    assert first is not None
    connection.wait([first.sentinel])
    while True:  # a training that has saved would wait for the next job
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(2)


@functools.cache
def _opened(study: Path) -> Context:
    return Context.open(study)


def _do(study: Path, name: str, at_once: int, end: float | None) -> None:
    context = replace(_opened(study), at_once=at_once)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with at_most(None if end is None else end - time.time()):
            work(context, context.plan.jobs[name])
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
