"""Asked to stop, a training saves first: a cluster asks before a time limit (SIGUSR1) or takes a
node away (SIGTERM).
"""

import _thread
import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rediffuse.pipeline.context import Context
from rediffuse.pipeline.plan import Job

#: Seconds that a checkpoint may take; then the job ends without.
PATIENCE = 90.0


@contextlib.contextmanager
def saving_first(context: Context, job: Job) -> Iterator[None]:
    """While the block runs, either signal ends a job that resumes as Ctrl-C does;
    a training writes a checkpoint before.

    A job of SLURM's that was asked before its time limit goes back into the queue, where it goes on.
    """
    if not job.declaration.resumes or threading.current_thread() is not threading.main_thread():
        yield
        return
    asked: list[int] = []
    folder = context.state(job)
    # One that several processes share saves by itself when these are asked to end.
    saves = job.stage == "train" and job.run.training is not None and job.processes == 1
    options = vars(job.run.training) if saves else {}
    every = {name: value for name, value in options.items() if name == "checkpoint_every_s"}

    saved = threading.Event()

    def ask(number: int, frame: Any) -> None:
        asked.append(number)
        if not every or saved.is_set():
            raise KeyboardInterrupt
        if len(asked) == 1:
            # Frozen for all else: no result follows from how often a training could be taken up again.
            options["checkpoint_every_s"] = 0.0
            threading.Thread(target=ask_again, args=(number, _checkpoints(folder)), daemon=True).start()

    def ask_again(number: int, before: dict[str, int]) -> None:
        end = time.monotonic() + PATIENCE
        while _checkpoints(folder) == before and time.monotonic() < end:
            time.sleep(0.02)
        saved.set()
        _thread.interrupt_main(signal.Signals(number))

    before = {number: signal.signal(number, ask) for number in (signal.SIGUSR1, signal.SIGTERM)}
    try:
        yield
    except (KeyboardInterrupt, RuntimeError) as ended:
        if not isinstance(ended, KeyboardInterrupt) and not isinstance(ended.__context__, KeyboardInterrupt):
            raise
        if asked:
            print(f"{job.name} was asked to stop ({signal.Signals(asked[0]).name})", file=sys.stderr, flush=True)
        if asked[:1] == [signal.SIGUSR1]:
            _queue_again()
        raise KeyboardInterrupt from ended  # interrupted, torch's writer of files raises an error of its own
    finally:
        options.update(every)
        for number, handler in before.items():
            signal.signal(number, handler)


def _checkpoints(folder: Path) -> dict[str, int]:
    found = {}
    for path in folder.glob("checkpoint.*.pt"):
        with contextlib.suppress(OSError):  # it is being replaced
            found[path.name] = path.stat().st_mtime_ns
    return found


def _queue_again() -> None:
    if (own := os.environ.get("SLURM_JOB_ID")) is None:
        return
    with contextlib.suppress(OSError):
        done = subprocess.run(["scontrol", "requeue", own], check=False, capture_output=True, text=True)
        print(done.stderr.strip() or f"job {own} goes back into the queue", file=sys.stderr, flush=True)
