"""Work that ends after a time, wherever it is then."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager


class TimeIsUp(BaseException):
    """No more time: raised in the middle of a job, which goes on where it was when it is begun again."""


@contextmanager
def at_most(seconds: float | None) -> Iterator[None]:
    """Raise TimeIsUp in what stands below once these seconds are over; None: never."""
    if seconds is None:
        yield
        return
    assert threading.current_thread() is threading.main_thread(), "signals reach the main thread alone"

    def stop(*_: object) -> None:
        raise TimeIsUp

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, max(seconds, 1e-6))
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
