"""`hardware.processes`: what several processes make of a run, what stops them, and what they cannot do."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch
import yaml

from rediffuse.config import load_study
from rediffuse.errors import UserError
from rediffuse.files import read_json
from rediffuse.jobs import divided
from rediffuse.pipeline import work
from rediffuse.pipeline.context import Context
from rediffuse.pipeline.plan import Job
from tests.stages.conftest import do, open_study
from tests.verification.conftest import STUDY

RUN = Path("runs/tiny/baseline/seed0")


def study(processes: int | None = None, **training: Any) -> dict[str, Any]:
    content = yaml.safe_load(STUDY)
    content["defaults"]["training"] |= training
    content["defaults"]["sampling"] |= {"images": 38, "batch_size": 4}
    content["evaluation"] |= {"group_size": 18, "likelihood_images": 5}
    content["defaults"]["sampling"]["samplers"] = {"ancestral": {"steps": [5]}, "ode-adaptive": {"tolerance": [0.1]}}
    if processes is not None:
        content["hardware"]["processes"] = processes
    return content


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Context:
    """The study by one process."""
    context = open_study(tmp_path_factory.mktemp("one"), study())
    do(context, "prepare")
    do(context, "reference")
    for stage in ("train", "sample", "nll", "evaluate"):
        do(context, stage, "baseline")
    return context


def of(context: Context, stage: str, processes: int) -> Job:
    """The job of one process, shared by some: results that it needs count as they are."""
    job = context.plan.find(stage, "baseline", 0)
    hardware = job.run.hardware.model_copy(update={"processes": processes})
    return replace(job, of_run=job.run.model_copy(update={"hardware": hardware}))


def test_shares_of_images_join_to_the_bytes_of_one_process(built: Context):
    paths = [built.root / RUN / "samples" / f"{name}.npz" for name in ("ancestral-5", "ode-adaptive-tol0.1")]
    right = [path.read_bytes() for path in paths]
    evaluations = read_json(built.root / RUN / "timing/sample.json")["settings"]["ode-adaptive-tol0.1"]["nfe"]
    for path in (*paths, built.root / RUN / "timing/sample.json"):
        path.unlink()
    job = of(built, "sample", 3)  # 3, 3 and 4 of ten batches
    measured = divided.sample(job, built, work.in_one_process)["settings"]
    assert [path.read_bytes() for path in paths] == right
    assert job.key == built.plan.find("sample", "baseline", 0).key
    assert {setting["images"] for setting in measured.values()} == {38}
    assert measured["ode-adaptive-tol0.1"]["nfe"] == pytest.approx(evaluations, abs=1)


def same_again(paths: list[Path], work_again: Callable[[], object]) -> bool:
    """Whether files that are gone are made with the bytes that they had."""
    right = [path.read_bytes() for path in paths]
    for path in paths:
        path.unlink()
    work_again()
    return [path.read_bytes() for path in paths] == right


def test_shares_of_the_likelihood_join_to_the_bytes_of_one_process(built: Context):
    paths = [built.root / RUN / "likelihood" / name for name in ("nll.json", "terms.csv")]
    assert same_again(paths, lambda: divided.bound(of(built, "nll", 2), built, work.in_one_process))


def test_scores_from_shared_features_have_the_bytes_of_one_process(built: Context):
    paths = sorted((built.root / RUN / "metrics").iterdir())
    # Features are made of 32 images at once: of the 36 in groups by each, of the two beyond by the second alone.
    assert same_again(paths, lambda: divided.evaluate(of(built, "evaluate", 2), built, work.in_one_process))


def test_only_where_several_processes_train_their_number_counts(tmp_path: Path):
    plans = {number: open_study(tmp_path, study(number)).plan.jobs for number in (None, 1, 2, 4)}
    keys = {number: {name: job.key for name, job in jobs.items()} for number, jobs in plans.items()}
    assert keys[None] == keys[1]
    assert len({keys[number]["train/baseline/seed0"] for number in (1, 2, 4)}) == 3
    assert keys[1]["reference"] == keys[2]["reference"]
    assert plans[2]["train/baseline/seed0"].code != plans[1]["train/baseline/seed0"].code
    assert plans[2]["sample/baseline/seed0"].code == plans[1]["sample/baseline/seed0"].code


class Shared:
    """A training of many steps by the command line, whose processes can be sent signals once it has saved something."""

    def __init__(self, context: Context) -> None:
        self.context, self.state = context, context.root / "state/tiny/baseline/seed0/train"

    def start(self, processes: int) -> subprocess.Popen[str]:
        content = study(processes, steps=10**6, log_every=1000, checkpoint_every_s=0.05)
        (self.context.root / "params.yaml").write_text(yaml.safe_dump(content))
        before = self.saved()
        command = [sys.executable, "-m", "rediffuse", "train", "baseline"]
        started = subprocess.Popen(command, cwd=self.context.root, stderr=subprocess.PIPE, text=True)
        while self.saved() == before and started.poll() is None:
            time.sleep(0.02)
        return started

    def saved(self) -> int:
        return max((path.stat().st_mtime_ns for path in self.state.glob("checkpoint.*.pt")), default=0)

    def step(self) -> int:
        [path] = self.state.glob("checkpoint.*.pt")
        return torch.load(path, weights_only=True)["state"]["step"]


@pytest.fixture
def shared(tmp_path: Path) -> Shared:
    context = open_study(tmp_path, study(2))
    do(context, "prepare")
    return Shared(context)


def ranks(started: subprocess.Popen[str]) -> list[psutil.Process]:
    """The processes that share the work."""
    [server] = [child for child in psutil.Process(started.pid).children() if "forkserver" in " ".join(child.cmdline())]
    return server.children()


def test_one_death_ends_all_in_one_line_and_other_numbers_of_processes_go_on(shared: Shared):
    started = shared.start(2)
    victims = ranks(started)
    assert len(victims) == 2
    victims[1].kill()
    said = started.communicate(timeout=120)[1]
    assert (started.returncode, len(said.splitlines())) == (2, 1), said
    assert "process 1 of 2" in said
    assert "SIGKILL" in said
    assert not any(victim.is_running() for victim in victims)

    reached = shared.step()
    started = shared.start(4)
    assert len(ranks(started)) == 4
    assert shared.step() > reached
    started.send_signal(signal.SIGTERM)
    said = started.communicate(timeout=120)[1]
    assert started.returncode == 130, said
    assert [line for line in said.splitlines() if not line.startswith("training:")] == [
        "train/baseline/seed0 was asked to stop (SIGTERM)",
        "rediffuse: stopped; the same command goes on where it was",
    ]


@pytest.mark.parametrize("number", [signal.SIGUSR1, signal.SIGTERM])
def test_a_signal_to_every_process_of_a_job_as_a_cluster_sends_it_lets_them_save_first(tmp_path: Path, number: int):
    context = open_study(
        tmp_path, study(2, steps=10**6, log_every=1000, checkpoint_every=10**6, checkpoint_every_s=3600)
    )
    do(context, "prepare")
    command = [sys.executable, "-m", "rediffuse", "train", "baseline"]
    started = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True, start_new_session=True)
    state = tmp_path / "state/tiny/baseline/seed0/train"
    while started.poll() is None and not ((state / "lock").exists() and (state / "lock").read_text()):
        time.sleep(0.02)
    time.sleep(0.5)
    os.killpg(started.pid, number)
    said = started.communicate(timeout=120)[1]
    assert started.returncode == 130, said
    assert list(state.glob("checkpoint.*.pt")), said


def test_processes_end_with_the_one_that_started_them(shared: Shared):
    started = shared.start(2)
    orphans = ranks(started)
    started.kill()
    started.communicate(timeout=60)
    assert len(orphans) == 2
    assert psutil.wait_procs(orphans, timeout=60)[1] == []


def test_what_another_number_of_processes_finished_is_another_result(tmp_path: Path):
    context = open_study(tmp_path, study())
    do(context, "prepare")
    do(context, "train", "baseline")
    one = (tmp_path / RUN / "weights.safetensors").read_bytes()
    do(open_study(tmp_path, study(2)), "train", "baseline")
    timing = read_json(tmp_path / RUN / "timing/train.json")
    assert (timing["resumed_from"], timing["processes"]) == (None, 2)
    settings = yaml.safe_load((tmp_path / RUN / "run.yaml").read_text())
    assert settings["hardware"]["processes"] == 2
    # And back: one process does not take what two have finished.
    do(open_study(tmp_path, study()), "train", "baseline")
    assert read_json(tmp_path / RUN / "timing/train.json")["resumed_from"] is None
    assert (tmp_path / RUN / "weights.safetensors").read_bytes() == one


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"hardware": {"processes": 0}}, "hardware.processes: 0 is not allowed"),
        ({"hardware": {"processes": 3}}, "hardware.processes: 3 cannot share the 8 images"),
        ({"hardware": {"processes": 16}}, "hardware.processes: 16 cannot share the 8 images"),
        (
            {"runs": {"vae": {"model": "vae", "training": {"batch_size": 8}}}},
            "hardware.processes: 2 cannot share the training of vae",
        ),
    ],
)
def test_what_cannot_be_shared_is_refused(tmp_path: Path, change: dict[str, Any], words: str):
    content = study(2)
    for section, values in change.items():
        content[section] |= values
    path = tmp_path / "params.yaml"
    path.write_text(yaml.safe_dump(content))
    with pytest.raises(UserError, match=words):
        load_study(path)


def test_more_processes_than_gpus_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    content = study(2)
    content["hardware"]["device"] = "cuda"
    context = open_study(tmp_path, content)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    job = context.plan.find("train", "baseline", 0)
    with pytest.raises(UserError, match=r"hardware.processes: 2 take a GPU each, and this machine has 1; use 1"):
        divided.train(job, context, work.in_one_process)
