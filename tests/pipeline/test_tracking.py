"""MLflow looks on: it stops no work, keeps nobody waiting, and stays in the project."""

import contextlib
import os
import socket
import threading
import time
from pathlib import Path

import pytest
from sqlalchemy.exc import SQLAlchemyError

from rediffuse.pipeline.context import Context
from rediffuse.pipeline.lock import lock
from rediffuse.pipeline.work import lock_file
from rediffuse.tracking import late, live
from rediffuse.tracking.late import close_killed, log_or_leave, waiting
from rediffuse.tracking.live import watching
from rediffuse.tracking.store import open_store
from rediffuse.tracking.tracker import Tracker, alone
from tests.pipeline.conftest import ROOT, Clone


def test_a_server_that_accepts_and_never_answers_is_given_up_within_seconds(tmp_path: Path):
    with socket.create_server(("127.0.0.1", 0)) as server:
        began = time.monotonic()
        with pytest.raises(OSError, match="timed out"):
            open_store(f"http://127.0.0.1:{server.getsockname()[1]}", tmp_path)
        assert time.monotonic() - began < 20


def test_a_server_that_never_ends_its_answer_is_given_up_within_seconds(tmp_path: Path):
    with socket.create_server(("127.0.0.1", 0)) as server:
        drips = threading.Thread(target=_drip, args=(server,), daemon=True)
        drips.start()
        began = time.monotonic()
        with pytest.raises(OSError, match="no whole answer within 10 seconds"):
            open_store(f"http://127.0.0.1:{server.getsockname()[1]}", tmp_path)
        assert time.monotonic() - began < 20


def _drip(server: socket.socket) -> None:
    client, _ = server.accept()
    client.sendall(b"HTTP/1.1 200 OK\r\n")
    with contextlib.suppress(OSError):
        while True:
            client.sendall(b"X: y\r\n")
            time.sleep(1)


@pytest.mark.parametrize(
    ("uri", "why"),
    [
        ("HTTP://127.0.0.1:9", "refused"),
        ("postgresql://127.0.0.1:9/x", "psycopg2|refused"),
        ("mysql://127.0.0.1:9/x", "MySQLdb|refused"),
        ("sqlite:///{folder}", "it is a folder"),
        ("sqlite:///{folder}/file/x.db", "is a file"),
        ("sqlite://", "lies in memory, and is lost"),
    ],
)
def test_a_store_that_cannot_be_is_given_up_at_once(tmp_path: Path, uri: str, why: str):
    (tmp_path / "file").touch()
    began = time.monotonic()
    with pytest.raises((OSError, ImportError, SQLAlchemyError), match=why):
        open_store(uri.format(folder=tmp_path), tmp_path)
    assert time.monotonic() - began < 10


def test_a_job_is_done_without_its_server_and_says_so_in_one_line(built: Clone, tmp_path: Path):
    clone = built.copy(tmp_path / "project")
    output = clone.run("MLFLOW_TRACKING_URI=http://127.0.0.1:9 rediffuse nll vae --force")
    [line] = [line for line in output.splitlines() if "tracking" in line]
    assert "http://127.0.0.1:9 cannot be used" in line
    assert "`rediffuse track` logs it later" in line


def test_a_damaged_store_stops_no_job_and_what_to_do_is_said(built: Clone, tmp_path: Path):
    clone = built.copy(tmp_path / "project")
    (clone.folder / "mlflow.db").write_bytes(b"no database")
    output = clone.run("rediffuse nll vae --force")
    [line] = [line for line in output.splitlines() if "tracking" in line]
    assert "move that file away: then `rediffuse track`" in line


def test_a_damaged_result_is_not_logged_and_its_job_is_named(built: Clone, tmp_path: Path):
    clone = built.copy(tmp_path / "project")
    (clone.folder / "runs" / "smoke" / "baseline" / "seed0" / "history.csv").write_bytes(b"\xff")
    output = clone.run("rediffuse track", code=2)
    assert "Traceback" not in output
    assert "rediffuse: tracking: the files of train/baseline/seed0 cannot be read" in output


