"""All jobs of a study in one process, or a few at once: for machines without Snakemake, DVC and MLflow."""

import sys
import time
from collections.abc import Iterable
from pathlib import Path

from rediffuse.errors import UserError
from rediffuse.pipeline.at_once import do_at_once
from rediffuse.pipeline.context import Context
from rediffuse.pipeline.deadline import TimeIsUp, at_most
from rediffuse.pipeline.digests import Digests
from rediffuse.pipeline.plan import Job
from rediffuse.pipeline.receipts import why_stale
from rediffuse.pipeline.work import work
from rediffuse.registry import load


def make(
    study: Path,
    names: Iterable[str] = (),
    *,
    ablations: bool = False,
    minutes: float | None = None,
    at_once: int = 1,
) -> int | None:
    """Do every job that is not up to date, those that others need first; how many there were, None when time was up.

    names: only these jobs and what they need, where any is named; at_once: how many at a time, one in this process.

    Raises:
        UserError: there is no such job, or one cannot work as the study asks; what is done stays done.
    """
    seconds, done = None if minutes is None else 60 * minutes, 0
    end = None if seconds is None else time.time() + seconds

    def do(context: Context, jobs: Iterable[Job]) -> int:
        digests = Digests(context.root)
        due = [job for job in jobs if why_stale(job, digests) is not None]
        digests.save()
        if at_once > 1 and len(due) > 1:
            do_at_once(context, due, at_once, study, end)
            return len(due)
        for place, job in enumerate(due, 1):
            print(f"[{place}/{len(due)}] {job.name}", file=sys.stderr, flush=True)
            work(context, job)
        return len(due)

    try:
        with at_most(seconds):
            context = Context.open(study)
            jobs = context.plan.jobs.values()
            if wanted := set(names):
                if unknown := wanted - context.plan.jobs.keys():
                    raise UserError(f"make: there is no job {min(unknown)!r}; `rediffuse status` lists them")
                needed = context.plan.upstream([job for job in jobs if job.name in wanted])
                return do(context, [job for job in jobs if job.name in needed])
            if ablations:
                done += do(context, [job for job in jobs if job.stage != "report"])
                load("rediffuse.reporting:write_ablations")(context.loaded, context.plan, context.root)
                context = Context.open(study)
            done += do(context, [job for job in context.plan.jobs.values() if not job.ablation])
    except TimeIsUp:
        return None
    return done
