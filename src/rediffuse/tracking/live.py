"""A long training, seen while it works: its losses in MLflow, its snapshots drawn and scored for the eye.

Nothing here is a result: stage `follow` draws and scores the snapshots again for the report.
"""

import contextlib
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

from torch import nn

from rediffuse.errors import UserError
from rediffuse.pipeline.context import Context
from rediffuse.pipeline.plan import Job
from rediffuse.runs import facts
from rediffuse.tracking.jobs import start_training, training_scores
from rediffuse.tracking.store import first_line, within
from rediffuse.tracking.tracker import Tracker, alone, open_tracker

FLUSH_SECONDS = 5.0
#: Importing mlflow and opening its store takes seconds: a training that is shorter is logged when it is done.
STARTS_AFTER_SECONDS = 20.0
#: Seconds that a finished training, and one that failed, waits for what is still being sent.
PATIENCE, PATIENCE_FAILED = 30.0, 5.0


class Watch:
    """Takes rows of the history and snapshots; sends them in batches from a thread of its own, so that no step waits
    for the store, however slow it is.
    """

    def __init__(self, context: Context, job: Job, stack: contextlib.ExitStack) -> None:
        self.context, self.job, self.stack = context, job, stack
        self.rows: list[dict[str, Any]] = []
        self.began = self.flushed = time.monotonic()
        self.tracker: Tracker | None = None
        self.opened = self.failed = False
        self.run_id = ""
        self.sending: threading.Thread | None = None

    def log(self, row: dict[str, Any]) -> None:
        """Take a row of metrics; the store sees it within seconds, once the training is a long one."""
        self.rows.append(row)
        now = time.monotonic()
        if now - self.began > STARTS_AFTER_SECONDS and now - self.flushed > FLUSH_SECONDS:
            self.flush()

    def flush(self) -> None:
        """Send what has gathered, unless it is still sending what had gathered before."""
        if self.sending is not None and self.sending.is_alive():
            return
        rows, self.rows, self.flushed = self.rows, [], time.monotonic()
        self.sending = threading.Thread(target=self._send, args=(rows,), daemon=True)
        self.sending.start()

    def _send(self, rows: list[dict[str, Any]]) -> None:
        with self._guard():
            if not self.opened:
                self.opened = True
                self.tracker = self.stack.enter_context(open_tracker(self.context))
            if self.tracker is None:
                return
            with alone(self.context, self.job):
                if not self.run_id:
                    self.run_id = start_training(self.tracker, self.context, self.job, self.job.key)
                self.tracker.rows(self.run_id, rows)

    def close(self, failed: bool = False) -> None:
        """Send the rest, and say so where the training failed; what takes too long is left to `rediffuse track`."""
        patience = PATIENCE_FAILED if failed else PATIENCE
        end = time.monotonic() + patience
        if self.sending is None:
            return
        self.sending.join(patience)
        self.flush()
        self.sending.join(max(end - time.monotonic(), 0))
        if self.sending.is_alive():
            print("tracking: the store is too slow; `rediffuse track` logs the rest later", file=sys.stderr)
            self.tracker = None
        elif failed and self.tracker is not None:
            tracker = self.tracker
            with self._guard():
                within(patience, lambda: tracker.finish(self.run_id, "FAILED"))

    def snapshot(self, step: int, averaged: nn.Module, raw: nn.Module) -> None:
        """Draw and score a snapshot of a run that is scored along its training; a failure of that stops nothing."""
        if self.tracker is None or self.failed or step not in facts.scored_steps(self.job.run):
            return
        from rediffuse.jobs.following import live_scores

        try:
            found = live_scores(self.context, self.job, averaged, raw)
        except Exception as error:  # of memory, of a user's own network, of a file: none may stop a training
            self.failed = True
            reason = error if isinstance(error, UserError) else f"{type(error).__name__}: {error}"
            print(f"not scored during training: {str(reason).splitlines()[0]}", file=sys.stderr, flush=True)
            return
        of_each = ", ".join(f"{values['frechet_distance']:,.1f} ({weights})" for weights, values in found.items())
        print(f"Fréchet distance of samples: {of_each}", file=sys.stderr, flush=True)
        self.log(training_scores({"step": step, **found}))

    @contextlib.contextmanager
    def _guard(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # a server may answer anything
            print(f"tracking: {first_line(error)}; `rediffuse track` logs the rest later", file=sys.stderr)
            self.tracker = None


@contextlib.contextmanager
def watching(context: Context, job: Job) -> Iterator[Watch]:
    """What looks on while a training works; one that fails is marked so."""
    with contextlib.ExitStack() as stack:
        watch = Watch(context, job, stack)
        try:
            yield watch
        except BaseException:
            watch.close(failed=True)
            raise
        watch.close()
