"""A build that is asked to end as one of its jobs ends does so, and does not wait for ever."""

import signal
import threading
from collections.abc import Iterator

import pytest

from rediffuse.pipeline.snakemake import answer_from_a_thread


@pytest.fixture
def sigterm() -> Iterator[None]:
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


@pytest.mark.usefixtures("sigterm")
def test_a_signal_that_comes_while_its_answers_lock_is_held_is_answered_once_it_is_free():
    lock, answered = threading.Lock(), threading.Event()

    def answer(*_: object) -> None:  # as the scheduler of Snakemake does
        with lock:
            answered.set()

    signal.signal(signal.SIGTERM, answer)
    answer_from_a_thread(signal.SIGTERM)
    with lock:
        signal.raise_signal(signal.SIGTERM)
        assert not answered.wait(0.1)
    assert answered.wait(10)


@pytest.mark.usefixtures("sigterm")
def test_a_signal_that_nothing_answers_ends_the_process_as_before():
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    answer_from_a_thread(signal.SIGTERM)
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
