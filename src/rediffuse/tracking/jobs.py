"""What each kind of job logs, from what lies on disk: named by the stages' declarations."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from rediffuse.files import digest, read_json
from rediffuse.pipeline.context import Context
from rediffuse.pipeline.plan import Job
from rediffuse.pipeline.receipts import read_receipt, read_timing
from rediffuse.runs import facts
from rediffuse.tracking.tracker import Tracker, store_errors


def log_training(tracker: Tracker, context: Context, job: Job) -> str:
    """Bring the MLflow run of a finished training up to what lies on disk; returns its id."""
    with store_errors():
        folder = context.root / job.folder
        run_id = start_training(tracker, context, job, _made(context, job)["key"])
        tracker.rows(run_id, records(folder / "history.csv"))
        if (throughput := folder / "timing" / "throughput.csv").exists():
            tracker.rows(run_id, records(throughput))
        tracker.artefacts(run_id, {folder / "run.yaml": "", folder / "history.csv": ""})
        timing = read_timing(job, context.root)
        if timing.get("steps"):
            tracker.rows(run_id, [{"step": 0, "train_seconds": timing["seconds"]}])
        tracker.finish(run_id)
        return run_id


def log_follow(tracker: Tracker, context: Context, job: Job) -> None:
    """Log, on the training, the previews of its snapshots and what their samples score."""
    folder = context.root / job.folder
    run_id = log_training(tracker, context, training_of(context, job))
    with store_errors():
        tracker.artefacts(run_id, dict.fromkeys((folder / "previews").glob("*.png"), "previews"), again=True)
        if (scores := folder / "during-training" / "scores.json").exists():
            tracker.rows(run_id, [training_scores(row) for row in read_json(scores)["rows"]])


def log_evaluation(tracker: Tracker, context: Context, job: Job) -> None:
    """Log the metrics of a run: nested under its training, and on it, so that comparing two runs compares them."""
    from rediffuse.grids import save_grid

    folder, run = context.root / job.folder, job.run
    parent = log_training(tracker, context, training_of(context, job))
    with store_errors():
        run_id = _start_nested(tracker, context, job, "evaluation", parent)
        final: dict[str, Any] = {"step": 0}
        grids = context.state(job) / "grids"
        for setting, key, steps in facts.settings(run):
            record = read_json(folder / "metrics" / f"{setting}.json")
            values = {name: metric["value"] for name, metric in record["metrics"].items()}
            final |= {f"{name}.{setting}": value for name, value in values.items()}
            step = steps if isinstance(steps, int) else record["nfe"]
            tracker.rows(run_id, [{"step": step, **{f"{name}.{key}": v for name, v in values.items()}}])
            with np.load(folder / "samples" / f"{setting}.npz", allow_pickle=False) as content:
                save_grid(content["images"][:64], grids / f"{setting}.png")
        evaluation = run.evaluation.model_dump(include={"features", "group_size", "groups"})
        tracker.params(run_id, {**evaluation, **{f"images.{k}": n for k, n in run.sampling.images_of.items()}})
        for target in (run_id, parent):
            tracker.rows(target, [final])
        metrics = dict.fromkeys((folder / "metrics").glob("*.json"), "metrics")
        tracker.artefacts(run_id, {**metrics, **dict.fromkeys(grids.glob("*.png"), "samples")})
        tracker.artefacts(parent, dict.fromkeys(grids.glob("*.png"), "samples"), again=True)
        tracker.finish(run_id)


def log_likelihood(tracker: Tracker, context: Context, job: Job) -> None:
    """Log a run's bound on the likelihood, on its training, so that comparing two runs compares it."""
    folder = context.root / job.folder / "likelihood"
    run_id = log_training(tracker, context, training_of(context, job))
    with store_errors():
        metrics = read_json(folder / "nll.json")["metrics"]
        tracker.rows(run_id, [{"step": 0, **{name: metric["value"] for name, metric in metrics.items()}}])
        tracker.artefacts(run_id, dict.fromkeys(folder.iterdir(), "likelihood"), again=True)


def log_probe(tracker: Tracker, context: Context, job: Job) -> None:
    """Log what a network tells by itself, on its training, so that comparing two runs compares it."""
    path = context.root / job.folder / "probe" / "probe.json"
    run_id = log_training(tracker, context, training_of(context, job))
    with store_errors():
        found = {name: metric["value"] for name, metric in read_json(path)["metrics"].items()}
        tracker.rows(run_id, [{"step": 0, **{name: value for name, value in found.items() if value is not None}}])
        tracker.artefacts(run_id, {path: "probe"}, again=True)


def log_examination(tracker: Tracker, context: Context, job: Job) -> None:
    """Log, nested under its training, how near a run's samples are to training images."""
    folder = context.root / job.folder / "examination"
    parent = log_training(tracker, context, training_of(context, job))
    with store_errors():
        run_id = _start_nested(tracker, context, job, "examination", parent)
        final = {
            f"memorisation.{name}.{space}": found[name]
            for space, found in read_json(folder / "examination.json")["memorisation"].items()
            for name in ("ratio", "closer", "z")
        }
        tracker.rows(run_id, [{"step": 0, **final}])
        tracker.artefacts(run_id, dict.fromkeys(folder.glob("*.json"), ""))
        tracker.finish(run_id)


