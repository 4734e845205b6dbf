"""Ablations beside the runs they start from."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
import numpy as np
from rediffuse.config import LoadedStudy, ResolvedRun
from rediffuse.reporting.cells import Cells, optional
from rediffuse.reporting.frames import Frames, metric_rows
from rediffuse.reporting.pedigree import ablation_place
from rediffuse.reporting.table import Column, Estimate, Links, Table, Value
from rediffuse.reporting.tables import FROM, estimate
from rediffuse.reporting.tables_cost import final_loss, of_run
from rediffuse.reporting.tables_setup import flat_settings
from rediffuse.reporting.terms import (
    NOT_ASKED,
    NOT_RECORDED,
    NOT_RUN,
    counted,
    listed,
    metric_short,
    metric_title,
    setting_text,
)
from rediffuse.config import ResolvedGenerator, ResolvedRun
from rediffuse.reporting.frames import Frames
from rediffuse.reporting.paths import data_folder
from rediffuse.reporting.table import Column, Links, Table, Value
from rediffuse.reporting.tables import FROM
from rediffuse.reporting.terms import IMPORTED, NOT_ASKED, NOT_RECORDED, counted, feature_title, setting_text
import math
import pandas as pd
from rediffuse.config import ResolvedRun
from rediffuse.reporting.cells import optional
from rediffuse.reporting.terms import IMPORTED, NOT_RECORDED, NOT_RUN, setting_text


COMMAND = "snakemake --cores 8 ablations"


METRIC = "frechet_distance"


CurrentKeys = Mapping[tuple[str, int, str], str]


@dataclass(frozen=True)
class Variant:
    """A run or one of its ablations, as a row of the table and a row of dots.

    values: the metric by setting; over several seeds the mean with the standard deviation.
    step_ms: of one training step; sample_ms: of one sampling step of a whole batch, the median over the settings.
    """

    base: str
    name: str
    question: str
    change: str
    seeds: tuple[int, ...]
    parameters: Value
    loss: Value
    step_ms: Value
    sample_ms: Value
    values: dict[str, Value]
    places: tuple[str, ...]
    state: str


def ablation_settings(loaded: LoadedStudy) -> list[str]:
    """The settings that ablations are sampled with, in the study's order."""
    return list(dict.fromkeys(setting for run in loaded.ablations.values() for setting, _, _ in run.settings()))


def variants(frames: Frames, cells: Cells, current_keys: CurrentKeys | None = None) -> list[Variant]:
    """Each run that has ablations, followed by them."""
    loaded = frames.loaded
    rows: list[Variant] = []
    for base in loaded.runs.values():
        ablations = [run for run in loaded.ablations.values() if run.of == base.name]
        if ablations:
            rows.append(_base(frames, cells, base))
            rows += [_variant(frames, base, ablation, current_keys) for ablation in ablations]
    return rows


def _base(frames: Frames, cells: Cells, run: ResolvedRun) -> Variant:
    asked = {setting for setting, _, _ in run.settings()}
    found = {s: cells.get((run.name, s, METRIC)) for s in ablation_settings(frames.loaded)}
    values = {setting: estimate(cell, setting in asked) for setting, cell in found.items()}
    history = [of_run(frames.history, run, seed) for seed in run.seeds]
    losses = [final_loss(part) for part in history if len(part)]
    timed = frames.training[frames.training["run"] == run.name]
    parameters, steps = (
        [v for v in map(optional, timed[name]) if v is not None] for name in ("parameters", "ms_per_step")
    )
    sampled = frames.sampling[(frames.sampling["run"] == run.name) & frames.sampling["setting"].isin(list(found))]
    drawn = [v for v in map(optional, sampled["ms_per_step"]) if v is not None]
    places = [path for cell in found.values() if cell for path in cell.files]
    return Variant(
        base=run.name,
        name=run.label,
        question=NOT_ASKED,
        change="none: the run itself",
        seeds=run.seeds,
        parameters=int(parameters[0]) if parameters else NOT_RECORDED,
        loss=_spread(losses, NOT_RUN),
        step_ms=_spread(steps, NOT_RECORDED),
        sample_ms=Estimate(float(np.median(drawn))) if drawn else NOT_RECORDED,
        values=values,
        places=tuple(dict.fromkeys([*(p for part in history for p in part["file"].iloc[:1]), *places])),
        state=NOT_RUN if not any(found.values()) else "main run",
    )


def _variant(frames: Frames, base: ResolvedRun, run: ResolvedRun, current_keys: CurrentKeys | None) -> Variant:
    entries = {e["seed"]: e for e in frames.ablations if e["ablation"] == run.name and e["seed"] in run.seeds}
    done = [entries[seed] for seed in run.seeds if seed in entries]
    values: dict[str, Value] = dict.fromkeys(ablation_settings(frames.loaded), NOT_ASKED)
    for setting, _, _ in run.settings():
        values[setting] = _value(frames, [entry["metrics"].get(setting) for entry in done])
    absent = NOT_RECORDED if done else NOT_RUN
    return Variant(
        base=base.name,
        name=run.name,
        question=run.question or "",
        change=_change(base, run),
        seeds=run.seeds,
        parameters=next((e["parameters"] for e in done if e.get("parameters")), absent),
        loss=_spread([e["final_loss"] for e in done if e.get("final_loss") is not None], absent),
        step_ms=_spread([e["train_ms_per_step"] for e in done if e.get("train_ms_per_step") is not None], absent),
        sample_ms=_spread([e["sample_ms_per_step"] for e in done if e.get("sample_ms_per_step") is not None], absent),
        values=values,
        places=tuple(ablation_place(frames.ablations_file, entry) for entry in done),
        state=_state(frames.loaded, run, done, current_keys),
    )


