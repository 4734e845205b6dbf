"""All jobs of a study one after the other in one process: for machines without Snakemake, DVC and MLflow."""

import signal
import sys
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from rediffuse.errors import UserError
from rediffuse.pipeline.context import Context
from rediffuse.pipeline.digests import Digests
from rediffuse.pipeline.plan import Job
from rediffuse.pipeline.receipts import why_stale
from rediffuse.pipeline.work import work
from rediffuse.registry import load


class TimeIsUp(BaseException):
    """No more time: raised in the middle of a job, which goes on where it was when it is begun again."""


def make(
    study: Path, names: Iterable[str] = (), *, ablations: bool = False, minutes: float | None = None
) -> int | None:
    """Do every job that is not up to date, those that others need first; how many there were, None when time was up.

    names: only these jobs and what they need, where any is named.

    Raises:
        UserError: there is no such job, or one cannot work as the study asks; what is done stays done.
    """
    done = 0
    try:
        with _at_most(minutes):
            context = Context.open(study)
            jobs = context.plan.jobs.values()
            if wanted := set(names):
                if unknown := wanted - context.plan.jobs.keys():
                    raise UserError(f"make: there is no job {min(unknown)!r}; `rediffuse status` lists them")
                needed = context.plan.upstream([job for job in jobs if job.name in wanted])
                return _in_turn(context, [job for job in jobs if job.name in needed])
            if ablations:
                done += _in_turn(context, [job for job in jobs if job.stage != "report"])
                load("rediffuse.reporting:write_ablations")(context.loaded, context.plan, context.root)
                context = Context.open(study)
            done += _in_turn(context, [job for job in context.plan.jobs.values() if not job.ablation])
    except TimeIsUp:
        return None
    return done


def _in_turn(context: Context, jobs: Iterable[Job]) -> int:
    digests = Digests(context.root)
    due = [job for job in jobs if why_stale(job, digests) is not None]
    digests.save()
    for place, job in enumerate(due, 1):
        print(f"[{place}/{len(due)}] {job.name}", file=sys.stderr, flush=True)
        work(context, job)
    return len(due)


@contextmanager
def _at_most(minutes: float | None) -> Iterator[None]:
    """Raise TimeIsUp in what stands below once these minutes are over."""
    if minutes is None:
        yield
        return
    assert threading.current_thread() is threading.main_thread(), "signals reach the main thread alone"

    def stop(*_: object) -> None:
        raise TimeIsUp

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, 60 * minutes)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
