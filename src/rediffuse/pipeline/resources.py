"""What a cluster's scheduler is asked for on behalf of a job: from what it took before, or as its stage declares."""

import csv
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rediffuse.pipeline.plan import Job
from rediffuse.pipeline.receipts import read_timing

#: What is asked for, in proportion to what a job took the last time; and at least that many minutes and MiB.
SPARE, MINUTES, MEBIBYTES = 3, 10, 2000


def resources(job: Job, root: Path, benchmark: Path, device: str) -> dict[str, Any]:
    """Memory (MiB), time (minutes) and GPUs of a job, as Snakemake takes them: a second try gets twice as much.

    benchmark: where Snakemake notes what the job held.
    """
    needed: dict[str, Any] = {
        "mem_mb": _by_attempt(lambda: memory(job, root / benchmark)),
        "runtime": _by_attempt(lambda: minutes(job, root)),
    }
    return needed | ({"gpu": job.processes} if device == "cuda" and job.declaration.computes else {})


def _by_attempt(once: Callable[[], int]) -> Callable[[Any, int], int]:
    return lambda wildcards, attempt: attempt * once()


def minutes(job: Job, root: Path) -> int:
    """Minutes to ask for; a training that was timed counts by its steps."""
    timing = read_timing(job, root)
    try:
        seconds = float(timing["seconds"])
        if job.stage == "train" and job.run.training is not None:
            seconds *= job.run.training.steps / timing["steps"]
    except (KeyError, TypeError, ValueError, ZeroDivisionError):
        return job.declaration.minutes
    return max(MINUTES, math.ceil(SPARE * seconds / 60))


def memory(job: Job, benchmark: Path) -> int:
    """MiB to ask for."""
    try:
        with benchmark.open(newline="") as file:
            held = max(float(row["max_rss"]) for row in csv.DictReader(file, delimiter="\t"))
        return max(MEBIBYTES, math.ceil(SPARE / 2 * held))
    except (OSError, KeyError, TypeError, ValueError):
        return job.declaration.memory_mb
