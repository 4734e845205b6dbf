"""The results of ablations that are complete on disk: kept for the report, their times beside, with whose they are."""

import json
import statistics
from pathlib import Path
from typing import Any

from rediffuse.config import LoadedStudy
from rediffuse.files import write_json
from rediffuse.reporting import facts
from rediffuse.reporting.facts import Run
from rediffuse.reporting.read.files import count_parameters, read_json

STAGES = ("train", "sample", "evaluate")
#: What only the machine that trained can tell.
TIMES = ("train_seconds", "train_ms_per_step", "sample_ms_per_step", "machine", "commit", "date")


def evidence_file(study: str) -> Path:
    """The committed record of finished ablations, relative to the project's root."""
    return Path("reports", study, "evidence", "ablations.json")


def times_file(study: str) -> Path:
    """The times of those ablations, relative to the project's root."""
    return Path("reports", study, "timings", "ablations.json")


def write_ablations(loaded: LoadedStudy, root: Path) -> list[dict[str, Any]]:
    """Bring the record of ablations and that of their times up to date; without any finished one no file is made."""
    records, times = collect_ablations(loaded, root), collect_ablation_times(loaded, root)
    study = loaded.study.study
    for path, found in ((evidence_file(study), records), (times_file(study), times)):
        if found:
            write_json(root / path, found)
    return records


def collect_ablations(loaded: LoadedStudy, root: Path) -> list[dict[str, Any]]:
    """Records of ablations: those that are kept, and over them the complete ones on disk. No time is among them.

    An ablation and seed is complete when its history, all its metrics and all three receipts are there, that of its
    training for the settings of today. Records follow the study's order; those of ablations that the study no longer
    has come last.
    """
    kept = [_without_times(record) for record in read_json(root / evidence_file(loaded.study.study)) or []]
    return _over(loaded, root, kept, _record)


def collect_ablation_times(loaded: LoadedStudy, root: Path) -> list[dict[str, Any]]:
    """Times of ablations, each with machine, commit and date: those that are kept, and over them those on disk."""
    return _over(loaded, root, read_json(root / times_file(loaded.study.study)) or [], _times)


def _over(loaded: LoadedStudy, root: Path, kept: list[dict[str, Any]], read: Any) -> list[dict[str, Any]]:
    records = {(record["ablation"], record["seed"]): record for record in kept}
    for run in loaded.ablations.values():
        for seed in run.seeds:
            if (record := read(loaded, root, run, seed)) is not None:
                records[run.name, seed] = record
    order = {name: position for position, name in enumerate(loaded.ablations)}
    return [records[key] for key in sorted(records, key=lambda key: (order.get(key[0], len(order)), key))]


def _without_times(record: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in record.items() if name not in TIMES}


def _record(loaded: LoadedStudy, root: Path, run: Run, seed: int) -> dict[str, Any] | None:
    import pandas as pd

    from rediffuse.reporting.read.frames import final_loss

    folder = root / facts.folder(run, seed)
    receipts = {stage: read_json(folder / "receipts" / f"{stage}.json") for stage in STAGES}
    metrics = {setting: read_json(folder / "metrics" / f"{setting}.json") for setting, _, _ in facts.settings(run)}
    history, train = folder / "history.csv", receipts["train"]
    if None in receipts.values() or None in metrics.values() or not history.exists():
        return None
    if any(train.get("settings", {}).get(section, value) != value for section, value in _trained(run).items()):
        return None
    return {
        "ablation": run.name,
        "of": run.of,
        "question": run.question,
        "seed": seed,
        "label": run.label,
        "overrides": overrides(loaded, run.name),
        "keys": {stage: receipt.get("key") for stage, receipt in receipts.items()},
        "command": train.get("command"),
        "parameters": count_parameters(folder / "weights.safetensors"),
        "final_loss": final_loss(pd.read_csv(history, float_precision="round_trip")),
        "metrics": metrics,
    }


def _times(loaded: LoadedStudy, root: Path, run: Run, seed: int) -> dict[str, Any] | None:
    if _record(loaded, root, run, seed) is None:
        return None
    folder = root / facts.folder(run, seed)
    found = {}
    for stage in ("train", "sample"):
        timing = read_json(folder / "timing" / f"{stage}.json") or {}
        key = read_json(folder / "receipts" / f"{stage}.json").get("key")
        found[stage] = timing if timing.get("key") == key else {}
    train, drawn = found["train"], found["sample"].get("settings", {})
    if not train:
        return None
    per_step = [drawn[setting]["ms_per_step"] for setting, _, _ in facts.settings(run) if setting in drawn]
    return {
        "ablation": run.name,
        "seed": seed,
        "key": train.get("key"),
        "train_seconds": train.get("seconds"),
        "train_ms_per_step": train.get("ms_per_step"),
        "sample_ms_per_step": statistics.median(per_step) if per_step else None,
        **{name: train.get(name) for name in ("machine", "commit", "date")},
    }


def overrides(loaded: LoadedStudy, name: str) -> dict[str, Any]:
    """What an ablation overrides, as its record holds it."""
    return json.loads(json.dumps(loaded.study.ablations[name].settings()))


def _trained(run: Run) -> dict[str, Any]:
    values = run.model_dump(mode="json")
    return {section: values[section] for section in ("network", "diffusion", "training")}
