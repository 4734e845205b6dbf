"""Progress on stderr: a bar with rate and time left on a terminal, a sparse line every few seconds elsewhere."""

import sys
import time
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar
from rich.text import Text

SPARSE_SECONDS = 15.0


class _Rate(ProgressColumn):
    def __init__(self, unit: str) -> None:
        super().__init__()
        self.unit = unit

    def render(self, task: Task) -> Text:
        """Units per second over the recent past."""
        return Text(f"{task.speed:.1f} {self.unit}/s" if task.speed else "", style="cyan")


class Progress:
    """Call it with (done, total, note); used as a context manager it leaves the terminal tidy.

    Args:
        label: what is counted, first on every line.
        unit: what one is called.
        enabled: False shows nothing.
    """

    def __init__(self, label: str, unit: str, *, enabled: bool = True) -> None:
        self.label, self.unit, self.enabled = label, unit, enabled
        console = Console(stderr=True)
        self.bar: Bar | None = None
        if enabled and console.is_terminal:
            self.bar = Bar(
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                _Rate(unit),
                TimeRemainingColumn(),
                TextColumn("{task.fields[note]}", style="dim"),
                console=console,
            )
            self.task = self.bar.add_task(label, total=None, note="")
        self.first: tuple[float, int] | None = None
        self.last_line = time.monotonic()
        self.seen = (0, 0)

    def __enter__(self) -> "Progress":
        if self.bar:
            self.bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.bar:
            self.bar.stop()
        elif self.enabled and kind is None and self.seen[0]:
            print(f"{self.label}: {self.seen[0]:,} {self.unit}s done", file=sys.stderr, flush=True)

    def __call__(self, done: int, total: int, note: str = "") -> None:
        """Say that `done` of `total` units are finished."""
        self.seen = (done, total)
        if self.bar:
            self.bar.update(self.task, completed=done, total=total, note=note)
            return
        if not self.enabled:
            return
        now = time.monotonic()
        if self.first is None:
            self.first = (now, done)
        if now - self.last_line < SPARSE_SECONDS:
            return
        self.last_line = now
        rate = (done - self.first[1]) / max(now - self.first[0], 1e-9)
        left = f", {(total - done) / rate:,.0f} s left" if rate > 0 else ""
        line = f"{self.label}: {done:,}/{total:,} {self.unit}s, {rate:.1f} {self.unit}/s{left}"
        print(f"{line}  {note}".rstrip(), file=sys.stderr, flush=True)
