"""What an experiment found: a row for each of its members."""

import functools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from rediffuse.config import ResolvedRun
from rediffuse.config.expand import Member, Planned
from rediffuse.reporting.experiments.cells import Cell, Cells
from rediffuse.reporting.experiments.material import Material
from rediffuse.reporting.read.frames import final_loss, of_run
from rediffuse.reporting.read.records import parameter_count
from rediffuse.reporting.terms import RUN_SETTINGS, axis_title, axis_value, is_sampling
from rediffuse.reporting.values import NOT_ASKED, NOT_RECORDED, NOT_RUN, Value, counted, setting_text

COMMAND = "snakemake --cores 8 ablations"
#: The state of a training that was accepted under other code than today's.
KEPT = "kept under changed code"
#: More runs than these do not fit side by side.
MOST_SIDES = 3


@dataclass(frozen=True)
class Row:
    """A member of an experiment. labels: its value at each axis, in words; names: what each says in a sentence; cells:
    by metric, None where there is none; parameters, loss, state: of the network that was trained for it.
    """

    member: Member
    labels: tuple[str, ...]
    names: tuple[str, ...]
    cells: dict[str, Cell | None]
    parameters: Value
    loss: Value
    state: str

    def name(self, without: int | None = None) -> str:
        """What tells it from the others, but for one axis."""
        return ", ".join(name for place, name in enumerate(self.names) if place != without and name != NOT_ASKED)


@dataclass(frozen=True)
class Result:
    """An experiment with what was found."""

    planned: Planned
    titles: tuple[str, ...]
    rows: tuple[Row, ...]

    @property
    def main(self) -> str:
        """The metric that is drawn, and that the answer speaks of."""
        return self.planned.asks.metrics[0]

    def known(self) -> list[tuple[Row, Cell]]:
        """The rows that have a value of it."""
        return [(row, cell) for row in self.rows if (cell := row.cells[self.main]) is not None]

    def place(self, axis: str) -> int | None:
        """Where an axis stands in `labels`."""
        return self.planned.axes.index(axis) if axis in self.planned.axes else None

    def sides(self) -> dict[str, str]:
        """The runs that stand side by side, which all are sampled in some ways: label by name;
        none where it is not so.
        """
        axes = self.planned.axes
        if (across := self.place("run")) is None or len(axes) == 1 or not all(map(is_sampling, {*axes} - {"run"})):
            return {}
        sides = {str(row.member.at[across]): row.labels[across] for row in self.rows}
        return sides if len(sides) <= MOST_SIDES else {}

    def lines(self) -> list[dict[str, Row]]:
        """The rows, those of one way of sampling side by side by the name of the run; each by itself where none are."""
        across = self.place("run") if self.sides() else None
        found: dict[tuple[str, ...], dict[str, Row]] = {}
        for row in self.rows:
            labels = tuple(label for place, label in enumerate(row.labels) if place != across)
            name = str(row.member.at[across]) if across is not None else ""
            found.setdefault(labels if across is not None else (row.member.cell,), {})[name] = row
        return list(found.values())


def result_of(material: Material, planned: Planned) -> Result:
    """The result of an experiment."""
    loaded, rows = material.loaded, []
    training = functools.cache(lambda run: _training(material, loaded.run(run)))
    for member in planned.members:
        labels = tuple(
            axis_value(loaded, planned.asks, axis, value) for axis, value in zip(planned.axes, member.at, strict=True)
        )
        names = tuple(_said(axis, *pair) for axis, *pair in zip(planned.axes, member.at, labels, strict=True))
        cells = {metric: _cell(material.cells, member, metric) for metric in planned.asks.metrics}
        rows.append(Row(member, labels, names, cells, *training(member.run)))
    return Result(planned, tuple(axis_title(axis) for axis in planned.axes), tuple(rows))


def _said(axis: str, value: Any, label: str) -> str:
    """A value in a sentence: "50 steps", "η = 0.3", "DDIM"."""
    if axis == "steps":
        return label if isinstance(value, str) else f"{label} steps"
    return f"{axis_title(axis)} = {label}" if isinstance(value, int | float | tuple) else label


def _cell(cells: Cells, member: Member, metric: str) -> Cell | None:
    return cells.get((member.run, RUN_SETTINGS.get(metric, member.setting), metric))


def _training(material: Material, run: ResolvedRun) -> tuple[Value, Value, str]:
    """Parameters, loss at the end and state of a run."""
    frames = material.frames
    if run.role != "ablation":
        history = [part for seed in run.seeds if len(part := of_run(frames.history, run, seed))]
        return parameter_count(frames, run), _mean(final_loss(part) for part in history), "" if history else NOT_RUN
    done = [entry for entry in frames.ablations if entry["ablation"] == run.name and entry["seed"] in run.seeds]
    absent = NOT_RECORDED if done else NOT_RUN
    parameters = next((entry["parameters"] for entry in done if entry.get("parameters")), absent)
    loss = _mean((entry["final_loss"] for entry in done if entry.get("final_loss") is not None), absent)
    return parameters, loss, _state(run, done, material.keys)


def _mean(values: Iterable[float], absent: str = NOT_RECORDED) -> Value:
    found = list(values)
    return sum(found) / len(found) if found else absent


def _state(run: ResolvedRun, done: list[dict[str, Any]], keys: Mapping[tuple[str, int], str]) -> str:
    """What a reader must know of a training: nothing where all is as it should be."""
    if not done:
        return NOT_RUN
    kept = {entry["seed"]: (entry.get("overrides"), (entry.get("keys") or {}).get("train")) for entry in done}
    stale = [seed for seed, found in kept.items() if found != (run.overrides, keys.get((run.name, seed)))]
    parts = [] if len(done) == len(run.seeds) else [f"{len(done)} of {counted(len(run.seeds), 'seed')}"]
    if stale:
        parts.append("made with other settings or code" + (f" (seed {setting_text(stale)})" if len(done) > 1 else ""))
    elif any(entry.get("accepted") for entry in done):
        parts.append(KEPT)
    return "; ".join(parts)
