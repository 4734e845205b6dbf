"""Progress on stderr: a bar with rate and time left on a terminal, sparse lines elsewhere."""

import sys
import time
from types import TracebackType
from typing import Any, Self

SECONDS_BETWEEN_LINES = 30.0


def duration(seconds: float) -> str:
    """Seconds as 1:02:03 or 2:03."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


class Progress:
    """Counts steps towards `total`, starting at `start`.

    Args:
        label: what is counted, first on every line.
        enabled: False shows nothing.
    """

    def __init__(self, label: str, total: int, *, start: int = 0, enabled: bool = True) -> None:
        self.label, self.total, self.start, self.enabled = label, total, start, enabled
        self.note = ""
        self._bar: Any = None

    def __enter__(self) -> Self:
        self._began = self._spoke = time.monotonic()
        if self.enabled and sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
            from rich.progress import Progress as Bar

            self._bar = Bar(
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn("{task.fields[rate]}"),
                TimeRemainingColumn(),
                TextColumn("{task.fields[note]}"),
                console=Console(stderr=True),
                transient=True,
            )
            self._bar.start()
            self._task = self._bar.add_task(self.label, total=self.total, completed=self.start, rate="", note="")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def advance(self, done: int) -> None:
        """`done` of `total` steps are done."""
        if not self.enabled:
            return
        now = time.monotonic()
        rate = (done - self.start) / max(now - self._began, 1e-9)
        if self._bar is not None:
            self._bar.update(self._task, completed=done, rate=f"{rate:.1f} steps/s", note=self.note)
        elif now - self._spoke >= SECONDS_BETWEEN_LINES or done == self.total:
            self._spoke = now
            left = duration((self.total - done) / rate) if rate > 0 else "unknown"
            parts = [f"{self.label}: step {done}/{self.total}", f"{rate:.1f} steps/s", f"{left} left", self.note]
            print(", ".join(part for part in parts if part), file=sys.stderr, flush=True)
