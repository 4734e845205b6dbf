"""What an experiment found: a row for each of its members, and the answer in a few sentences."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from rediffuse.config import LoadedStudy, ResolvedRun
from rediffuse.config.claims import has
from rediffuse.config.expand import Member, Planned
from rediffuse.evaluation.metrics import metric_short
from rediffuse.reporting.experiments.cells import Cell, Cells, made_of
from rediffuse.reporting.experiments.comparison import contest
from rediffuse.reporting.experiments.contrasts import Comparison, compare
from rediffuse.reporting.experiments.material import Material
from rediffuse.reporting.read.frames import Frames, final_loss, of_run
from rediffuse.reporting.read.records import parameter_count
from rediffuse.reporting.terms import (
    RUN_SETTINGS,
    axis_title,
    axis_value,
    capital,
    cell_label,
    direction,
    run_label,
    setting_words,
)
from rediffuse.reporting.values import NOT_RECORDED, NOT_RUN, Value, counted, listed, number, setting_text, signed

COMMAND = "snakemake --cores 8 ablations"
#: More runs than these do not fit side by side.
MOST_SIDES = 3
#: Numbers of steps from which on it is told how few do.
LEAST_STEPS = 4


@dataclass(frozen=True)
class Row:
    """A member of an experiment. labels: its value at each axis, in words; names: what each says in a sentence; cells: by
    metric, None where there is none; parameters, loss, state: of the network that was trained for it.
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
        return ", ".join(name for place, name in enumerate(self.names) if place != without)


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
        """The runs that stand side by side, which all are sampled in some ways: label by name; none where it is not so."""
        axes = self.planned.axes
        if (across := self.place("run")) is None or len(axes) == 1 or not all(map(_is_sampling, {*axes} - {"run"})):
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
    for member in planned.members:
        labels = tuple(
            axis_value(loaded, planned.asks, axis, value) for axis, value in zip(planned.axes, member.at, strict=True)
        )
        names = tuple(_said(axis, *pair) for axis, *pair in zip(planned.axes, member.at, labels, strict=True))
        cells = {metric: _cell(material.cells, member, metric) for metric in planned.asks.metrics}
        rows.append(Row(member, labels, names, cells, *_training(material, loaded.run(member.run))))
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
        parts.append("kept under changed code")
    return "; ".join(parts)


def answers(frames: Frames, result: Result) -> list[str]:
    """What the values say, in sentences; what is missing, and how it is made."""
    known = result.known()
    members = [row.member for row in result.rows if row.cells[result.main] is None]
    # A metric of classes is asked of those runs alone that have it.
    absent = [member for member in members if has(result.main, frames.loaded.run(member.run), member.setting)]
    tail = []
    if absent:
        there = {row.member.run for row, _ in known}
        trains = {member.run for member in absent} & set(frames.loaded.ablations)
        # A run of which nothing is there is named alone; of others, what is missing.
        missing = list(
            dict.fromkeys(
                cell_label(frames.loaded, member.run, member.setting)
                if member.run in there
                else run_label(frames.loaded, member.run)
                for member in absent
            )
        )
        how = f"; `{COMMAND}`, then `dvc repro`, makes {'it' if len(missing) == 1 else 'them'}" if trains else ""
        tail = [f"Not run: {listed(missing)}{how}."]
    if len(known) < 2:
        return [_alone(frames, result, *one) for one in known] + tail
    short, several = metric_short(result.main, frames.features), _over_seeds(result)
    if len(sides := result.sides()) == 2:
        return several + _contests(frames, result, sides) + _fewest(result) + tail
    beside = _beside_base(frames.loaded, result, short) if result.planned.trains else []
    return several + (beside or _best(result, short)) + _fewest(result) + tail


def _alone(frames: Frames, result: Result, row: Row, cell: Cell) -> str:
    spread = (
        f", from {number(cell.low)} to {number(cell.high)}" if cell.low is not None and cell.high is not None else ""
    )
    of = counted(len(cell.seeds), "training seed")
    who = f"{capital(row.name())}: " if row.names else ""
    short = metric_short(result.main, frames.features)
    return f"{who}{short} {number(cell.value)}{spread} ({cell.interval}; {of}, n = {cell.n})."


