"""What each kind of job logs: training while it works, and everything again from what lies on disk."""

import contextlib
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from rediffuse.config import ResolvedGenerator, ResolvedRun
from rediffuse.files import digest, read_json
from rediffuse.pipeline.plan import Job
from rediffuse.pipeline.receipts import commit
from rediffuse.tracking.tracker import Tracker, TrackingFailed, open_tracker, store_errors

if TYPE_CHECKING:
    from rediffuse.stages.context import Context

FLUSH_SECONDS = 5.0


class LiveTraining:
    """Logs a training while it runs, in batches, so that a step never waits for the store."""

    def __init__(
        self, tracker: Tracker | None, context: "Context", run: ResolvedRun | ResolvedGenerator, seed: int
    ) -> None:
        self.tracker, self.rows, self.flushed = tracker, [], time.monotonic()  # type: ignore[var-annotated]
        if tracker is not None:
            with self._guard():
                job = context.plan.find(run.train_stage, run.name, seed)
                self.run_id = _start_training(tracker, context, run, seed, job.key)

    def __enter__(self) -> "LiveTraining":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        self.flush()
        if error is not None and self.tracker is not None:
            with self._guard():
                self.tracker.finish(self.run_id, "FAILED")

    def log(self, row: dict[str, Any]) -> None:
        """Take a row of metrics; the store sees it within seconds."""
        self.rows.append(row)
        if time.monotonic() - self.flushed > FLUSH_SECONDS:
            self.flush()

    def flush(self) -> None:
        """Send what has gathered."""
        rows, self.rows, self.flushed = self.rows, [], time.monotonic()
        if self.tracker is not None and rows:
            with self._guard():
                self.tracker.rows(self.run_id, rows)

    @contextlib.contextmanager
    def _guard(self) -> Iterator[None]:
        try:
            with store_errors():
                yield
        except TrackingFailed as error:
            print(f"tracking: {error}; `rediffuse track` logs the rest later", file=sys.stderr)
            self.tracker = None


# What a stage logs of a run once its files are written.
Log = Callable[[Tracker, "Context", ResolvedRun | ResolvedGenerator, int], None]


def log_now(log: Log, context: "Context", run: ResolvedRun | ResolvedGenerator, seed: int) -> None:
    """Log what a stage has just written, where tracking is on."""
    with open_tracker(context) as tracker:
        if tracker is not None:
            log(tracker, context, run, seed)


def track_training(tracker: Tracker, context: "Context", run: ResolvedRun | ResolvedGenerator, seed: int) -> str:
    """Bring the MLflow run of a finished training up to what lies on disk; returns its id."""
    with store_errors():
        folder = context.folder(run, seed)
        key = _receipt(context, context.plan.find(run.train_stage, run.name, seed))["key"]
        run_id = _start_training(tracker, context, run, seed, key)
        tracker.rows(run_id, _records(folder / "history.csv"))
        if (throughput := folder / "timing" / "throughput.csv").exists():
            tracker.rows(run_id, _records(throughput))
        previews = dict.fromkeys((folder / "previews").glob("*.png"), "previews")
        tracker.artefacts(run_id, {folder / "run.yaml": "", folder / "history.csv": "", **previews})
        if (timing := folder / "timing" / f"{run.train_stage}.json").exists():
            tracker.rows(run_id, [{"step": 0, "train_seconds": read_json(timing)["seconds"]}])
        tracker.finish(run_id)
        return run_id


def log_evaluation(tracker: Tracker, context: "Context", run: ResolvedRun | ResolvedGenerator, seed: int) -> None:
    """Log the metrics of a run: nested under its training, and on it, so that comparing two runs compares them."""
    from rediffuse.grids import save_grid

    folder, plan = context.folder(run, seed), context.plan
    parent = track_training(tracker, context, run, seed)
    with store_errors():
        job = plan.find("evaluate", run.name, seed)
        receipt = _receipt(context, job)
        name = f"{run.name}-seed{seed} evaluation"
        run_id = tracker.start(job, receipt["key"], name, _tags(run, seed, job, receipt), parent)
        final: dict[str, Any] = {"step": 0}
        grids = context.state(run, seed) / "grids"
        for setting, key, steps in run.settings():
            record = read_json(folder / "metrics" / f"{setting}.json")
            values = {name: metric["value"] for name, metric in record["metrics"].items()}
            final |= {f"{name}.{setting}": value for name, value in values.items()}
            tracker.rows(run_id, [{"step": steps, **{f"{name}.{key}": v for name, v in values.items()}}])
            with np.load(folder / "samples" / f"{setting}.npz", allow_pickle=False) as content:
                save_grid(content["images"][:64], grids / f"{setting}.png")
        tracker.params(run_id, {"features": run.evaluation.features, "group_size": run.evaluation.group_size,
                                "groups": run.evaluation.groups})  # fmt: skip
        for target in (run_id, parent):
            tracker.rows(target, [final])
        metrics = dict.fromkeys((folder / "metrics").glob("*.json"), "metrics")
        tracker.artefacts(run_id, {**metrics, **dict.fromkeys(grids.glob("*.png"), "samples")})
        tracker.artefacts(parent, dict.fromkeys(grids.glob("*.png"), "samples"), again=True)
        tracker.finish(run_id)


def log_likelihood(tracker: Tracker, context: "Context", run: ResolvedRun | ResolvedGenerator, seed: int) -> None:
    """Log a run's bound on the likelihood, on its training, so that comparing two runs compares it."""
    folder = context.folder(run, seed) / "likelihood"
    run_id = track_training(tracker, context, run, seed)
    with store_errors():
        metrics = read_json(folder / "nll.json")["metrics"]
        tracker.rows(run_id, [{"step": 0, **{name: metric["value"] for name, metric in metrics.items()}}])
        tracker.artefacts(run_id, dict.fromkeys(folder.iterdir(), "likelihood"), again=True)


