"""A cluster asks a job to stop: a training saves, ends, and goes on to the same bytes."""

import json
import os
import shutil
import signal
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from rediffuse.pipeline.context import Context
from rediffuse.pipeline.stopping import saving_first
from rediffuse.pipeline.work import work
from tests.cluster.conftest import trained
from tests.stages.conftest import open_study

STATE = "state/tiny/baseline/seed0/train"


def stopped(context: Context, number: int) -> bool:
    """Train, and send this process a signal as soon as the training has begun; whether that stopped it."""

    def send() -> None:
        lock = context.root / STATE / "lock"
        while not lock.exists() or not lock.read_text():
            time.sleep(0.001)
        os.kill(os.getpid(), number)

    sender = threading.Thread(target=send)
    sender.start()
    try:
        work(context, context.plan.find("train", "baseline", 0), later=True)
    except KeyboardInterrupt:
        return True
    finally:
        sender.join()
    return False


@pytest.fixture
def prepared(here: Context, content: dict[str, Any], tmp_path: Path) -> Context:
    shutil.copytree(here.root / "data", tmp_path / "data")
    return open_study(tmp_path, content)


@pytest.mark.parametrize(("number", "queued"), [(signal.SIGUSR1, ["requeue 7"]), (signal.SIGTERM, [])])
def test_a_training_asked_to_stop_saves_and_goes_on_to_the_same_bytes(
    prepared: Context, here: Context, monkeypatch: pytest.MonkeyPatch, number: int, queued: list[str]
):
    asked, before = prepared.root / "asked", signal.getsignal(number)
    scontrol = prepared.root / "bin" / "scontrol"
    scontrol.parent.mkdir()
    scontrol.write_text(f'#!/bin/sh\necho "$@" >> {asked}\n')
    scontrol.chmod(0o755)
    monkeypatch.setenv("PATH", f"{scontrol.parent}:{os.environ['PATH']}")
    monkeypatch.setenv("SLURM_JOB_ID", "7")

    assert stopped(prepared, number)

    assert signal.getsignal(number) == before
    assert not (prepared.root / "runs/tiny/baseline/seed0/weights.safetensors").exists()
    # Only before a time limit it queues again by itself: who takes a node away, or cancels, decides that.
    assert (asked.read_text().splitlines() if asked.exists() else []) == queued
    # The study saves nothing within its 300 steps, so what it goes on from was saved for the signal.
    work(prepared, prepared.plan.find("train", "baseline", 0), later=True)
    timing = json.loads((prepared.root / "runs/tiny/baseline/seed0/timing/train.json").read_text())
    assert 0 < timing["resumed_from"] < 300
    assert trained(prepared.root) == trained(here.root)


def test_an_error_that_follows_from_an_interruption_is_one_and_another_is_not(prepared: Context):
    job = prepared.plan.find("train", "baseline", 0)

    def write() -> None:  # as torch's writer of files does when it is interrupted
        try:
            raise KeyboardInterrupt
        finally:
            raise RuntimeError("unexpected pos 64 vs 0")

    with pytest.raises(KeyboardInterrupt), saving_first(prepared, job):
        write()
    with pytest.raises(RuntimeError), saving_first(prepared, job):
        raise RuntimeError("something else")