def _over_seeds(result: Result) -> list[str]:
    """How far training again moves the values, where the experiment names seeds of its own."""
    found = [(row.name(), [part.value for part in cell.parts]) for row, cell in result.known() if len(cell.parts) > 1]
    if result.planned.asks.seeds is None or not found:
        return []
    spreads = sorted(
        (100 * float(np.std(values, ddof=1)) / abs(float(np.mean(values))), name) for name, values in found
    )
    (least, calm), (most, wild) = spreads[0], spreads[-1]
    to = f" ({calm}) to {number(most, 2)} % ({wild})" if len(spreads) > 1 else ""
    of = counted(len(found[0][1]), "training seed")
    return [f"Over {of} the standard deviation of a value is {number(least, 2)} %{to} of its mean."]


def _fewest(result: Result) -> list[str]:
    """How few steps do: down to which number none is clearly worse than the most."""
    if (steps := result.place("steps")) is None:
        return []
    series: dict[str, dict[int, Cell]] = {}
    for row, cell in result.known():
        if isinstance(count := row.member.at[steps], int):
            series.setdefault(row.name(steps), {})[count] = cell
    found = {}
    for name, cells in series.items():
        counts = sorted(cells, reverse=True)
        worse = (place for place, n in enumerate(counts) if compare(cells[n], cells[counts[0]]).outcome == "worse")
        fewest = counts[next(worse, len(counts)) - 1]
        if len(counts) >= LEAST_STEPS:
            found[f"{fewest} of {counts[0]} steps{' with ' * bool(name)}{name}"] = fewest < counts[0]
    if not found:
        return []
    fewer = [text for text, less in found.items() if less]
    if not fewer:
        return ["Every smaller number of steps is clearly worse than the most."]
    rest = "; elsewhere every smaller number is clearly worse" if len(fewer) < len(found) else ""
    return [f"How few are not clearly worse than the most: {listed(fewer)}{rest}."]


def _contests(frames: Frames, result: Result, sides: dict[str, str]) -> list[str]:
    """Two runs that are sampled in the same ways, by each metric."""
    both = [(line[first], line[second]) for line in result.lines() for first, second in [sides] if len(line) == 2]
    words = [setting_words(frames.loaded, two.member.run, two.member.setting) for _, two in both]
    labels = list(sides.values())
    return [
        contest(
            frames,
            metric,
            (labels[0], labels[1]),
            [(text, one.cells[metric], two.cells[metric]) for text, (one, two) in zip(words, both, strict=True)],
        )
        for metric in result.planned.asks.metrics
    ]


def _best(result: Result, short: str) -> list[str]:
    """Which is best, and which are clearly worse; of few and of many steps, where steps are varied beside other things."""
    steps = result.place("steps")
    if steps is None or len(result.planned.axes) == 1:
        return [_best_of(result.known(), result.main, short)]
    numbers = sorted({n for row, _ in result.known() if isinstance(n := row.member.at[steps], int)})
    chosen = dict.fromkeys((*numbers[-1:], *numbers[:1]))
    groups = {n: [(row, cell) for row, cell in result.known() if row.member.at[steps] == n] for n in chosen}
    texts = [_best_of(group, result.main, short, steps) for group in groups.values() if len(group) > 1]
    return texts or [_best_of(result.known(), result.main, short)]


