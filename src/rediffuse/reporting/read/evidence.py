"""The results of ablations that are complete on disk, committed so that a report can show what it did not run."""

import csv
import statistics
from pathlib import Path
from typing import Any

import yaml

from rediffuse.config import LoadedStudy, ResolvedRun
from rediffuse.formats import write_json
from rediffuse.pipeline.plan import Plan, evidence_file
from rediffuse.pipeline.receipts import read_receipt
from rediffuse.reporting.read.records import read_json
from rediffuse.runs import facts

STAGES = ("train", "sample", "evaluate")


def times_file(study: str) -> Path:
    """The committed record of what ablations took, on whose machine: it may differ from one to the next."""
    return Path("reports", study, "timings", "ablations.json")


def write_ablations(loaded: LoadedStudy, plan: Plan, root: Path) -> int:
    """Bring the evidence of ablations, and that of their times, up to date; how many records there are."""
    records, times = collect_ablations(loaded, plan, root)
    if records:
        write_json(root / evidence_file(plan.study), records)
        write_json(root / times_file(plan.study), times)
    return len(records)


def collect_ablations(
    loaded: LoadedStudy, plan: Plan, root: Path
) -> tuple[list[dict[str, Any]], dict[str, dict[str, Any]]]:
    """Records of ablations, and their times by "ablation/seed": those of the evidence, and over them the complete ones.

    An ablation and seed is complete when its history, all its metrics and all three receipts are there, that of its
    training for the settings of today. Records follow the study's order; those of ablations that the study no longer
    has come last.
    """
    records = {(r["ablation"], r["seed"]): r for r in read_json(root / evidence_file(plan.study)) or []}
    times = read_json(root / times_file(plan.study)) or {}
    for run in loaded.ablations.values():
        for seed in run.seeds:
            if (record := _record(loaded, plan, root, run, seed)) is not None:
                records[run.name, seed] = record
                times |= _times(plan, root, run, seed)
    order = {name: position for position, name in enumerate(loaded.ablations)}
    return [records[key] for key in sorted(records, key=lambda key: (order.get(key[0], len(order)), key))], times


def _record(loaded: LoadedStudy, plan: Plan, root: Path, run: ResolvedRun, seed: int) -> dict[str, Any] | None:
    jobs = {stage: plan.find(stage, run.name, seed) for stage in STAGES}
    folder = root / jobs["train"].folder
    receipts = {stage: read_receipt(root / job.receipt) for stage, job in jobs.items()}
    metrics = {setting: read_json(folder / "metrics" / f"{setting}.json") for setting, _, _ in facts.settings(run)}
    history, train = folder / "history.csv", receipts["train"]
    if train is None or None in receipts.values() or None in metrics.values() or not history.exists():
        return None
    if train["settings"] != jobs["train"].settings:
        return None
    settings = yaml.safe_load((folder / "run.yaml").read_text(encoding="utf-8"))
    return {
        "ablation": run.name,
        "of": run.of,
        "question": run.question,
        "seed": seed,
        "label": run.label,
        "overrides": loaded.study.ablations[run.name].settings(),
        "keys": {stage: receipt["key"] for stage, receipt in receipts.items() if receipt is not None},
        "command": train.get("command"),
        "parameters": (settings.get("parameters") or {}).get("makes_images"),
        "final_loss": _final_loss(history),
        "metrics": metrics,
    }


def _times(plan: Plan, root: Path, run: ResolvedRun, seed: int) -> dict[str, dict[str, Any]]:
    """What training and sampling took, where they were made here."""
    train, sample = (read_json(root / plan.find(stage, run.name, seed).timing) or {} for stage in ("train", "sample"))
    if "seconds" not in train:
        return {}
    per_step = [timing["ms_per_step"] for timing in sample.get("settings", {}).values()]
    return {
        f"{run.name}/{seed}": {
            **{name: train.get(name) for name in ("key", "commit", "date", "machine")},
            "train_seconds": train["seconds"],
            "train_ms_per_step": train["ms_per_step"],
            "sample_ms_per_step": statistics.median(per_step) if per_step else None,
        }
    }


def _final_loss(history: Path) -> float:
    """Mean loss over the last tenth of training, as `tables_cost.final_loss` has it, without importing pandas."""
    with history.open(encoding="utf-8", newline="") as stream:
        rows = [(int(row["step"]), float(row["loss"])) for row in csv.DictReader(stream)]
    last = max(step for step, _ in rows)
    return statistics.fmean(loss for step, loss in rows if step > 0.9 * last)
