"""The evidence of ablations beside the runs they start from."""

import json
from dataclasses import dataclass
from typing import Any

import numpy as np

from rediffuse.config import LoadedStudy, ResolvedRun
from rediffuse.reporting.chapters.tables import FROM, estimate
from rediffuse.reporting.chapters.tables_cost import final_loss, of_run
from rediffuse.reporting.chapters.tables_setup import flat_settings
from rediffuse.reporting.experiments.cells import Cells
from rediffuse.reporting.read.frames import Frames, metric_rows
from rediffuse.reporting.read.pedigree import ablation_place
from rediffuse.reporting.render.table import Column, Estimate, Links, Table, Value
from rediffuse.reporting.render.terms import (
    NOT_ASKED,
    NOT_RECORDED,
    NOT_RUN,
    counted,
    listed,
    metric_short,
    metric_title,
    setting_text,
)
from rediffuse.runs import facts

COMMAND = "snakemake --cores 8 ablations"
METRIC = "frechet_distance"


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


def variants(frames: Frames, cells: Cells) -> list[Variant]:
    """Each run that has ablations, followed by them."""
    loaded = frames.loaded
    rows: list[Variant] = []
    for base in facts.diffusion_runs(loaded).values():
        ablations = [run for run in loaded.ablations.values() if run.of == base.name]
        if ablations:
            rows.append(_base(frames, cells, base))
            rows += [_variant(frames, base, ablation) for ablation in ablations]
    return rows


def _base(frames: Frames, cells: Cells, run: ResolvedRun) -> Variant:
    asked = {setting for setting, _, _ in facts.settings(run)}
    found = {s: cells.get((run.name, s, METRIC)) for s in ablation_settings(frames.loaded)}
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
        parameters=NOT_RECORDED if (counts := frames.parameters.get(run.name)) is None else counts[0],
        loss=_spread(losses, NOT_RUN),
        values=values,
        places=tuple(dict.fromkeys([*(p for part in history for p in part["file"].iloc[:1]), *places])),
        state=NOT_RUN if not any(found.values()) else "main run",
    )


def _variant(frames: Frames, base: ResolvedRun, run: ResolvedRun) -> Variant:
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
        state=_state(frames, run, done),
    )  # fmt: skip


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


def _state(frames: Frames, run: ResolvedRun, done: list[dict[str, Any]]) -> str:
    if not done:
        return NOT_RUN
    today = json.loads(json.dumps(overrides(frames.loaded, run.name)))
    stale = [
        entry["seed"]
        for entry in done
        if entry.get("overrides") != today
        or frames.plan.find("train", run.name, entry["seed"]).key != _train_key(entry)
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


def ablation_table(frames: Frames, rows: list[Variant]) -> Table:
    """Each run and its ablations in the main metric."""
    short, sampled = metric_short(METRIC, frames.features), ablation_settings(frames.loaded)
    # A setting that no main run has cannot be read against one: its values stand in the text and among the details.
    settings = [
        s
        for s in sampled
        if any(s in (n for n, _, _ in facts.settings(run)) for run in facts.diffusion_runs(frames.loaded).values())
    ]
    settings = settings or sampled
    columns = (
        Column("Run or ablation"), Column("Change"), Column("Seeds"), Column("Parameters"),
        Column("Loss at the end", estimate=True),
        *(Column(f"{short}, {setting}", estimate=True) for setting in settings), Column("State"), FROM,
    )  # fmt: skip
    cells: list[tuple[Value, ...]] = [
        (row.name, row.change, setting_text(row.seeds), row.parameters, row.loss,
         *(row.values[setting] for setting in settings), row.state, Links(frames.pedigree.ids(row.places)))
        for row in rows
    ]  # fmt: skip
    title = metric_title(METRIC, frames.features)
    notes = [
        f"Values are the {title} (lower is better) from {frames.loaded.study.evaluation.group_size} images. With one "
        "seed the "
        "brackets hold the interval over groups of samples; with several, ± is the standard deviation over training "
        "seeds."
        if title != "FID"
        else "With one seed the brackets hold the interval over groups of samples; with several, ± is the standard deviation.",
        f"Ablations are run by `{COMMAND}`; what was not run says so. A row of dashes was sampled in other ways, see the list above.",
    ]
    gone = sorted({e["ablation"] for e in frames.ablations} - set(frames.loaded.ablations))
    if gone:
        notes.append(f"The evidence also holds {listed(gone)}, which the study no longer has.")
    marked = frozenset(i for i, row in enumerate(rows) if row.question == NOT_ASKED)
    return Table(
        "ablations",
        "Each run beside variants of it that change one thing.",
        columns,
        tuple(cells),
        tuple(notes),
        marked,
        narrow=True,
    )


def times_table(frames: Frames) -> Table | None:
    """What training and sampling of each finished ablation took, and whose times these are."""
    rows: list[tuple[Value, ...]] = []
    for name, entry in sorted(frames.ablation_times.items()):
        ablation, _, seed = name.partition("/")
        numbers = (entry.get(key) for key in ("train_seconds", "train_ms_per_step", "sample_ms_per_step"))
        machine, date = (entry.get("machine") or {}).get("cpu"), str(entry.get("date") or NOT_RECORDED)[:10]
        shown = [NOT_RECORDED if value is None else float(value) for value in numbers]
        rows.append((ablation, int(seed), *shown, machine or NOT_RECORDED, date))
    if not rows:
        return None
    columns = (
        Column("Ablation"),
        Column("Seed"),
        Column("Training", "s"),
        Column("Training step", "ms"),
        Column("Sampling step of a batch", "ms"),
        Column("Processor"),
        Column("Made"),
    )
    note = "Times are of the machines that ran the ablations, which need not be the one that wrote this page."
    return Table("ablation-times", "What the ablations took.", columns, tuple(rows), notes=(note,), folded=True)


def details_table(frames: Frames, metrics: list[str]) -> Table:
    """Every value of every finished ablation, seed by seed."""
    rows: list[tuple[Value, ...]] = []
    for entry in frames.ablations:
        for setting, record in entry["metrics"].items():
            found = {row["metric"]: row for row in metric_rows(record)}
            values: list[Value] = []
            for metric in metrics:
                row = found.get(metric)
                known = row is not None and row["value"] is not None
                values.append(Estimate(row["value"], row["low"], row["high"]) if row and known else NOT_RECORDED)
            n: Value = next((row["n"] for row in found.values()), NOT_RECORDED)
            links = Links(frames.pedigree.ids([ablation_place(frames.ablations_file, entry)]))
            rows.append(
                (entry["ablation"], entry["seed"], setting, record.get("features", NOT_RECORDED), *values, n, links)
            )
    metric_columns = (Column(metric_short(metric, frames.features), estimate=True) for metric in metrics)
    columns = (
        Column("Ablation"),
        Column("Seed"),
        Column("Sampler and steps"),
        Column("Features"),
        *metric_columns,
        Column("n"),
        FROM,
    )
    return Table(
        "ablations-details", "Every value of the finished ablations, seed by seed.", columns, tuple(rows), folded=True
    )
