"""Real clones of the project in temporary folders, with the smoke study active, driven by the real tools."""

import fcntl
import hashlib
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

ROOT = Path(__file__).resolve().parents[2]
#: Tests that start a SLURM, a PostgreSQL or an S3 server of their own take minutes, and are asked for by name.
SERVICES = pytest.mark.skipif(
    os.environ.get("REDIFFUSE_SERVICES") != "1", reason="starts services of its own: REDIFFUSE_SERVICES=1 runs it"
)
BIN = Path(sys.executable).parent

ONE_RUN = ("role: improved\n", "role: improved\n    training: {learning_rate: 5e-4}\n")


class Clone:
    """A git clone of the project as it stands in the working tree. `patience`: seconds that a command may take."""

    patience = 1500.0

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environment = {
            **{key: value for key, value in os.environ.items() if not key.startswith(("MLFLOW", "PYTEST", "COV"))},
            "PATH": f"{BIN}:{os.environ['PATH']}",
            "PYTHONPATH": str(folder / "src"),
            "DVC_NO_ANALYTICS": "true",
            "GIT_AUTHOR_NAME": "test",
            "GIT_AUTHOR_EMAIL": "test@example.org",
            "GIT_COMMITTER_NAME": "test",
            "GIT_COMMITTER_EMAIL": "test@example.org",
        }

    def start(self, command: str) -> subprocess.Popen[str]:
        """Start a shell command in a process group of its own."""
        return subprocess.Popen(
            command,
            shell=True,
            cwd=self.folder,
            env=self.environment,
            text=True,
            start_new_session=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )

    def run(self, command: str, code: int = 0) -> str:
        """Run a shell command and return what it printed; it must exit with `code`."""
        process = self.start(command)
        output, _ = process.communicate(timeout=self.patience)
        assert process.returncode == code, f"{command} exited with {process.returncode}:\n{output[-6000:]}"
        return output

    def kill_when_written(self, command: str, pattern: str) -> bool:
        """Delete what matches, start a command, and `kill -9` it and all it started once it has written such a file.

        False if it ended before.
        """
        for path in self.folder.glob(pattern):
            path.unlink()
        process = self.start(command)
        while not any(self.folder.glob(pattern)):
            if process.poll() is not None:
                return False
            time.sleep(0.005)
        family = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
        for member in family:
            member.suspend()
        family = [family[0], *family[0].children(recursive=True)]  # what was started in between
        for member in family:
            member.kill()
        process.communicate()
        psutil.wait_procs(family, timeout=30)
        return process.returncode == -9

    def edit(self, file: str, old: str, new: str) -> None:
        """Replace one passage of a file."""
        path = self.folder / file
        text = path.read_text()
        assert text.count(old) >= 1, f"{file} does not hold {old!r}"
        path.write_text(text.replace(old, new, 1))

    def digests(self, *patterns: str) -> dict[str, str]:
        """SHA-256 of all files that match, by their path in the clone."""
        paths = sorted({path for pattern in patterns for path in self.folder.glob(pattern) if path.is_file()})
        return {str(p.relative_to(self.folder)): hashlib.sha256(p.read_bytes()).hexdigest() for p in paths}

    def results(self) -> dict[str, str]:
        """Digests of everything two clones must agree on: data, weights, histories, samples, metrics and receipts."""
        receipts = [str(path.relative_to(self.folder)) for path in self.made()]
        return self.digests(
            "data/*/*.npy",
            "data/*/*.npz",
            "runs/**/*.safetensors",
            "runs/**/history.csv",
            "runs/**/previews/*",
            "runs/**/during-training/*",
            "runs/**/samples/*",
            "runs/**/metrics/*",
            "runs/**/examination/*",
            "runs/*/real/*.json",
            "reports/*/metrics.json",
            *receipts,
        )

    def made(self) -> list[Path]:
        """The receipts that lie there: one for each job that was ever made."""
        found = [path for top in ("data", "runs", "reports") for path in self.folder.glob(f"{top}/**/receipts/*.json")]
        return [path for path in found if json.loads(path.read_text())["key"]]

    def worked(self) -> dict[str, int]:
        """When each job last worked, by the date of its log: files tell nothing, DVC puts in anew what it commits."""
        logs = self.folder / "state/smoke/logs"
        return {str(path.relative_to(logs).with_suffix("")): path.stat().st_mtime_ns for path in logs.rglob("*.log")}

    def copy(self, folder: Path) -> "Clone":
        """The clone with all it has made, elsewhere; hard links would let one clone write into another."""
        shutil.copytree(self.folder, folder, symlinks=True)
        return Clone(folder)