def log_classifier(tracker: Tracker, context: Context, job: Job) -> None:
    """Log the classifier that guides a run, as a run of its own: it may be trained before the run is."""
    folder = context.root / job.folder / "classifier"
    with store_errors():
        run_id = _start_nested(tracker, context, job, "classifier", None)
        tracker.rows(run_id, records(folder / "history.csv"))
        tracker.artefacts(run_id, {folder / "accuracy.json": "", folder / "history.csv": ""})
        tracker.finish(run_id)


def log_report(tracker: Tracker, context: Context, job: Job) -> None:
    """Log the report, its figures and what the networks cost as a run of their own."""
    with store_errors():
        out = context.root / job.folder
        tags = {"rediffuse.role": "report", "rediffuse.study": context.plan.study}
        run_id = tracker.start(job, _made(context, job)["key"], "report", tags)
        figures = dict.fromkeys((out / "figures").glob("*.png"), "figures")
        tables = dict.fromkeys((out / "tables").glob("*.csv"), "tables")
        cost = {context.root / path: "cost" for path in context.plan.find("cost").outputs}
        pages = dict.fromkeys((out / "report.html", out / "report.md", out / "timings.md"), "")
        tracker.artefacts(run_id, {**pages, **figures, **tables, **cost})
        tracker.finish(run_id)


def training_scores(row: dict[str, Any]) -> dict[str, Any]:
    """{"step", "averaged": metrics, "raw": metrics} as the metrics that MLflow draws by step."""
    weights = [name for name in row if name != "step"]
    flat = {f"during_training.{metric}.{name}": value for name in weights for metric, value in row[name].items()}
    return {"step": row["step"], **flat}


def training_of(context: Context, job: Job) -> Job:
    """The training of the run that a job belongs to."""
    return context.plan.find("train", job.run.name, job.seed)


def start_training(tracker: Tracker, context: Context, job: Job, key: str) -> str:
    """The MLflow run of a training under a key, with its parameters and its data set."""
    made = _made(context, job)
    if made["key"] != key:  # what lies there is older than what is being made
        made = {"code": job.code, "settings": job.settings}
    run_id = tracker.start(job, key, f"{job.run.name}-seed{job.seed}", _tags(context, job, made))
    parts = {part: keys for part, keys in made["settings"].items() if isinstance(keys, dict)}
    values = {f"{part}.{k}": v for part, keys in parts.items() for k, v in keys.items()}
    about = {"run": job.run.name, "seed": job.seed, "role": job.run.role, "model": job.run.model}
    tracker.params(run_id, about | values)
    _log_dataset(tracker, context, run_id)
    return run_id


def _start_nested(tracker: Tracker, context: Context, job: Job, what: str, parent: str | None) -> str:
    made = _made(context, job)
    name = f"{job.run.name}-seed{job.seed} {what}"
    return tracker.start(job, made["key"], name, _tags(context, job, made), parent)


def _made(context: Context, job: Job) -> dict[str, Any]:
    """The receipt of a job, with no key where there is none."""
    return read_receipt(context.root / job.receipt) or {"key": None}


def _tags(context: Context, job: Job, made: dict[str, Any]) -> dict[str, str]:
    run, measured = job.run, read_timing(job, context.root)
    tags = {
        "rediffuse.role": run.role,
        "rediffuse.model": run.model,
        "rediffuse.run": run.name,
        "rediffuse.seed": str(job.seed),
        "rediffuse.study": run.study,
        "rediffuse.code": made["code"],
        "rediffuse.config": digest(made["settings"]),
        "rediffuse.command": job.command,
        "mlflow.source.name": job.command,
    }
    if "commit" in measured:
        tags["mlflow.source.git.commit"] = measured["commit"]
    return tags | ({"rediffuse.ablation_of": run.of} if run.of else {})


def _log_dataset(tracker: Tracker, context: Context, run_id: str) -> None:
    from mlflow.entities import Dataset, DatasetInput, InputTag

    card_path = context.data_folder / "card.json"
    inputs = tracker.client.get_run(run_id).inputs
    if (inputs is not None and inputs.dataset_inputs) or not card_path.exists():
        return
    card = read_json(card_path)
    source = json.dumps({"source": card["source"]}, ensure_ascii=False)
    dataset = Dataset(name=card["name"], digest=card["images_sha256"][:32], source_type="code", source=source)
    tracker.client.log_inputs(run_id, datasets=[DatasetInput(dataset, [InputTag("mlflow.data.context", "training")])])


def records(path: Path) -> list[dict[str, Any]]:
    """The rows of a CSV file."""
    import pandas as pd

    return pd.read_csv(path, float_precision="round_trip").to_dict("records")  # type: ignore[return-value]
