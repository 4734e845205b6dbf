"""What is committed although it was measured: timings, and the results of ablations that are complete on disk."""

import csv
import statistics
from pathlib import Path
from typing import Any

from rediffuse.config import LoadedStudy, ResolvedGenerator, ResolvedRun
from rediffuse.files import read_json, write_json
from rediffuse.reporting.read.paths import cost_folder, evidence_folder

STAGES = ("train", "sample", "evaluate")


def write_evidence(loaded: LoadedStudy, root: Path, out: Path) -> None:
    """Bring out/evidence/timings.json and out/evidence/ablations.json up to date."""
    write_timings(loaded, root, out)
    write_ablations(loaded, root, out)


def write_timings(loaded: LoadedStudy, root: Path, out: Path) -> None:
    """Bring out/evidence/timings.json up to date; entries of jobs without a live timing stay."""
    write_json(out / "evidence" / "timings.json", collect_timings(loaded, root, out / "evidence"))


def write_ablations(loaded: LoadedStudy, root: Path, out: Path) -> None:
    """Bring out/evidence/ablations.json up to date; without any finished ablation no file is made."""
    if records := collect_ablations(loaded, root, out / "evidence"):
        write_json(out / "evidence" / "ablations.json", records)


def collect_timings(loaded: LoadedStudy, root: Path, evidence: Path | None = None) -> dict[str, Any]:
    """Timings by job key: those of `evidence` (the study's own when absent), and over them those on disk."""
    timings: dict[str, Any] = _read(_folder(loaded, root, evidence) / "timings.json") or {}
    paths = [cost_folder(loaded.study.study) / "timing" / "cost.json"]
    models: list[ResolvedRun | ResolvedGenerator] = [*loaded.runs.values(), *loaded.ablations.values()]
    for run in [*models, *loaded.generators.values()]:
        stages = (run.train_stage, run.sample_stage)
        paths += [run.folder(seed) / "timing" / f"{stage}.json" for seed in run.seeds for stage in stages]
    for path in paths:
        live = _read(root / path)
        if live is not None and live.get("key"):
            timings[live["key"]] = live
    return timings


def collect_ablations(loaded: LoadedStudy, root: Path, evidence: Path | None = None) -> list[dict[str, Any]]:
    """Records of ablations: those of `evidence` (the study's own when absent), and over them the complete ones on disk.

    An ablation and seed is complete when its history, all its metrics and all three receipts are there, that of its
    training for the settings of today. Records follow the study's order; those of ablations that the study no longer
    has come last.
    """
    records = {(r["ablation"], r["seed"]): r for r in _read(_folder(loaded, root, evidence) / "ablations.json") or []}
    for run in loaded.ablations.values():
        for seed in run.seeds:
            if (record := _record(loaded, root, run, seed)) is not None:
                records[run.name, seed] = _with_measured(record, records.get((run.name, seed)))
    order = {name: position for position, name in enumerate(loaded.ablations)}
    return [records[key] for key in sorted(records, key=lambda key: (order.get(key[0], len(order)), key))]


def _record(loaded: LoadedStudy, root: Path, run: ResolvedRun, seed: int) -> dict[str, Any] | None:
    folder = root / run.folder(seed)
    receipts: dict[str, Any] = {stage: _read(folder / "receipts" / f"{stage}.json") for stage in STAGES}
    metrics = {setting: _read(folder / "metrics" / f"{setting}.json") for setting, _, _ in run.settings()}
    history = folder / "history.csv"
    train = receipts["train"]
    if train is None or None in receipts.values() or None in metrics.values() or not history.exists():
        return None
    if any(train.get("settings", {}).get(section, value) != value for section, value in _trained(run).items()):
        return None
    timing = _read(folder / "timing" / "train.json") or {}
    if timing.get("key") != train.get("key"):
        timing = {}
    sampling = _read(folder / "timing" / "sample.json") or {}
    drawn = sampling["settings"] if sampling.get("key") == receipts["sample"].get("key") and sampling else {}
    per_step = [timing["ms_per_step"] for setting, timing in drawn.items() if setting in metrics]
    return {
        "ablation": run.name,
        "of": run.of,
        "question": run.question,
        "seed": seed,
        "label": run.label,
        "overrides": loaded.study.ablations[run.name].settings(),
        "keys": {stage: receipt.get("key") for stage, receipt in receipts.items() if receipt is not None},
        "command": train.get("command"),
        "commit": train.get("commit"),
        "parameters": timing.get("parameters"),
        "final_loss": _final_loss(history),
        "train_seconds": timing.get("seconds"),
        "train_ms_per_step": timing.get("ms_per_step"),
        "sample_ms_per_step": statistics.median(per_step) if per_step else None,
        "metrics": metrics,
    }


def _trained(run: ResolvedRun) -> dict[str, Any]:
    values = run.model_dump(mode="json")
    return {section: values[section] for section in ("network", "diffusion", "training")}


def _with_measured(record: dict[str, Any], earlier: dict[str, Any] | None) -> dict[str, Any]:
    """`record` with what only the machine that trained could measure, from an earlier record of the same job."""
    if earlier is None or earlier.get("keys", {}).get("train") != record["keys"]["train"]:
        return record
    return {name: earlier.get(name) if value is None else value for name, value in record.items()}


def _final_loss(history: Path) -> float:
    """Mean loss over the last tenth of training, as `tables_cost.final_loss` has it, without importing pandas."""
    with history.open(encoding="utf-8", newline="") as stream:
        rows = [(int(row["step"]), float(row["loss"])) for row in csv.DictReader(stream)]
    last = max(step for step, _ in rows)
    return statistics.fmean(loss for step, loss in rows if step > 0.9 * last)


def _folder(loaded: LoadedStudy, root: Path, evidence: Path | None) -> Path:
    return evidence or root / evidence_folder(loaded.study.study)


def _read(path: Path) -> Any:
    try:
        return read_json(path)
    except FileNotFoundError:
        return None