def log_examination(tracker: Tracker, context: "Context", run: ResolvedRun | ResolvedGenerator, seed: int) -> None:
    """Log, nested under its training, how near a run's samples are to training images and what it scored while it
    trained; the latter on the training, too.
    """
    folder = context.folder(run, seed) / "examination"
    parent = track_training(tracker, context, run, seed)
    with store_errors():
        job = context.plan.find("examine", run.name, seed)
        receipt = _receipt(context, job)
        name = f"{run.name}-seed{seed} examination"
        run_id = tracker.start(job, receipt["key"], name, _tags(run, seed, job, receipt), parent)
        record = read_json(folder / "examination.json")
        final = {
            f"memorisation.{name}.{space}": found[name]
            for space, found in record["memorisation"].items()
            for name in ("ratio", "closer", "z")
        }
        tracker.rows(run_id, [{"step": 0, **final}])
        if (training := folder / "training.json").exists():
            for target in (run_id, parent):
                tracker.rows(target, [training_scores(row) for row in read_json(training)["rows"]])
        tracker.artefacts(run_id, dict.fromkeys(folder.glob("*.json"), ""))
        tracker.finish(run_id)


def training_scores(row: dict[str, Any]) -> dict[str, Any]:
    """{"step", "averaged": metrics, "raw": metrics} as the metrics that MLflow draws by step."""
    weights = [name for name in row if name != "step"]
    flat = {f"during_training.{metric}.{name}": value for name in weights for metric, value in row[name].items()}
    return {"step": row["step"], **flat}


def log_classifier(tracker: Tracker, context: "Context", run: ResolvedRun | ResolvedGenerator, seed: int) -> None:
    """Log the classifier that guides a run, as a run of its own: it may be trained before the run is."""
    folder = context.folder(run, seed)
    with store_errors():
        job = context.plan.find("classifier", run.name, seed)
        receipt = _receipt(context, job)
        name = f"{run.name}-seed{seed} classifier"
        run_id = tracker.start(job, receipt["key"], name, _tags(run, seed, job, receipt))
        tracker.rows(run_id, _records(folder / "classifier-history.csv"))
        tracker.artefacts(run_id, {folder / "classifier.json": "", folder / "classifier-history.csv": ""})
        tracker.finish(run_id)


def log_report(tracker: Tracker, context: "Context") -> None:
    """Log the report, its figures and what the networks cost as a run of their own."""
    with store_errors():
        job = context.plan.find("report")
        out = context.root / "reports" / context.plan.study
        run_id = tracker.start(job, _receipt(context, job)["key"], "report", {"rediffuse.role": "report"})
        figures = dict.fromkeys((out / "figures").glob("*.png"), "figures")
        tables = dict.fromkeys((out / "tables").glob("*.csv"), "tables")
        cost = {context.root / path: "cost" for path in context.plan.find("cost").outputs}
        tracker.artefacts(run_id, {out / "report.html": "", out / "report.md": "", **figures, **tables, **cost})
        tracker.finish(run_id)


def _start_training(
    tracker: Tracker, context: "Context", run: ResolvedRun | ResolvedGenerator, seed: int, key: str
) -> str:
    job = context.plan.find(run.train_stage, run.name, seed)
    made_by = _receipt(context, job)
    if made_by["key"] != key:  # what lies there is older than what is being made
        made_by = {"commit": commit(context.root), "code": job.code, "settings": job.settings}
    run_id = tracker.start(job, key, f"{run.name}-seed{seed}", _tags(run, seed, job, made_by))
    values = {f"{part}.{k}": v for part, keys in made_by["settings"].items() if part != "seed" for k, v in keys.items()}
    tracker.params(run_id, {"run": run.name, "seed": seed, "role": run.role} | values)
    _log_dataset(tracker, context, run_id)
    return run_id


def _receipt(context: "Context", job: Job) -> dict[str, Any]:
    """The receipt of a job, with no key where there is none."""
    path = context.root / job.receipt
    return read_json(path) if path.exists() else {"key": None}


def _tags(run: ResolvedRun | ResolvedGenerator, seed: int, job: Job, made_by: dict[str, Any]) -> dict[str, str]:
    tags = {
        "rediffuse.role": run.role, "rediffuse.run": run.name, "rediffuse.seed": str(seed), "rediffuse.study": run.study,
        "rediffuse.code": made_by["code"], "rediffuse.config": digest(made_by["settings"]),
        "rediffuse.command": job.command, "mlflow.source.git.commit": made_by["commit"], "mlflow.source.name": job.command,
    }  # fmt: skip
    return tags | ({"rediffuse.ablation_of": run.of} if run.of else {})


def _log_dataset(tracker: Tracker, context: "Context", run_id: str) -> None:
    from mlflow.entities import Dataset, DatasetInput, InputTag

    card_path = context.data_folder / "card.json"
    inputs = tracker.client.get_run(run_id).inputs
    if (inputs is not None and inputs.dataset_inputs) or not card_path.exists():
        return
    card = read_json(card_path)
    source = f'{{"source": "{card["source"]}"}}'
    dataset = Dataset(name=card["name"], digest=card["images_sha256"][:32], source_type="code", source=source)
    tracker.client.log_inputs(run_id, datasets=[DatasetInput(dataset, [InputTag("mlflow.data.context", "training")])])


def _records(path: Path) -> list[dict[str, Any]]:
    import pandas as pd

    return pd.read_csv(path, float_precision="round_trip").to_dict("records")  # type: ignore[return-value]
