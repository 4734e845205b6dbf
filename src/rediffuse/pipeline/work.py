"""A job at work: what it is made from is checked, it works, its receipt and what was measured of it are written."""

import contextlib
import datetime
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from rediffuse.evaluation.feature_networks import OWN_RISK
from rediffuse.files import remove
from rediffuse.formats import write_json
from rediffuse.machine import environment, machine
from rediffuse.pipeline.context import Context
from rediffuse.pipeline.digests import Digests
from rediffuse.pipeline.lock import lock
from rediffuse.pipeline.outside import named, own_program
from rediffuse.pipeline.plan import Job
from rediffuse.pipeline.receipts import clear_damage, require, why_stale, write_receipt
from rediffuse.pipeline.stopping import saving_first
from rediffuse.registry import load
from rediffuse.runs import facts


def work(context: Context, job: Job, *, force: bool = False, later: bool = False) -> bool:
    """Do a job unless its files are up to date; whether it worked.

    force: do it anew whatever lies there, without what an earlier try left.
    later: leave logging to `rediffuse track`, unless the job took so long that it pays by itself.

    Raises:
        UserError: something that it needs is not there or not up to date, or cannot work as the study asks.
    """
    done = _is_done(context, job, force)
    if not done:
        with _alone(context, job):
            if not (done := _is_done(context, job, force)):  # another process may have done it meanwhile
                _do(context, job, force, later)
    if done:
        print(f"{job.name} is up to date", file=sys.stderr)
    return not done


def _is_done(context: Context, job: Job, force: bool) -> bool:
    digests = Digests(context.root)
    reason = why_stale(job, digests)
    digests.save()
    return reason is None and not force


def lock_file(context: Context, job: str) -> Path:
    """What a process locks that does a job; there as soon as one has ever begun it in this project."""
    return context.root / "state" / context.plan.study / "locks" / f"{job.replace('/', '-')}.lock"


@contextlib.contextmanager
def _alone(context: Context, job: Job) -> Iterator[None]:
    """Wait until no other process does this job, and keep others waiting."""
    held = lock(lock_file(context, job.name), job.name, wait=True)
    try:
        yield
    finally:
        os.close(held)


def _do(context: Context, job: Job, force: bool, later: bool) -> None:
    require(job, context.root)
    if job.stage != "prepare":
        _check_prepared(context)
    elif (pictures := named(context.loaded).get("data.path")) is not None:
        load("rediffuse.data.swollen:check_pictures")(context.root / pictures)
    if job.stage == "reference" and (weights := own_program(context.loaded)) is not None:
        print(OWN_RISK.format(weights), file=sys.stderr, flush=True)
    if force:
        forget(context, job)
    clear_damage(job, context.root)
    start = time.monotonic()
    with saving_first(context, job), watching(context, job) as watch:
        measured = _measured(job, replace(context, watch=watch))
    _keep_only(context, job)
    missing = [str(path) for path in (*job.outputs, *job.loose) if not (context.root / path).exists()]
    if missing:
        raise RuntimeError(f"{job.name} did not make {', '.join(missing)}")
    seconds = time.monotonic() - start
    digests = Digests(context.root)
    loose = {"loose": {str(path): digests.of(path) for path in job.loose}} if job.loose else {}
    write_json(context.root / job.timing, {"seconds": seconds, **measured, **loose, **provenance(context, job)})
    write_receipt(job, context.root)
    if job.stage == "prepare":
        # At once: what they are too few for would be found hours later.
        _check_prepared(context)
    if job.declaration.log is not None:
        load("rediffuse.tracking.late:log_or_leave")(context, job, later=later)


def _measured(job: Job, context: Context) -> dict[str, Any]:
    """What the work of a job measured, which is done here."""
    if job.processes > 1:
        return load(str(job.declaration.divided))(job, context, in_one_process)
    return in_one_process(job, context)


def in_one_process(job: Job, context: Context) -> dict[str, Any]:
    """Do the work of a job; what it measured."""
    run, run_stage = job.of_run, load(job.declaration.code)
    if run is None or not job.declaration.by_images or not run.sampling.images_of:
        return run_stage(job, context) or {}
    settings: dict[str, Any] = {}
    for part in facts.by_images(run):
        found = (run_stage(replace(job, of_run=part), context) or {}).get("settings", {})
        settings |= {name: found[name] for name, _, _ in facts.settings(part) if name in found}
    return {"settings": settings} if settings else {}


def _check_prepared(context: Context) -> None:
    load("rediffuse.runs.data:check_prepared")(context.loaded, context.data_folder)


def forget(context: Context, job: Job) -> None:
    """Delete what a job made and what an earlier try left of it."""
    root = context.root
    remove(context.state(job))
    for path in (job.receipt, *job.outputs, *job.loose):
        if path.suffix or path in job.outputs:  # in a loose folder other files may lie
            remove(root / path)


def _keep_only(context: Context, job: Job) -> None:
    """Delete what earlier settings left in folders that DVC keeps as a whole, and make those that are empty."""
    made = {context.root / path for path in job.outputs}
    for kept in job.declaration.keeps:
        folder = context.root / job.folder / kept
        if not kept.endswith("/") or folder in made:
            continue
        folder.mkdir(parents=True, exist_ok=True)
        for path in folder.iterdir():
            if path not in made:
                remove(path)


@contextlib.contextmanager
def watching(context: Context, job: Job) -> Iterator[Any]:
    """What looks on while a training works; nothing where it is not tracked."""
    if not job.declaration.watched or not context.loaded.study.tracking.enabled:
        yield None
        return
    with load("rediffuse.tracking.live:watching")(context, job) as watch:
        yield watch


def provenance(context: Context, job: Job) -> dict[str, Any]:
    """By whom, when and on what a job's files were made: nothing that a result may depend on."""
    hardware = context.loaded.study.hardware
    return {
        "job": job.name,
        "key": job.key,
        "commit": commit(context.root),
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "environment": environment(),
        "machine": {**machine(hardware.device, hardware.threads), "at_once": context.at_once},
    }


def commit(root: Path) -> str:
    """The last git commit that touched what computes, with `+changes` when the working tree differs from it.

    Not HEAD: a commit of results, or of a sentence in the README, is no other code. Nor the active study: `rediffuse
    use` changes settings, and those stand in the receipt.
    """
    where = ["src", "workflow", "Snakefile", "requirements.lock"]
    try:
        last, dirty = (
            subprocess.run(["git", *command, "--", *where], cwd=root, capture_output=True, text=True, check=True).stdout
            for command in (["log", "-1", "--format=%H"], ["status", "--porcelain"])
        )
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return last.strip() + ("+changes" if dirty.strip() else "")


class Stopwatch:
    """Seconds since it was made."""

    def __init__(self) -> None:
        self.start = time.perf_counter()

    @property
    def seconds(self) -> float:
        """Elapsed wall-clock seconds."""
        return time.perf_counter() - self.start
