"""Ablations beside the runs they start from."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from rediffuse.config import LoadedStudy, ResolvedRun
from rediffuse.evaluation.metrics import metric_short
from rediffuse.reporting.experiments.cells import Cells, estimate
from rediffuse.reporting.read.evidence import overrides
from rediffuse.reporting.read.frames import Frames, final_loss, metric_rows, of_run
from rediffuse.reporting.read.pedigree import ablation_place
from rediffuse.reporting.read.records import parameter_count
from rediffuse.reporting.terms import MAIN, diffusion_runs
from rediffuse.reporting.values import NOT_ASKED, NOT_RECORDED, NOT_RUN, Estimate, Value, counted, setting_text
from rediffuse.runs import facts

COMMAND = "snakemake --cores 8 ablations"
#: Key of each training as today's settings and code have it, by run and seed.
Keys = Mapping[tuple[str, int], str]


@dataclass(frozen=True)
class Variant:
    """A run or one of its ablations, as a row of the table and a row of dots.

    values: the metric by setting; over several seeds the mean with the standard deviation.
    """

    base: str
    name: str
    question: str
    change: str
    seeds: tuple[int, ...]
    parameters: Value
    loss: Value
    values: dict[str, Value]
    places: tuple[str, ...]
    state: str


def ablation_settings(loaded: LoadedStudy) -> list[str]:
    """The settings that ablations are sampled with, in the study's order."""
    return list(dict.fromkeys(setting for run in loaded.ablations.values() for setting, _, _ in facts.settings(run)))


def variants(frames: Frames, cells: Cells, keys: Keys) -> list[Variant]:
    """Each run that has ablations, followed by them."""
    loaded = frames.loaded
    rows: list[Variant] = []
    for base in diffusion_runs(loaded):
        ablations = [run for run in loaded.ablations.values() if run.of == base.name]
        if ablations:
            rows.append(_base(frames, cells, base))
            rows += [_variant(frames, base, ablation, keys) for ablation in ablations]
    return rows


def _base(frames: Frames, cells: Cells, run: ResolvedRun) -> Variant:
    asked = {setting for setting, _, _ in facts.settings(run)}
    found = {s: cells.get((run.name, s, MAIN)) for s in ablation_settings(frames.loaded)}
    values = {setting: estimate(cell, setting in asked) for setting, cell in found.items()}
    history = [of_run(frames.history, run, seed) for seed in run.seeds]
    losses = [final_loss(part) for part in history if len(part)]
    places = [path for cell in found.values() if cell for path in cell.files]
    return Variant(
        base=run.name,
        name=run.label,
        question=NOT_ASKED,
        change="none: the run itself",
        seeds=run.seeds,
        parameters=parameter_count(frames, run),
        loss=_spread(losses, NOT_RUN),
        values=values,
        places=tuple(dict.fromkeys([*(p for part in history for p in part["file"].iloc[:1]), *places])),
        state=NOT_RUN if not any(found.values()) else "main run",
    )


def _variant(frames: Frames, base: ResolvedRun, run: ResolvedRun, keys: Keys) -> Variant:
    entries = {e["seed"]: e for e in frames.ablations if e["ablation"] == run.name and e["seed"] in run.seeds}
    done = [entries[seed] for seed in run.seeds if seed in entries]
    values: dict[str, Value] = dict.fromkeys(ablation_settings(frames.loaded), NOT_ASKED)
    for setting, _, _ in facts.settings(run):
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
        values=values,
        places=tuple(ablation_place(frames.ablations_file, entry) for entry in done),
        state=_state(frames.loaded, run, done, keys),
    )


def _value(frames: Frames, records: list[dict[str, Any] | None]) -> Value:
    known = [record for record in records if record is not None]
    if not known:
        return NOT_RUN
    if any(record.get("features") != frames.features for record in known):
        return f"scored with {known[0].get('features')}"
    every = (row for record in known for row in metric_rows(record) if row["metric"] == MAIN)
    found = [row for row in every if row["value"] is not None]
    if len(found) == 1:
        return Estimate.of(found[0])
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


def _state(loaded: LoadedStudy, run: ResolvedRun, done: list[dict[str, Any]], keys: Keys) -> str:
    if not done:
        return NOT_RUN
    today = overrides(loaded, run.name)
    kept = {entry["seed"]: (entry.get("overrides"), (entry.get("keys") or {}).get("train")) for entry in done}
    stale = [seed for seed, found in kept.items() if found != (today, keys.get((run.name, seed)))]
    parts = [] if len(done) == len(run.seeds) else [f"{len(done)} of {counted(len(run.seeds), 'seed')}"]
    if stale:
        parts.append("made with other settings or code" + (f" (seed {setting_text(stale)})" if len(done) > 1 else ""))
    elif any(entry.get("accepted") for entry in done):
        parts.append("complete, kept under changed code")
    return "; ".join(parts) or "complete"


def answers(frames: Frames, rows: list[Variant]) -> list[str]:
    """The question of each ablation and what its values say beside those of the run it starts from."""
    found, short = [], metric_short(MAIN, frames.features)
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
    flats = [flat_settings(run) for run in diffusion_runs(frames.loaded)]
    keys = dict.fromkeys(key for flat in flats for key in flat)
    return [key for key in keys if len({flat.get(key) for flat in flats}) > 1]
