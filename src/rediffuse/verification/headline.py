"""The part of a study that takes minutes: the two runs that are compared, at the settings that both have."""

import json
from collections.abc import Iterable
from pathlib import Path
from statistics import fmean
from typing import Any

from rediffuse.config import LoadedStudy
from rediffuse.errors import UserError
from rediffuse.files import read_json
from rediffuse.formats import csv_text, json_text
from rediffuse.reporting.values import short
from rediffuse.runs import facts
from rediffuse.verification.judge import METRICS, PEDIGREE
from rediffuse.verification.parts import table

#: More sampling steps than these take longer than all others together.
MOST_STEPS = 100

Settings = dict[str, list[str]]


def headline_settings(loaded: LoadedStudy) -> Settings:
    """The settings by run: those of the baseline and the improved run that both have, of at most `MOST_STEPS` steps."""
    pair = [run for run in loaded.runs.values() if run.role in ("baseline", "improved")]
    own = [[s for s in facts.own_settings(run) if isinstance(s[2], int) and s[2] <= MOST_STEPS] for run in pair]
    shared = set.intersection(*({name for name, _, _ in settings} for settings in own))
    return {run.name: [name for name, _, _ in given if name in shared] for run, given in zip(pair, own, strict=True)}


def headline_study(raw: dict[str, Any], loaded: LoadedStudy) -> dict[str, Any]:
    """The study with nothing but these: what a run comes to does not depend on what else is asked.

    Raises:
        UserError: there are none.
    """
    wanted, runs = headline_settings(loaded), dict[str, Any]()
    if not all(wanted.values()):
        raise UserError(
            f"verify: --only headline: {' and '.join(wanted)} share no setting of {MOST_STEPS} steps or less"
        )
    for name, settings in wanted.items():
        samplers: dict[str, dict[str, Any]] = {}
        for setting, key, pace in facts.own_settings(loaded.runs[name]):
            if setting in settings:
                dump = loaded.runs[name].sampling.samplers[key].model_dump(mode="json", exclude_none=True)
                samplers.setdefault(key, {**dump, "steps": []})["steps"].append(pace)
        run = dict(raw["runs"][name])
        if not any("classifier_scale" in sampler for sampler in samplers.values()):
            run.pop("classifier", None)
        runs[name] = {**run, "sampling": {**run.get("sampling", {}), "samplers": samplers}}
    rest = {key: value for key, value in raw.items() if key not in ("experiments", "experiment_samplers", "claims")}
    return {**rest, "runs": runs}


def headline_files(loaded: LoadedStudy, project: Path, jobs: Iterable[dict[str, Any]]) -> dict[str, bytes]:
    """What metrics.json and the pedigree say of them, from what lies in a project; jobs: as its plan states them."""
    return _files(loaded, _metrics(loaded, project), jobs)


def headline_of(report: dict[str, bytes], loaded: LoadedStudy) -> dict[str, bytes]:
    """The same of a whole report."""
    metrics = json.loads(report[METRICS])
    found = {
        run: {name: metrics.get(run, {})[name] for name in (*settings, "training") if name in metrics.get(run, {})}
        for run, settings in headline_settings(loaded).items()
    }
    head, *rows = table(report.get(PEDIGREE, b"").decode()) or [[]]
    return _files(
        loaded, found, ({name.lower(): value for name, value in zip(head, row, strict=False)} for row in rows)
    )


def _files(loaded: LoadedStudy, metrics: dict[str, Any], jobs: Iterable[dict[str, Any]]) -> dict[str, bytes]:
    commands = {"rediffuse prepare", "rediffuse reference"} | {
        f"rediffuse {stage} {name} --seed {seed}"
        for name in headline_settings(loaded)
        for seed in loaded.runs[name].seeds
        for stage in ("train", "sample", "evaluate")
    }
    stated = {one["command"]: one for one in jobs if one.get("command") in commands}
    rows = (
        {"command": command, **{name: short(stated[command].get(name, "")) for name in ("key", "code")}}
        for command in sorted(stated)
    )
    return {METRICS: json_text(metrics).encode(), PEDIGREE: csv_text(rows).encode()}


def _metrics(loaded: LoadedStudy, project: Path) -> dict[str, Any]:
    """The mean over training seeds."""
    import pandas as pd

    from rediffuse.reporting.read.frames import final_loss

    found: dict[str, Any] = {}
    for name, settings in headline_settings(loaded).items():
        run = loaded.runs[name]
        folders = [project / facts.folder(run, seed) for seed in run.seeds]
        for setting in settings:
            records = [read_json(folder / "metrics" / f"{setting}.json")["metrics"] for folder in folders]
            scored = {m: [record[m]["value"] for record in records] for m in records[0]}
            found.setdefault(name, {})[setting] = {m: fmean(v) for m, v in scored.items() if None not in v}
        histories = [pd.read_csv(folder / "history.csv", float_precision="round_trip") for folder in folders]
        found[name]["training"] = {"final_loss": fmean(map(final_loss, histories))}
    return found
