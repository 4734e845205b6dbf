"""A study built by a real SLURM of one node: its jobs ask for what they need, and a training stopped there goes on."""

import contextlib
import json
import os
import re
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from rediffuse.pipeline.context import Context
from tests.cluster.conftest import needs, trained
from tests.cluster.slurm import Slurm, missing
from tests.pipeline.conftest import ROOT, SERVICES, Clone
from tests.stages.conftest import do, open_study

#: The plugin looks at the queue every 40 seconds unless it is told otherwise.
QUICKLY = "--slurm-init-seconds-before-status-checks 8 --slurm-status-command squeue --slurm-keep-successful-logs"
TRAIN = "train_baseline_seed0"
#: The two commands of docs/cluster.md that build something.
COMMANDS = re.findall(
    r"^    (snakemake --profile profiles/slurm.*?)(?: +#.*)?$", (ROOT / "docs/cluster.md").read_text(), re.M
)

pytestmark = [
    SERVICES,
    pytest.mark.skipif(missing() is not None, reason=str(missing())),
    needs("slurm"),
]


@pytest.fixture(scope="module")
def slurm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Slurm]:
    cluster = Slurm(tmp_path_factory.mktemp("slurm"))
    try:
        cluster.__enter__()
    except RuntimeError as error:  # as in a container that lets no daemon be
        pytest.skip(f"SLURM does not start here: {str(error)[-300:]}")
    try:
        yield cluster
    finally:
        cluster.__exit__()


def wait_for(ready: Callable[[], object], what: str, seconds: float = 240) -> None:
    end = time.monotonic() + seconds
    while not ready():
        assert time.monotonic() < end, what
        time.sleep(0.05)


def job_of(slurm: Slurm, rule: str) -> dict[str, str]:
    """What SLURM says of the newest job of a rule; nothing before one is submitted."""
    texts = slurm.run("scontrol", "show", "job").split("\n\n")
    found = [dict(re.findall(r"(\S+?)=(\S+)", text)) for text in texts if f"Comment=rule_{rule} " in text]
    return max(found, key=lambda job: int(job["JobId"]), default={})


def stopped(lock: Path, after: str = "") -> str:
    """The process of the training that begins after another one: it waits, so as not to be over before SLURM acts."""
    wait_for(lambda: lock.exists() and lock.read_text() not in ("", after), "the training does not begin")
    os.kill(int(lock.read_text()), signal.SIGSTOP)
    return lock.read_text()


@contextlib.contextmanager
def building(project: Clone, command: str) -> Iterator[None]:
    """While the block runs, a build is at work; then it comes to a good end."""
    build = project.start(command)
    try:
        yield
        output, _ = build.communicate(timeout=400)
    finally:
        if build.poll() is None:
            os.killpg(build.pid, 9)
    assert build.returncode == 0, output[-4000:]


def signals(project: Clone) -> list[str]:
    """Which signals have asked the training to stop."""
    [log] = (project.folder / f".snakemake/slurm_logs/rule_{TRAIN}").glob("*.log")
    return re.findall(r"was asked to stop \((\w+)\)", log.read_text())


def test_a_study_built_by_slurm_its_training_stopped_by_time_and_by_an_urgent_job_has_the_same_bytes(
    slurm: Slurm, clone: Clone, here: Context, tmp_path: Path
):
    for stage, run in (("reference", None), ("sample", "baseline"), ("evaluate", "baseline")):
        do(here, stage, run)
    project = clone.copy(tmp_path / "project")
    project.environment = slurm.around(project.environment)
    lock = project.folder / "state/tiny/baseline/seed0/train/lock"

    assert COMMANDS[0].startswith("snakemake --profile profiles/slurm")
    command = f"{COMMANDS[0]} {QUICKLY} --set-resources {TRAIN}:gpu=1 --latency-wait 5 -- evaluated"
    with building(project, command):
        first, job = stopped(lock), job_of(slurm, TRAIN)
        asked = {key: job.get(key) for key in ("TimeLimit", "MinMemoryNode", "TresPerJob", "Requeue")}
        assert asked == {"TimeLimit": "12:00:00", "MinMemoryNode": "8000M", "TresPerJob": "gres:gpu:1", "Requeue": "1"}
        # What SLURM itself sends two minutes before the time limit, as the profile asks for it.
        slurm.run("scancel", "--signal=USR1", job["JobId"])
        os.kill(int(first), signal.SIGCONT)
        # For a job that must have the node SLURM wakes and ends what runs there.
        stopped(lock, after=first)
        slurm.run("sbatch", "--partition=urgent", "--exclusive", "--output=/dev/null", "--wrap=true")

    assert signals(project) == ["SIGUSR1", "SIGTERM"]
    assert job_of(slurm, TRAIN)["Restarts"] == "2"
    # The study saves nothing within its 300 steps, so what it goes on from was saved for the signals.
    assert json.loads((project.folder / "runs/tiny/baseline/seed0/timing/train.json").read_text())["resumed_from"] > 0
    assert trained(project.folder) == trained(here.root)
    for file in ("samples/ancestral-5.npz", "metrics/ancestral-5.json", "receipts/evaluate.json"):
        name = f"runs/tiny/baseline/seed0/{file}"
        assert (project.folder / name).read_bytes() == (here.root / name).read_bytes(), file


def test_a_training_that_processes_share_goes_on_with_the_same_bytes_after_its_time_with_slurm(
    slurm: Slurm, clone: Clone, content: dict[str, Any], tmp_path: Path
):
    shared = {**content, "hardware": {**content["hardware"], "processes": 2}}
    (tmp_path / "here").mkdir()
    here = open_study(tmp_path / "here", shared)
    do(here, "prepare")
    do(here, "train", "baseline")
    project = clone.copy(tmp_path / "project")
    (project.folder / "params.yaml").write_text(yaml.safe_dump(shared))
    project.environment = slurm.around(project.environment)
    lock = project.folder / "state/tiny/baseline/seed0/train/lock"

    # One core here, as where `dvc repro` is called on a small machine, says nothing of the nodes.
    with building(project, f"{COMMANDS[0]} {QUICKLY} --cores 1 --latency-wait 5 --until {TRAIN} -- evaluated"):
        first = stopped(lock)
        assert job_of(slurm, TRAIN)["CPUs/Task"] == str(2 * content["hardware"]["threads"])
        slurm.run("scancel", "--signal=USR1", job_of(slurm, TRAIN)["JobId"])
        os.kill(int(first), signal.SIGCONT)

    assert signals(project) == ["SIGUSR1"]
    timing = json.loads((project.folder / "runs/tiny/baseline/seed0/timing/train.json").read_text())
    assert timing["processes"] == 2
    assert timing["resumed_from"] > 0
    assert trained(project.folder) == trained(here.root)


def test_a_training_that_processes_share_asks_for_the_gpus_of_one_node(
    slurm: Slurm, clone: Clone, content: dict[str, Any], tmp_path: Path
):
    project = clone.copy(tmp_path / "project")
    project.run("rediffuse prepare")
    shared = {**content, "hardware": {**content["hardware"], "device": "cuda", "processes": 4}}
    (project.folder / "params.yaml").write_text(yaml.safe_dump(shared))
    project.environment = slurm.around(project.environment)
    before = job_of(slurm, TRAIN).get("JobId")
    project.run(f"{COMMANDS[0]} {QUICKLY} --cores 1 --retries 0 --latency-wait 5 -- trained", code=1)  # no GPU is there
    job = job_of(slurm, TRAIN)
    assert job["JobId"] != before
    assert (job["TresPerJob"], job["NumNodes"]) == ("gres:gpu:4", "1")