def _value(frames: Frames, records: list[dict[str, Any] | None]) -> Value:
    known = [record for record in records if record is not None]
    if not known:
        return NOT_RUN
    if any(record.get("features") != frames.features for record in known):
        return f"scored with {known[0].get('features')}"
    found = [
        row for record in known for row in metric_rows(record) if row["metric"] == METRIC and row["value"] is not None
    ]
    if len(found) == 1:
        return Estimate(found[0]["value"], found[0]["low"], found[0]["high"])
    return _spread([row["value"] for row in found], "not available")


def _spread(values: list[float], absent: str) -> Value:
    """One value as it is, several as mean and standard deviation, none as `absent`."""
    if not values:
        return absent
    if len(values) == 1:
        return Estimate(float(values[0]))
    return Estimate(float(np.mean(values)), std=float(np.std(values, ddof=1)))


def _change(base: ResolvedRun, run: ResolvedRun) -> str:
    before, after = flat_settings(base), flat_settings(run)
    keys = [key for key in after if not key.startswith("sampling.") and before.get(key) != after[key]]
    changes = [f"{key} {before.get(key, NOT_ASKED)} → {after[key]}" for key in keys]
    return "; ".join(changes) or f"only the training seed: {setting_text(run.seeds)}"


def _state(loaded: LoadedStudy, run: ResolvedRun, done: list[dict[str, Any]], current_keys: CurrentKeys | None) -> str:
    if not done:
        return NOT_RUN
    today = json.loads(json.dumps(overrides(loaded, run.name)))
    stale = [
        entry["seed"]
        for entry in done
        if entry.get("overrides") != today
        or (current_keys is not None and current_keys.get((run.name, entry["seed"], "train")) != _train_key(entry))
    ]
    parts = [] if len(done) == len(run.seeds) else [f"{len(done)} of {counted(len(run.seeds), 'seed')}"]
    if stale:
        parts.append("made with other settings or code" + (f" (seed {setting_text(stale)})" if len(done) > 1 else ""))
    return "; ".join(parts) or "complete"


def answers(frames: Frames, rows: list[Variant]) -> list[str]:
    """The question of each ablation and what its values say beside those of the run it starts from."""
    found, short = [], metric_short(METRIC, frames.features)
    own = {row.base: row for row in rows if row.question == NOT_ASKED}
    for row in rows:
        if row.question == NOT_ASKED:
            continue
        base = own[row.base]
        parts = [
            f"{setting} {_brief(base.values[setting])} → {_brief(value)}"
            for setting, value in row.values.items()
            if isinstance(value, Estimate) and isinstance(base.values[setting], Estimate)
        ]
        alone = [f"{setting} {_brief(value)}" for setting, value in row.values.items() if isinstance(value, Estimate)]
        if parts:
            answer = f"{short}, {base.name} → {row.name}: {'; '.join(parts)}."
        elif alone:  # it is sampled in ways of its own, such as a flow's
            answer = f"{short}: {'; '.join(alone)}."
        else:
            answer = NOT_RUN.capitalize() + "."
        found.append(f"{row.name}: {row.question} {answer}")
    return found


def _brief(value: Value) -> str:
    assert isinstance(value, Estimate)
    mean, _, _, std = value.parts()
    return f"{mean} ± {std}" if std else mean


def overrides(loaded: LoadedStudy, name: str) -> dict[str, Any]:
    """What an ablation overrides, as the evidence records it."""
    return loaded.study.ablations[name].settings()


def _train_key(entry: dict[str, Any]) -> str | None:
    return (entry.get("keys") or {}).get("train")


SECTIONS = ("data", "hardware", "network", "diffusion", "training", "sampling", "evaluation")


def flat_settings(run: ResolvedRun) -> dict[str, str]:
    """Every setting of a run, by dotted key."""
    values = run.model_dump(mode="json")
    flat: dict[str, str] = {}
    for section in SECTIONS:
        if section != "training" or run.weights is None:
            _flatten(section, values[section], flat)
    if run.weights is not None:
        _flatten("weights", values["weights"], flat)
    return flat


def _flatten(key: str, value: Any, into: dict[str, str]) -> None:
    if isinstance(value, dict):
        for name, part in value.items():
            _flatten(f"{key}.{name}", part, into)
    else:
        into[key] = setting_text(value)


def differing(frames: Frames) -> list[str]:
    """Keys of the settings in which the runs differ."""
    flats = [flat_settings(run) for run in frames.loaded.runs.values()]
    keys = dict.fromkeys(key for flat in flats for key in flat)
    return [key for key in keys if len({flat.get(key) for flat in flats}) > 1]


#: Share of the training whose mean is called the loss at the end.
END = 0.1


def final_loss(history: pd.DataFrame) -> float:
    """Mean loss over the last tenth of a run's training (at least its last logged row)."""
    tail = history[history["step"] > (1 - END) * history["step"].max()]
    return float(tail["loss"].mean())


def of_run(frame: pd.DataFrame, run: ResolvedRun, seed: int) -> pd.DataFrame:
    """The rows of a run and seed."""
    return frame[(frame["run"] == run.name) & (frame["seed"] == seed)]

