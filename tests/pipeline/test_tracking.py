"""MLflow looks on: it stops no work, keeps nobody waiting, and stays in the project."""

import socket
import time
from pathlib import Path

import pytest

from rediffuse.tracking.store import open_store
from tests.pipeline.conftest import Clone


def test_a_server_that_accepts_and_never_answers_is_given_up_within_seconds(tmp_path: Path):
    with socket.create_server(("127.0.0.1", 0)) as server:
        began = time.monotonic()
        with pytest.raises(OSError, match="timed out"):
            open_store(f"http://127.0.0.1:{server.getsockname()[1]}", tmp_path)
        assert time.monotonic() - began < 20


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
    assert "remove that file: then `rediffuse track`" in line


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
