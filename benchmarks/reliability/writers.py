"""Lets eight processes write to one MLflow store at once, SQLite's and PostgreSQL's.

Each round begins with an empty store: eight `rediffuse track` of one built study; and six of its jobs that are done
anew and log when they end, beside two `track`. The store must then hold what one process alone writes: every run,
parameter, artefact and value of a metric once. PostgreSQL needs its programs on this machine and `psycopg2` in the
environment.

    python -m benchmarks.reliability.writers
"""

import contextlib
import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.reliability.project import Clone, Forked, built, parser, record, scratch

WRITERS = 8
#: Metrics that are times: each training has its own.
TIMES = ("train_seconds", "images_per_second", "seconds")


def contents(uri: str) -> list[Any]:
    """What a store holds of the study, without ids and times: every run by itself."""
    from mlflow import MlflowClient

    client = MlflowClient(uri)
    [experiment] = [one for one in client.search_experiments() if one.name == "tiny"]
    runs = client.search_runs([experiment.experiment_id])
    names = {run.info.run_id: run.info.run_name for run in runs}
    found = []
    for run in runs:
        history = [m for key in run.data.metrics for m in client.get_metric_history(run.info.run_id, key)]
        points = [(m.key, m.step, None if m.key in TIMES else m.value) for m in history]
        tags = {name: value for name, value in run.data.tags.items() if not name.startswith("mlflow.")}
        parent = names.get(run.data.tags.get("mlflow.parentRunId", ""), "")
        files = sorted(_files(client, run.info.run_id))
        state = (run.info.run_name, run.info.status, parent, sorted(tags.items()), sorted(run.data.params.items()))
        found.append((*state, sorted(points, key=str), files))
    return sorted(found)


def _files(client: Any, run_id: str, folder: str | None = None) -> Iterator[str]:
    for item in client.list_artifacts(run_id, folder):
        if item.is_dir:
            yield from _files(client, run_id, item.path)
        else:
            yield item.path


@contextlib.contextmanager
def postgresql() -> Iterator[str | None]:
    """A PostgreSQL server of its own; None where this machine has none. It refuses to be root's."""
    places = [os.environ["PATH"], *map(str, Path("/usr/lib/postgresql").glob("*/bin"))]
    initdb = shutil.which("initdb", path=os.pathsep.join(places))
    if initdb is None or importlib.util.find_spec("psycopg2") is None:
        yield None
        return
    who = {"user": "nobody"} if os.getuid() == 0 else {}
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with tempfile.TemporaryDirectory() as folder:
        if who:
            shutil.chown(folder, "nobody")
        words = [initdb, "-D", f"{folder}/data", "-U", "writer", "--auth=trust", "--no-sync"]
        subprocess.run(words, check=True, stdout=subprocess.DEVNULL, cwd=folder, **who)  # type: ignore[call-overload]
        server = subprocess.Popen(
            [str(Path(initdb).with_name("postgres")), "-D", f"{folder}/data", "-p", str(port), "-k", folder],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd=folder,
            **who,
        )
        try:
            for _ in range(100):
                with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
                    break
                time.sleep(0.1)
            yield f"postgresql://writer@127.0.0.1:{port}/"
        finally:
            server.send_signal(signal.SIGINT)  # not SIGTERM, which waits until every client has gone
            server.wait()


class Round:
    """An empty store, and processes that write to it."""

    def __init__(self, clone: Clone, server: str | None, number: int) -> None:
        # A new file each time: MLflow remembers, also in forks, which stores it has opened.
        self.clone, self.uri = clone, f"sqlite:///{clone.folder}/round{number}.db"
        shutil.rmtree(clone.folder / "mlartifacts", ignore_errors=True)
        if server is not None:
            import psycopg2

            with contextlib.closing(psycopg2.connect(f"{server}postgres")) as admin:
                admin.autocommit = True
                admin.cursor().execute(f"CREATE DATABASE round{number}")
            self.uri = f"{server}round{number}"

    def run(self, commands: list[list[str]]) -> list[str]:
        """Run all at once to their ends; what those said that did not end well, or could not log."""
        logs = self.clone.folder.parent / "logs"
        at_once = [Forked(words, self.clone.folder, logs / f"{k}.log", self._aim) for k, words in enumerate(commands)]
        codes = [forked.wait() for forked in at_once]
        return [
            f"{code}: {line}"
            for code, forked in zip(codes, at_once, strict=True)
            for line in forked.said
            if (code and line.startswith(("rediffuse: ", "Traceback"))) or line.startswith("tracking: ")
        ]

    def _aim(self) -> None:
        os.environ["MLFLOW_TRACKING_URI"] = self.uri


def compared(found: list[Any], right: list[Any]) -> dict[str, int]:
    """How a store differs from what one process alone writes."""
    names, wanted = Counter(run[0] for run in found), Counter(run[0] for run in right)
    points = sum(count - 1 for run in found for count in Counter(point[:2] for point in run[5]).values())
    return {
        "runs": len(found),
        "runs twice": sum((names - wanted).values()),
        "runs missing": sum((wanted - names).values()),
        "values": sum(len(run[5]) for run in found),
        "values twice": points,
        "runs unlike": sum(run not in right for run in found),
    }


def main(arguments: list[str] | None = None) -> None:
    parse = parser(__doc__, "writers")
    parse.add_argument("--rounds", type=int, default=5)
    options = parse.parse_args(arguments)
    began = time.monotonic()
    stores: dict[str, Any] = {}
    with scratch(options.folder) as folder, postgresql() as server:
        clone, jobs = built(folder / "project", options)
        kinds = {
            "rediffuse track": [["track"]] * WRITERS,
            # But the training and the report: one would take away what the others are made from, one waits for them.
            "jobs that end": [
                [*job.command.split()[1:], "--force"]
                for job in jobs
                if job.declaration.log and job.stage not in ("train", "report")
            ]
            + [["track"]] * 2,
        }
        alone = Round(clone, None, 0)
        assert alone.run([["track"]]) == []
        right = contents(alone.uri)
        number = 0
        for store, uri in (("SQLite", None), ("PostgreSQL", server)):
            if store == "PostgreSQL" and server is None:
                stores[store] = "skipped: no PostgreSQL, or no psycopg2, on this machine"
                continue
            for kind, commands in kinds.items():
                found: Counter[str] = Counter()
                failed: list[str] = []
                for _ in range(options.rounds):
                    number += 1
                    one = Round(clone, uri, number)
                    failed += one.run(commands)
                    if kind != "rediffuse track":
                        failed += one.run([["track"]])  # what the others could not log
                    found.update(compared(contents(one.uri), right))
                    print(store, kind, dict(found), failed, flush=True)
                stores[f"{store}, {kind}"] = {
                    "rounds": options.rounds,
                    "writers": len(commands),
                    **found,
                    "said": failed,
                }
                record("writers", options.results, began, {"stores": stores})


if __name__ == "__main__":
    main()