def _best_of(known: list[tuple[Row, Cell]], metric: str, short: str, steps: int | None = None) -> str:
    sign = 1 if direction(metric) == "lower" else -1
    ranked = sorted(known, key=lambda pair: sign * pair[1].value)
    (row, cell), others = ranked[0], ranked[1:]
    near = [other.name(steps) for other, theirs in others if compare(cell, theirs).outcome != "better"]
    where = "" if steps is None else f"With {row.names[steps]} "
    name = row.name(steps) if where else capital(row.name())
    text = f"{where}{name} is best ({short} {number(cell.value)}{made_of(cell)})"
    if len(near) == len(others) > 1:
        text = f"{where}{'no' if where else 'No'} value is clearly better than the others; the best is that of {row.name(steps)}"
        return f"{text} ({short} {number(cell.value)}{made_of(cell)})."
    if not near:
        return f"{text}, clearly better than {'all others' if len(others) > 1 else others[0][0].name(steps)}."
    fewer = len(near) < len(others)
    apart = f", clearly better than {len(others) - len(near)} of the {len(others)} others" if fewer else ""
    shown = near if len(near) <= 5 else [*near[:4], f"{len(near) - 4} more"]
    return f"{text}{apart}; not clearly apart from {listed(shown)}."


def _arm(result: Result, row: Row) -> str:
    """What was changed in training: its name without how it is sampled, and of which run."""
    names = zip(result.planned.axes, row.names, strict=True)
    return ", ".join(name for axis, name in names if axis != "run" and not _is_sampling(axis))


def _is_sampling(axis: str) -> bool:
    return axis == "steps" or axis.startswith("sampler")


def _sampled(result: Result, row: Row) -> tuple[Any, ...]:
    """How it is sampled, as far as that is varied; runs may call one way by several names."""
    return tuple(value for axis, value in zip(result.planned.axes, row.member.at, strict=True) if _is_sampling(axis))


def _start(loaded: LoadedStudy, result: Result, row: Row) -> str:
    """The run that a row's way of training starts from."""
    if "run" in result.planned.axes:
        return str(row.member.at[result.planned.axes.index("run")])
    starts = result.planned.asks.starts()
    return starts[0] if starts else next(run.name for run in loaded.runs.values() if run.role == "baseline")


def _untouched(loaded: LoadedStudy, name: str) -> str | None:
    """The main run that a run is, with whatever seeds; None where anything was changed for its training."""
    run = loaded.run(name)
    return None if run.overrides else run.of or name


def _beside_base(loaded: LoadedStudy, result: Result, short: str) -> list[str]:
    """Each way beside the run that it starts from, one sentence for each way of sampling; of three or more the one that
    changes most.
    """
    texts: list[str] = []
    bases = {
        (_start(loaded, result, row), _sampled(result, row)): (row, cell)
        for row, cell in reversed(
            result.known()
        )  # the run itself comes first, before ways that only sample it differently
        if _untouched(loaded, row.member.run) == _start(loaded, result, row)
    }
    for (of, way), (base, theirs) in reversed(bases.items()):
        found: dict[str, list[str]] = {"better": [], "worse": [], "undecided": []}
        clear: list[tuple[float, str]] = []
        for row, cell in result.known():
            start = _start(loaded, result, row)
            changed = start != _untouched(loaded, row.member.run) or (_arm(result, row) != _arm(result, base))
            if start == of and changed and _sampled(result, row) == way:
                comparison: Comparison = compare(cell, theirs)
                change = f" ({signed(100 * (cell.value / theirs.value - 1))} %)" if theirs.value > 0 else ""
                found[comparison.outcome].append(f"{_arm(result, row)}{change}")
                if comparison.outcome != "undecided" and min(cell.value, theirs.value) > 0:
                    clear.append((abs(math.log(cell.value / theirs.value)), found[comparison.outcome][-1]))
        parts = [
            f"{words} {listed(found[outcome])}"
            for outcome, words in (
                ("better", "clearly better:"),
                ("worse", "clearly worse:"),
                ("undecided", "not decided:"),
            )
            if found[outcome]
        ]
        if parts:
            most = f" What changes it most: {max(clear)[1]}." if sum(map(len, found.values())) > 2 and clear else ""
            against = f"Against {base.name()} ({short} {number(theirs.value)}{made_of(theirs)})"
            texts.append(f"{against}: {'; '.join(parts)}.{most}")
    return texts
