"""The results of ablations that are complete on disk: kept for the report, their times beside, with whose they are."""

import json
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rediffuse.config import LoadedStudy, ResolvedRun
from rediffuse.formats import write_records
from rediffuse.pipeline.evidence import evidence_file, times_file
from rediffuse.pipeline.plan import Plan
from rediffuse.pipeline.receipts import read_receipt, read_timing
from rediffuse.reporting.read.files import read_json, read_parameters
from rediffuse.reporting.terms import seeds_of
from rediffuse.runs import facts

Reader = Callable[[LoadedStudy, Plan, Path, ResolvedRun, int], dict[str, Any] | None]
STAGES = ("train", "sample", "evaluate")
#: What is kept of what a trained network tells by itself.
NETWORK = ("prediction", "metrics", "by_t", "gradients", "images")
#: What only the machine that trained can tell.
TIMES = ("train_seconds", "train_ms_per_step", "sample_ms_per_step", "machine", "commit", "date")


def write_ablations(loaded: LoadedStudy, plan: Plan, root: Path) -> int:
    """Bring the record of ablations and that of their times up to date; how many there are. Of none no file is made."""
    records, times = collect_ablations(loaded, plan, root), collect_ablation_times(loaded, plan, root)
    study = loaded.study.study
    for path, found in ((evidence_file(study), records), (times_file(study), times)):
        if found:
            write_records(root / path, found)
    return len(records)


def accept_kept(loaded: LoadedStudy, plan: Plan, root: Path, because: str) -> list[str]:
    """Keep records of ablations although code has changed since; each says why. Returns those it was done to.

    A record of other overrides than today's is not kept so: another setting is another ablation.
    """
    path = root / evidence_file(loaded.study.study)
    records, taken = read_json(path) or [], []
    for record in records:
        run = loaded.ablations.get(record["ablation"])
        if run is None or record["seed"] not in run.seeds or record["overrides"] != overrides(loaded, run.name):
            continue
        keys = {stage: plan.find(stage, run.name, record["seed"]).key for stage in STAGES}
        if record["keys"] != keys:
            said = {"trained under key": record["keys"].get("train"), "because": because}
            record |= {"keys": keys, "accepted": [*record.get("accepted", []), said]}
            taken.append(f"{run.name}/seed{record['seed']}")
    if taken:
        write_records(path, records)
    return taken


def collect_ablations(loaded: LoadedStudy, plan: Plan, root: Path) -> list[dict[str, Any]]:
    """Records of ablations: those that are kept, and over them the complete ones on disk. No time is among them.

    An ablation and seed is complete when its history, all its metrics and all three receipts are there, that of its
    training for the settings of today. Records follow the study's order; those of ablations that the study no longer
    has come last.
    """
    records = read_json(root / evidence_file(loaded.study.study)) or []
    kept = [{name: value for name, value in record.items() if name not in TIMES} for record in records]
    return _over(loaded, plan, root, kept, _record)


def collect_ablation_times(loaded: LoadedStudy, plan: Plan, root: Path) -> list[dict[str, Any]]:
    """Times of ablations, each with machine, commit and date: those that are kept, and over them those on disk."""
    kept = read_json(root / times_file(loaded.study.study)) or []
    return _over(loaded, plan, root, kept, _times)


def _over(
    loaded: LoadedStudy, plan: Plan, root: Path, kept: list[dict[str, Any]], read: Reader
) -> list[dict[str, Any]]:
    records = {(record["ablation"], record["seed"]): record for record in kept}
    for run, seed in seeds_of(loaded.ablations.values()):
        if (record := read(loaded, plan, root, run, seed)) is not None:
            records[run.name, seed] = record
    order = {name: position for position, name in enumerate(loaded.ablations)}
    return [records[key] for key in sorted(records, key=lambda key: (order.get(key[0], len(order)), key))]


def _record(loaded: LoadedStudy, plan: Plan, root: Path, run: ResolvedRun, seed: int) -> dict[str, Any] | None:
    import pandas as pd

    from rediffuse.reporting.read.frames import final_loss

    folder = root / facts.folder(run, seed)
    found = {stage: read_receipt(folder / "receipts" / f"{stage}.json") for stage in STAGES}
    receipts = {stage: receipt for stage, receipt in found.items() if receipt is not None}
    metrics = {setting: read_json(folder / "metrics" / f"{setting}.json") for setting, _, _ in facts.settings(run)}
    history = folder / "history.csv"
    if len(receipts) < len(STAGES) or None in metrics.values() or not history.exists():
        return None
    train = receipts["train"]
    if train.get("settings") != json.loads(json.dumps(plan.find("train", run.name, seed).settings)):
        return None
    restored = read_json(folder / "restoration" / "psnr.json") if run.restores else None
    told = read_json(folder / "probe" / "probe.json") if run.probed else None
    counts, logged = read_parameters(folder / "run.yaml"), pd.read_csv(history, float_precision="round_trip")
    return {
        "ablation": run.name,
        "of": run.of,
        "question": run.question,
        "seed": seed,
        "label": run.label,
        "overrides": overrides(loaded, run.name),
        "keys": {stage: receipt.get("key") for stage, receipt in receipts.items()},
        "command": train.get("command"),
        "parameters": counts and counts.makes_images,
        "final_loss": final_loss(logged),
        "history": {"step": logged["step"].tolist(), "loss": logged["loss"].tolist()},
        "metrics": metrics,
        **({} if restored is None else {"restoration": restored}),
        **({} if told is None else {"network": {name: told[name] for name in NETWORK}}),
    }


def _times(loaded: LoadedStudy, plan: Plan, root: Path, run: ResolvedRun, seed: int) -> dict[str, Any] | None:
    if _record(loaded, plan, root, run, seed) is None:
        return None
    found = {}
    for stage in ("train", "sample"):
        job = plan.find(stage, run.name, seed)
        timing, receipt = read_timing(job, root), read_receipt(root / job.receipt) or {}
        found[stage] = timing if timing.get("key") == receipt.get("key") else {}
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
    return json.loads(json.dumps(loaded.ablations[name].overrides))
