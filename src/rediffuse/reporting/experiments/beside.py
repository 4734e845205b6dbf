"""Ways of training beside the run that they start from, or beside one of them, each sampled as that is."""

from dataclasses import dataclass
from typing import Any

from rediffuse.config import LoadedStudy
from rediffuse.reporting.experiments.cells import Cell
from rediffuse.reporting.experiments.contrasts import Comparison, compare
from rediffuse.reporting.experiments.results import Result, Row
from rediffuse.reporting.terms import is_sampling, is_training


@dataclass(frozen=True)
class Changed:
    """A way of training that changes something.

    name: what it changes; factor: its value over that of the run itself, None unless that is above 0; how: as compared
    with it.
    """

    name: str
    row: Row
    cell: Cell
    factor: float | None
    how: Comparison


@dataclass(frozen=True)
class Base:
    """What ways of training are held against, the run as it is or an arm, in one way of sampling; and those ways."""

    row: Row
    cell: Cell
    ways: tuple[Changed, ...]


def bases_of(loaded: LoadedStudy, result: Result) -> list[Base]:
    """What an experiment holds its ways against, for each way of sampling; nothing where it trains nothing."""
    if not result.planned.trains:
        return []
    # The run itself comes first, before ways that only sample it differently.
    bases = {
        (_start(loaded, result, row), _sampled(result, row)): (row, cell)
        for row, cell in reversed(result.known())
        if _is_base(loaded, result, row)
    }
    found = []
    for (of, way), (base, theirs) in reversed(bases.items()):
        ways = []
        for row, cell in result.known():
            start, name = _start(loaded, result, row), training_name(result, row)
            changed = not _is_base(loaded, result, row) or name != training_name(result, base)
            if result.planned.asks.against is not None and start == _untouched(loaded, row.member.run):
                continue  # arms are held against an arm
            if start == of and changed and _sampled(result, row) == way:
                factor = cell.value / theirs.value if theirs.value > 0 else None
                ways.append(Changed(name, row, cell, factor, compare(cell, theirs)))
        found.append(Base(base, theirs, tuple(ways)))
    return found


def _is_base(loaded: LoadedStudy, result: Result, row: Row) -> bool:
    if (against := result.planned.asks.against) is not None:
        return row.member.at[result.planned.axes.index("arm")] == against
    return _untouched(loaded, row.member.run) == _start(loaded, result, row)


def training_name(result: Result, row: Row) -> str:
    """What was changed in training: its name without how it is sampled, and of which run."""
    names = zip(result.planned.axes, row.names, strict=True)
    return ", ".join(name for axis, name in names if is_training(axis))


def _sampled(result: Result, row: Row) -> tuple[Any, ...]:
    """How it is sampled, as far as that is varied; runs may call one way by several names."""
    return tuple(value for axis, value in zip(result.planned.axes, row.member.at, strict=True) if is_sampling(axis))


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
