"""Logging of finished jobs: at once where it pays, otherwise of many jobs together."""

import contextlib
import os
import sys
import zipfile

from rediffuse.errors import UserError
from rediffuse.formats import write_json
from rediffuse.pipeline.context import Context
from rediffuse.pipeline.lock import lock
from rediffuse.pipeline.plan import Job
from rediffuse.pipeline.receipts import read_receipt, read_timing
from rediffuse.pipeline.work import lock_file
from rediffuse.registry import load
from rediffuse.tracking.store import first_line, within
from rediffuse.tracking.tracker import Tracker, TrackingFailed, alone, connect, open_tracker, store_errors, tracking_uri

#: Seconds that a job waits for its own logging, and `track` for that of each job, however slowly a store answers.
PATIENCE, PATIENCE_LATER = 120.0, 600.0
#: A job that took longer is logged at once even where others wait to be logged together.
PAYS_AFTER_SECONDS = 60.0


def log_or_leave(context: Context, job: Job, *, later: bool) -> None:
    """Log a job that has just been made, or with `later` leave it to `track` where it was a short one."""
    if tracking_uri(context) is None or job.declaration.log is None:
        return
    mark = context.root / "state" / context.plan.study / "unlogged" / f"{job.file}.json"
    with contextlib.suppress(OSError):  # of a full disk: the job itself is done
        write_json(mark, {"job": job.name})  # it stays where the store fails, or this process is killed
    if later and read_timing(job, context.root)["seconds"] < PAYS_AFTER_SECONDS:
        return
    with open_tracker(context) as tracker:
        if tracker is not None:
            try:
                _log(tracker, context, job, PATIENCE)
            except Exception as error:  # a server may answer anything, and the job is done
                raise TrackingFailed(first_line(error)) from None
            mark.unlink(missing_ok=True)


def _log(tracker: Tracker, context: Context, job: Job, patience: float) -> None:
    log = load(job.declaration.log or "")

    def logged() -> None:
        with alone(context, job):
            log(tracker, context, job)

    try:
        within(patience, logged)
    except TimeoutError as error:
        raise TrackingFailed(first_line(error)) from None


def waiting(context: Context) -> bool:
    """Whether a job waits to be logged."""
    return any((context.root / "state" / context.plan.study / "unlogged").glob("*.json"))


def track(context: Context) -> None:
    """Log every finished job that is not there yet; running it again changes nothing.

    Raises:
        UserError: tracking is off in this study, or its store cannot be used.
    """
    if (uri := tracking_uri(context)) is None:
        raise UserError("tracking.enabled: is false in this study; set it to true to log")
    marks = list((context.root / "state" / context.plan.study / "unlogged").glob("*.json"))
    logged = 0
    tracker = connect(context, uri)
    try:
        for job in context.plan.jobs.values():
            if job.declaration.log is not None and is_made(context, job):
                _log(tracker, context, job, PATIENCE_LATER)
                logged += job.stage == "train"
        close_killed(context, tracker)
    except UserError:
        raise
    except (ValueError, LookupError, TypeError, OSError, zipfile.BadZipFile) as error:
        raise UserError(
            f"tracking: the files of {job.name} cannot be read ({first_line(error)}); `rediffuse status` "
            "says which job to do again"
        ) from None
    except TrackingFailed as error:
        raise UserError(f"tracking: {error}; what is missing is logged by the next `rediffuse track`") from None
    for mark in marks:
        mark.unlink(missing_ok=True)
    print(f"{logged} runs of study {context.plan.study} are in {uri}", file=sys.stderr)


def close_killed(context: Context, tracker: Tracker) -> None:
    """Mark as killed what MLflow takes for running though no process does it; of jobs that were begun in this project,
    as others may be at work elsewhere. One that is taken up again runs again.
    """
    with store_errors():
        for run_id, job in tracker.running().items():
            path = lock_file(context, job)
            if not job or not path.exists():
                continue
            try:
                os.close(lock(path, job))
            except UserError:  # at work
                continue
            tracker.finish(run_id, "KILLED")


def is_made(context: Context, job: Job) -> bool:
    """Whether a job's files lie there, of today's settings and code or of earlier ones."""
    receipts = (job.receipt, *(need.receipt for need in job.needs if need.stage == "train"))
    there = all((context.root / path).exists() for path in job.outputs)
    return there and all(read_receipt(context.root / path) is not None for path in receipts)