def test_a_copied_project_logs_into_itself(built: Clone, tmp_path: Path):
    from mlflow import MlflowClient

    clone = built.copy(tmp_path / "project")
    before = built.digests("mlartifacts/**/*")
    (clone.folder / "mlartifacts").rename(tmp_path / "aside")
    assert "artefacts of smoke were those of another folder" in clone.run("rediffuse nll vae --force")

    client = MlflowClient(f"sqlite:///{clone.folder / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("smoke")
    own = (clone.folder / "mlartifacts" / "smoke").as_uri()
    assert experiment.artifact_location == own
    runs = client.search_runs([experiment.experiment_id])
    assert {run.info.artifact_uri for run in runs} == {f"{own}/{run.info.run_id}/artifacts" for run in runs}
    assert len(list(clone.folder.glob("mlartifacts/smoke/*/artifacts/likelihood/nll.json"))) == 1
    assert built.digests("mlartifacts/**/*") == before


@pytest.fixture
def smoke(tmp_path: Path) -> Context:
    """The smoke study in an empty folder."""
    return Context.open(ROOT / "studies" / "smoke.yaml", tmp_path)


def test_a_training_never_waits_for_a_store_that_hangs(
    smoke: Context, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
):
    for name in ("STARTS_AFTER_SECONDS", "FLUSH_SECONDS"):
        monkeypatch.setattr(live, name, 0.0)
    monkeypatch.setattr(live, "PATIENCE", 0.2)
    monkeypatch.setattr(live, "open_tracker", lambda context: time.sleep(600))
    began = time.monotonic()
    with watching(smoke, smoke.plan.find("train", "baseline", 0)) as watch:
        for step in range(100):
            watch.log({"step": step, "loss": 0.0})
    assert time.monotonic() - began < 5
    [line] = capsys.readouterr().err.splitlines()
    assert "`rediffuse track` logs the rest later" in line


def test_a_job_ends_though_its_store_never_ends_an_answer(
    smoke: Context, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
):
    monkeypatch.setattr("rediffuse.tracking.tracker.PATIENCE", 0.2)
    monkeypatch.setattr("rediffuse.tracking.tracker.Tracker", lambda context, uri: time.sleep(600))
    began = time.monotonic()
    log_or_leave(smoke, smoke.plan.find("train", "baseline", 0), later=False)
    assert time.monotonic() - began < 5
    [line] = capsys.readouterr().err.splitlines()
    assert "`rediffuse track` logs it later" in line


@pytest.mark.parametrize("answer", [TypeError("'int' object is not subscriptable"), TimeoutError("too slow")])
def test_whatever_a_server_answers_the_job_is_done_and_waits_to_be_logged(
    smoke: Context, answer: Exception, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
):
    def confused(*_: object) -> None:
        raise answer

    monkeypatch.setattr("rediffuse.tracking.tracker.connect", lambda context, uri: object())
    monkeypatch.setattr(late, "_log", confused)
    log_or_leave(smoke, smoke.plan.find("train", "baseline", 0), later=False)
    [line] = capsys.readouterr().err.splitlines()
    assert str(answer) in line
    assert waiting(smoke)


def test_two_jobs_of_a_training_log_in_turn(smoke: Context):
    order = []
    evaluation, probe = (smoke.plan.find(stage, "baseline", 0) for stage in ("evaluate", "probe"))

    def log_probe() -> None:
        with alone(smoke, probe):
            order.append("probe")

    with alone(smoke, evaluation):
        other = threading.Thread(target=log_probe)
        other.start()
        other.join(0.2)
        order.append("evaluation")
    other.join(10)
    assert order == ["evaluation", "probe"]


def test_a_training_that_nobody_does_any_more_is_closed_and_runs_again_when_it_is_taken_up(tmp_path: Path):
    context = Context.open(ROOT / "studies" / "smoke.yaml", tmp_path)
    tracker = Tracker(context, f"sqlite:///{tmp_path / 'mlflow.db'}")
    killed, at_work, elsewhere = (context.plan.find("train", name, 0) for name in ("baseline", "improved", "vae"))
    runs = {job.name: tracker.start(job, job.key, job.name, {}) for job in (killed, at_work, elsewhere)}
    os.close(lock(lock_file(context, killed.name), killed.name))
    held = lock(lock_file(context, at_work.name), at_work.name)

    close_killed(context, tracker)

    assert set(tracker.running().values()) == {at_work.name, elsewhere.name}
    assert tracker.start(killed, killed.key, killed.name, {}) == runs[killed.name]
    assert killed.name in tracker.running().values()
    os.close(held)
