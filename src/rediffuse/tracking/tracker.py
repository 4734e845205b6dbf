"""One MLflow experiment, to which jobs are logged by their keys: what is there already is never logged again."""

import contextlib
import math
import os
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from rediffuse.errors import UserError, one_line
from rediffuse.pipeline.context import Context
from rediffuse.pipeline.lock import lock
from rediffuse.pipeline.plan import Job
from rediffuse.pipeline.work import lock_file
from rediffuse.tracking.store import first_line, is_remote, move_in, open_store, within

KEY = "rediffuse.key"
#: Seconds that a store may take to be opened, which its first user fills with tables.
PATIENCE = 120.0
BATCH = 1000  # MLflow's own limit of metrics in one request


def tracking_uri(context: Context) -> str | None:
    """Where the study is tracked, None when tracking is off."""
    tracking = context.loaded.study.tracking
    return os.environ.get("MLFLOW_TRACKING_URI") or tracking.uri if tracking.enabled else None


class Tracker:
    """One experiment (a study) in one store."""

    def __init__(self, context: Context, uri: str) -> None:
        self.context, self.study = context, context.loaded.study
        self.client = open_store(uri, context.root)
        self.experiment = self._experiment()

    def _experiment(self) -> str:
        from mlflow.exceptions import MlflowException

        name = self.study.study
        # A store of our own keeps artefacts beside it; a server decides for itself.
        local = not is_remote(self.client.tracking_uri)
        place = (self.context.root / "mlartifacts" / name).resolve().as_uri() if local else None
        if (found := self.client.get_experiment_by_name(name)) is not None and place is not None:
            move_in(self.client.tracking_uri, self.context.root, found, place)
        if found is None:
            try:
                self.client.create_experiment(name, artifact_location=place, tags={"rediffuse.title": self.study.title})
            except MlflowException:
                pass  # a run starting at the same moment made it
            found = self.client.get_experiment_by_name(name)
        assert found is not None
        return found.experiment_id

    def start(self, job: Job, key: str, name: str, tags: Mapping[str, str], parent: str | None = None) -> str:
        """The MLflow run of `job` as made under `key`; made when it is not there yet,
        running again if it was stopped.
        """
        wanted = f"tags.`{KEY}` = '{key}' and tags.`rediffuse.job` = '{job.name}'"
        if runs := self.client.search_runs([self.experiment], wanted):
            run = runs[0].info
            if run.status in ("FAILED", "KILLED"):
                self.client.update_run(run.run_id, status="RUNNING")
            return run.run_id
        every = {KEY: key, "rediffuse.job": job.name, "rediffuse.stage": job.stage, **tags}
        if parent is not None:
            every["mlflow.parentRunId"] = parent
        return self.client.create_run(self.experiment, run_name=name, tags=every).info.run_id

    def running(self) -> dict[str, str]:
        """The job of each run that MLflow takes for running, by the run's id."""
        runs = self.client.search_runs([self.experiment], "attributes.status = 'RUNNING'")
        return {run.info.run_id: run.data.tags.get("rediffuse.job", "") for run in runs}

    def params(self, run_id: str, values: Mapping[str, Any]) -> None:
        """Log parameters that are not there yet."""
        from mlflow.entities import Param

        there = self.client.get_run(run_id).data.params
        new = [Param(key, str(value)) for key, value in values.items() if key not in there]
        for start in range(0, len(new), 100):
            self.client.log_batch(run_id, params=new[start : start + 100])

    def rows(self, run_id: str, rows: list[dict[str, Any]]) -> None:
        """Log rows of metrics by their `step`, left out where that step's last logged value is the same.

        A value of what has been made anew since is logged beside the old one, which it follows: the last one counts.
        """
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        known: dict[str, dict[int, float]] = {}
        metrics = []
        for row in rows:
            for key, value in row.items():
                if key == "step" or value is None or not math.isfinite(value):
                    continue
                if key not in known:
                    history = sorted(self.client.get_metric_history(run_id, key), key=lambda m: m.timestamp)
                    known[key] = {m.step: m.value for m in history}
                if known[key].get(int(row["step"])) != float(value):
                    metrics.append(Metric(key, float(value), now, int(row["step"])))
        for start in range(0, len(metrics), BATCH):
            self.client.log_batch(run_id, metrics=metrics[start : start + BATCH])

    def artefacts(self, run_id: str, paths: Mapping[Path, str], *, again: bool = False) -> None:
        """Log files (path -> folder) that are not there yet; with `again` all, as befits those that other jobs than the
        run's own make anew.
        """
        for folder in sorted(set(paths.values())):
            there = set() if again else {item.path for item in self.client.list_artifacts(run_id, folder or None)}
            for path in sorted(p for p, place in paths.items() if place == folder):
                if path.exists() and "/".join(filter(None, (folder, path.name))) not in there:
                    self.client.log_artifact(run_id, str(path), folder or None)

    def finish(self, run_id: str, status: str = "FINISHED") -> None:
        """Mark a run as finished, or as failed."""
        if self.client.get_run(run_id).info.status != status:
            self.client.set_terminated(run_id, status)


def connect(context: Context, uri: str) -> Tracker:
    """The study's tracker at `uri`. Raises UserError where its store cannot be used."""
    try:
        return within(PATIENCE, lambda: Tracker(context, uri))
    except Exception as error:
        if isinstance(error, ImportError) and error.name == "mlflow":
            raise UserError("tracking: mlflow is not installed, so nothing is logged") from None
        where, why = one_line(uri, 80), first_line(error)
        first = "move that file away: then " if "not a database" in why or "malformed" in why else ""
        raise UserError(f"tracking: {where} cannot be used ({why}); {first}`rediffuse track` logs it later") from None


@contextlib.contextmanager
def open_tracker(context: Context) -> Iterator[Tracker | None]:
    """The study's tracker; None when tracking is off or its store fails, which never stops the work itself."""
    uri = tracking_uri(context)
    tracker = None
    if uri is not None:
        try:
            tracker = connect(context, uri)
        except UserError as error:
            print(error, file=sys.stderr)
    try:
        yield tracker
    except TrackingFailed as error:
        print(f"tracking: {error}; `rediffuse track` logs the rest later", file=sys.stderr)


@contextlib.contextmanager
def alone(context: Context, job: Job) -> Iterator[None]:
    """Keep other processes of this project from the MLflow runs that a job logs to: two at once would both find that
    something is not there yet, and log it twice.
    """
    whose = job.name if job.of_run is None else f"{job.run.name}-seed{job.seed}"
    held = lock(lock_file(context, f"tracking-{whose}"), f"logging of {whose}", wait=True)
    try:
        yield
    finally:
        os.close(held)


class TrackingFailed(Exception):
    """The store failed; carries the first line of its message."""


@contextlib.contextmanager
def store_errors() -> Iterator[None]:
    """What a store raises becomes `TrackingFailed`."""
    from mlflow.exceptions import MlflowException

    try:
        yield
    except (MlflowException, OSError) as error:
        raise TrackingFailed(first_line(error)) from None
