"""The lines of docs/team.md, on a real PostgreSQL, S3 server and MLflow server on loopback."""

import importlib.util
import os
import pwd
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.pipeline.conftest import ROOT, SERVICES, Clone, free_port
from tests.pipeline.test_dvc import page

PAGE = (ROOT / "docs/team.md").read_text()
LINES = re.findall(r"^    (\S.*)$", PAGE, re.M)
BUCKET = "our-bucket"
PACKAGES = ("boto3", "dvc_s3", "moto", "psycopg2")
POSTGRES = shutil.which("pg_ctl") or next(
    iter(sorted(map(str, Path("/usr/lib/postgresql").glob("*/bin/pg_ctl")))), None
)

absent = [name for name in PACKAGES if importlib.util.find_spec(name) is None]
pytestmark = [SERVICES, pytest.mark.skipif(bool(absent), reason=f"not installed: {', '.join(absent)}")]


@pytest.fixture(scope="module")
def s3() -> Iterator[dict[str, str]]:
    """The environment that reaches an S3 server with one empty bucket."""
    import boto3
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer("127.0.0.1", 0)
    server.start()
    host, port = server.get_host_and_port()
    names = {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, value in names.items():
            patch.setenv(name, value)
        boto3.client("s3").create_bucket(Bucket=BUCKET)
        yield names
    server.stop()


@pytest.fixture(scope="module")
def postgresql() -> Iterator[str]:
    """The address of a database without tables."""
    if POSTGRES is None:
        pytest.skip("no PostgreSQL: install postgresql")
    # It refuses root.
    users = [user.pw_name for user in pwd.getpwall() if user.pw_name in ("postgres", "nobody")]
    user = {"user": max(users)} if os.getuid() == 0 else {}
    folder, port = Path(tempfile.mkdtemp(dir="/tmp")), free_port()
    if user:
        shutil.chown(folder, **user)
    options = f"-c listen_addresses=127.0.0.1 -c port={port} -c fsync=off -c unix_socket_directories={folder}"

    def control(*words: str) -> None:
        command = [POSTGRES, "-D", str(folder / "db"), *words]
        subprocess.run(command, check=True, cwd=folder, stdout=subprocess.DEVNULL, **user)

    try:
        control("-s", "-o", "-U mlflow -A trust -E UTF8 --no-sync", "init")
        control("-s", "-w", "-o", options, "-l", str(folder / "log"), "start")
    except subprocess.CalledProcessError as error:
        pytest.skip(f"PostgreSQL does not start here: {error}")
    yield f"postgresql://mlflow@127.0.0.1:{port}/postgres"
    control("-s", "-m", "immediate", "stop")
    shutil.rmtree(folder)


def keys(folder: str) -> list[str]:
    """What lies in a folder of the bucket."""
    import boto3

    return [
        found["Key"] for found in boto3.client("s3").list_objects_v2(Bucket=BUCKET, Prefix=folder).get("Contents", [])
    ]


def line(start: str) -> str:
    """The one line of the page that begins so."""
    [found] = [line for line in LINES if line.startswith(start)]
    return found


def test_a_fresh_clone_pulls_what_another_pushed_to_s3_and_is_up_to_date(
    repeated: Clone, s3: dict[str, str], tmp_path: Path
):
    clone = repeated.copy(tmp_path / "project")
    clone.environment |= s3
    clone.run(f"{line('dvc remote add')} && git commit -qam 'the remote' && {line('dvc push')} -q")
    assert keys("dvc/")
    fresh = Clone(tmp_path / "fresh")
    fresh.environment |= s3
    subprocess.run(["git", "clone", "-q", clone.folder, fresh.folder], check=True)
    fresh.run(f"{line('dvc pull')} -q")
    assert "up to date" in fresh.run("dvc status")
    weights = "runs/smoke/*/seed0/weights.safetensors"
    assert fresh.digests(weights) == clone.digests(weights) != {}


def test_mlflow_keeps_runs_in_postgresql_and_artefacts_in_s3(
    built: Clone, s3: dict[str, str], postgresql: str, tmp_path: Path
):
    import sqlalchemy
    from mlflow import MlflowClient

    clone, host = built.copy(tmp_path / "project"), f"127.0.0.1:{free_port()}"
    places = {"postgresql://mlflow@db.example.org/mlflow": postgresql, "mlflow.example.org:5000": host}
    places |= {"--port 5000": f"--port {host.split(':')[1]}", "--host 0.0.0.0": "--host 127.0.0.1"}

    def here(start: str) -> str:
        said = line(start)
        for there, own in places.items():
            said = said.replace(there, own)
        return said

    clone.environment |= {**s3, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
    # Into a file: a pipe that nobody reads would fill up, and the server wait.
    server = clone.start(f"exec {here('mlflow server')} --workers 1 > server.log 2>&1")
    try:
        page(f"http://{host}/health", server)
        for name in s3:  # clients have no key of the bucket
            clone.environment.pop(name)
        clone.run(f"{here('export MLFLOW')} && {line('rediffuse track')}")
        client = MlflowClient(f"http://{host}")
        experiment = client.get_experiment_by_name("smoke")
        assert experiment is not None
        runs = client.search_runs([experiment.experiment_id])
        [training] = [run for run in runs if run.info.run_name == "baseline-seed0"]
        with sqlalchemy.create_engine(postgresql).connect() as database:
            [(count,)] = database.execute(sqlalchemy.text("SELECT count(*) FROM runs"))
        assert count == len(runs) > 3
        folder = f"mlflow/{experiment.experiment_id}/{training.info.run_id}/artifacts/"
        assert {f"{folder}run.yaml", f"{folder}history.csv"} <= set(keys(folder))
        file = client.download_artifacts(training.info.run_id, "history.csv", str(tmp_path))
        assert Path(file).read_bytes() == (clone.folder / "runs/smoke/baseline/seed0/history.csv").read_bytes()
    finally:
        server.terminate()
        server.communicate(timeout=60)
