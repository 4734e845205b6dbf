"""`rediffuse make`: a whole study without Snakemake, DVC and MLflow, in one process or a few."""

import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from rediffuse.files import read_json
from rediffuse.pipeline.at_once import begun_next
from rediffuse.pipeline.context import Context
from tests.pipeline.conftest import Clone, new_clone
from tests.verification.conftest import STUDY

ROOT = Path(__file__).parents[2]
ABSENT = ("snakemake", "dvc", "mlflow")


@pytest.fixture
def alone(tmp_path: Path) -> Clone:
    """A clone with a study of seconds, tracking asked for, where none of the three tools can be imported."""
    clone = new_clone(tmp_path / "project")
    (clone.folder / "studies/tiny.yaml").write_text(STUDY.replace("tracking: {enabled: false}\n", ""))
    for name in ABSENT:
        (tmp_path / "absent" / name).mkdir(parents=True)
        (tmp_path / "absent" / name / "__init__.py").write_text(f"raise ModuleNotFoundError('no module named {name}')")
    clone.environment["PYTHONPATH"] = str(tmp_path / "absent")
    return clone


def test_a_study_is_made_in_pieces_and_what_was_stopped_goes_on(alone: Clone):
    stopped = alone.run("make gpu STUDY=tiny MINUTES=0.1", code=2)
    assert "rediffuse: time is up; the same command goes on where this one stopped" in stopped.splitlines()
    before = len(alone.made())

    assert "jobs done; all is up to date" in alone.run("make gpu STUDY=tiny")
    assert before < len(alone.made())
    assert (alone.folder / "reports/tiny/report.md").exists()
    assert "0 jobs done; all is up to date" in alone.run("make gpu STUDY=tiny").splitlines()


def test_two_jobs_at_a_time_make_the_same_bytes_though_all_was_killed_and_say_so_in_their_times(
    alone: Clone, tmp_path: Path
):
    made = ("runs/**/weights.safetensors", "runs/**/samples/*.npz", "runs/**/metrics/*.json", "runs/**/receipts/*.json")
    other = alone.copy(tmp_path / "other")
    other.run("rediffuse make --study studies/tiny.yaml")
    killed = alone.start("exec rediffuse make --study studies/tiny.yaml --at-once 2")
    wait_until(lambda: len(alone.made()) > 1)
    workers = psutil.Process(killed.pid).children(recursive=True)
    killed.kill()
    killed.communicate(timeout=60)
    # The others end by themselves, what they were at goes on where it was.
    assert psutil.wait_procs(workers, timeout=60)[1] == []

    assert "jobs done; all is up to date" in alone.run("rediffuse make --study studies/tiny.yaml --at-once 2")
    assert alone.digests(*made) == other.digests(*made) != {}
    for folder, at_once in ((alone.folder, 2), (other.folder, 1)):
        times = [read_json(path) for path in folder.glob("runs/**/timing/train.json")]
        assert {time["machine"]["at_once"] for time in times} == {at_once}


def test_what_measures_speed_on_a_gpu_runs_when_nothing_else_does():
    plan = Context.open(ROOT / "studies/cifar10-jpeg.yaml", ROOT).plan
    cost, reference, train = (plan.jobs[name] for name in ("cost", "reference", "train/baseline/seed0"))
    assert [job.name for job in plan.jobs.values() if job.declaration.alone] == ["cost"]

    assert begun_next([cost, reference, train], [], 3, {"cost"}) == [reference, train]
    assert begun_next([cost], ["reference"], 3, {"cost"}) == []
    assert begun_next([cost], [], 3, {"cost"}) == [cost]
    assert begun_next([reference, train], ["cost"], 3, {"cost"}) == []


def test_on_a_processor_it_goes_beside_others_one_core_each():
    plan = Context.open(ROOT / "studies/digits.yaml", ROOT).plan
    cost, reference = plan.jobs["cost"], plan.jobs["reference"]

    assert begun_next([cost, reference], [], 2, frozenset()) == [reference, cost]


def wait_until(ready: Callable[[], bool]) -> None:
    end = time.monotonic() + 240
    while not ready():
        assert time.monotonic() < end
        time.sleep(0.05)