def new_clone(folder: Path) -> Clone:
    """The files git tracks or would track, committed in a repository of their own, smoke being the active study."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    for name in filter(None, listed.stdout.decode().split("\0")):
        if name.startswith(("tests/", "benchmarks/", "reports/")) or not (ROOT / name).is_file():
            continue
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, folder / name)
    (folder / "dvc.lock").unlink(missing_ok=True)
    clone = Clone(folder)
    clone.run("git init -q && rediffuse use smoke && git add -A && git commit -qm 'the project'")
    return clone


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Clone:
    """A clone whose smoke study was built by Snakemake alone. Tests that change anything take a copy.

    Of several test processes the first builds; each takes a copy of its own.
    """
    base = tmp_path_factory.getbasetemp()
    shared = (base if worker_id == "master" else base.parent) / "built"
    shared.mkdir(exist_ok=True)
    with (shared / "lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        if not (shared / "done").exists():
            shutil.rmtree(shared / "project", ignore_errors=True)  # what a build that failed has left
            new_clone(shared / "project").run("snakemake --cores 2 --quiet rules")
            (shared / "done").touch()
    return Clone(shared / "project").copy(tmp_path_factory.mktemp("copied") / "project")


@pytest.fixture(scope="session")
def repeated(built: Clone, tmp_path_factory: pytest.TempPathFactory) -> Clone:
    """A copy of the built clone on which `dvc repro` has run and been committed, results pushed to a remote."""
    folder = tmp_path_factory.mktemp("repeated")
    clone = built.copy(folder / "project")
    clone.run(f"dvc remote add -d local {folder / 'remote'} && dvc repro")
    clone.run("git add -A && git commit -qm 'the results' && dvc push -q")
    return clone


@pytest.fixture(scope="session")
def pulled(repeated: Clone, tmp_path_factory: pytest.TempPathFactory) -> Clone:
    """A git clone of the committed results after `dvc pull`. Tests that change anything take a copy."""
    fresh = Clone(tmp_path_factory.mktemp("pulled") / "project")
    subprocess.run(["git", "clone", "-q", repeated.folder, fresh.folder], check=True)
    fresh.run("dvc pull -q")
    return fresh


@pytest.fixture(scope="session")
def edited(pulled: Clone, tmp_path_factory: pytest.TempPathFactory) -> Clone:
    """The pulled clone rebuilt by `dvc repro` after one parameter of one run was changed."""
    clone = pulled.copy(tmp_path_factory.mktemp("edited") / "project")
    clone.edit("params.yaml", *ONE_RUN)
    clone.run("dvc repro")
    return clone


@pytest.fixture(scope="session")
def ablated(repeated: Clone, tmp_path_factory: pytest.TempPathFactory) -> Clone:
    """A copy of the repeated clone whose ablations were run at once, MLflow's store being fresh, and reported."""
    clone = repeated.copy(tmp_path_factory.mktemp("ablated") / "project")
    (clone.folder / "mlflow.db").unlink()
    clone.run("snakemake --cores 8 --quiet all -- ablations")
    clone.run("dvc repro")
    return clone


def free_port() -> int:
    """A port of loopback that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


def changed(before: dict[str, int], after: dict[str, int]) -> set[str]:
    """Jobs that worked between two looks."""
    return {name for name in after if before.get(name) != after[name]}


def jobs(run: str, *stages: str) -> set[str]:
    return {f"{stage}/{run}/seed0" for stage in stages}


def logged(clone: Clone) -> list[dict[str, Any]]:
    """Every run of the clone's MLflow store: name, id, tags, last metrics and number of points."""
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{clone.folder / 'mlflow.db'}")
    [experiment] = [e for e in client.search_experiments() if e.name == "smoke"]
    runs = []
    for run in client.search_runs([experiment.experiment_id]):
        points = {name: len(client.get_metric_history(run.info.run_id, name)) for name in run.data.metrics}
        content = {"metrics": run.data.metrics, "params": run.data.params, "points": points, "status": run.info.status}
        runs.append({"name": run.info.run_name, "id": run.info.run_id, **run.data.tags, **content})
    return sorted(runs, key=lambda run: run["name"])
