"""One estimate for each run, setting and metric, whatever the number of training seeds."""

from dataclasses import dataclass
from typing import Any, cast

import pandas as pd

from rediffuse.evaluation.intervals import t_half_width, t_interval
from rediffuse.evaluation.metrics import RUN_METRICS
from rediffuse.reporting.read.frames import Frames
from rediffuse.reporting.read.trained import pooled, trained_rows
from rediffuse.reporting.values import NOT_ASKED, NOT_RECORDED, NOT_RUN, Estimate, Value, counted, number, whole


@dataclass(frozen=True)
class Part:
    """What one training seed gave (None: nothing was trained).

    groups: values whose mean it is, each of n images of its own. per_image: where images have a value by themselves,
    that of each, of the same images in every run.
    """

    seed: int | None
    value: float
    groups: tuple[float, ...] = ()
    per_image: tuple[float, ...] = ()


@dataclass(frozen=True)
class Cell:
    """A metric of a run and setting.

    value, low, high: over groups of n images for one training seed; the mean of the seeds' values and their t-interval
    where there are several. low and high are None where nothing says how far the value would move. parts: what it was
    made of, seed by seed.
    """

    run: str
    setting: str
    metric: str
    value: float
    low: float | None
    high: float | None
    n: int
    seeds: tuple[int, ...]
    interval: str
    files: tuple[str, ...]
    parts: tuple[Part, ...] = ()

    @property
    def name(self) -> str:
        """As a claim names it."""
        return f"{self.run}/{self.setting}"

    @property
    def half(self) -> float:
        """Half the width of its interval; 0 where it has none."""
        low, high = bounds(self)
        return (high - low) / 2


#: What the interval of a number is called that is counted, not measured.
EXACT = "exact"
Cells = dict[tuple[str, str, str], Cell]


def all_cells(frames: Frames) -> Cells:
    """The cells of main runs, of real images and noise, and of the runs that experiments trained.

    A trained run that changes nothing but the seed has the seeds of its main run too.
    """
    measured, rows = frames.measured(), trained_rows(frames)
    if not len(rows):
        return make_cells(measured)
    shared = []
    for (other, name), (run, setting) in pooled(frames.loaded).items():
        if ((rows["run"] == other) & (rows["setting"] == name)).any():
            own = measured[(measured["run"] == run) & (measured["setting"] == setting)]
            shared.append(own.assign(run=other, setting=name))
    return make_cells(pd.concat([measured, *shared, rows]))


def make_cells(quality: pd.DataFrame) -> Cells:
    """All cells of a quality frame; metrics without a value have none."""
    cells: Cells = {}
    for name, rows in quality.groupby(["run", "setting", "metric"], sort=False):
        run, setting, metric = map(str, cast(tuple[str, str, str], name))
        rows = rows[pd.to_numeric(rows["value"], errors="coerce").notna()]
        if len(rows):
            cells[run, setting, metric] = _cell(run, setting, metric, rows)
    return cells


def _cell(run: str, setting: str, metric: str, rows: pd.DataFrame) -> Cell:
    parts = tuple(_part(row) for _, row in rows.iterrows())
    seeds = tuple(part.seed for part in parts if part.seed is not None)
    files, n, row = tuple(rows["file"]), int(rows["n"].iloc[0]), rows.iloc[0]
    if len(parts) == 1:
        low, high = optional(row["low"]), optional(row["high"])
        return Cell(run, setting, metric, parts[0].value, low, high, n, seeds, str(row["interval"]), files, parts)
    values = [part.value for part in parts]
    if row["interval"] == EXACT and len(set(values)) == 1:
        return Cell(run, setting, metric, values[0], values[0], values[0], n, seeds, EXACT, files, parts[:1])
    half, mean = t_half_width(values), sum(values) / len(values)
    text = t_interval(f"{len(values)} training seeds")
    return Cell(run, setting, metric, mean, mean - half, mean + half, n, seeds, text, files, parts)


def _part(row: "pd.Series[Any]") -> Part:
    seed = None if pd.isna(row["seed"]) else int(row["seed"])
    groups, images = (tuple(v) if isinstance(v := row.get(k), list) else () for k in ("group_values", "per_image"))
    return Part(seed, float(row["value"]), groups, images)


def optional(value: Any) -> float | None:
    """A number, or None for what a frame holds where there is none."""
    return None if value is None or pd.isna(value) else float(value)


def bounds(cell: Cell) -> tuple[float, float]:
    """Ends of a cell's interval, both its value when it has none."""
    low = cell.value if cell.low is None else cell.low
    return low, cell.value if cell.high is None else cell.high


def made_of(cell: Cell) -> str:
    """From how many images, and seeds where there are several: as it follows a value in brackets."""
    if cell.interval == EXACT:
        return ""
    seeds = f", {counted(len(cell.seeds), 'seed')}" if len(cell.seeds) > 1 else ""
    return f", n = {cell.n}{seeds}"


def estimate(cell: Cell | None, asked: bool = True) -> Value:
    """A cell as a table shows it: "not run" when it is missing, a dash when the study does not ask for it."""
    if cell is None:
        return NOT_RUN if asked else NOT_ASKED
    if cell.interval == EXACT:
        return int(cell.value) if cell.value.is_integer() else cell.value
    return Estimate(cell.value, cell.low, cell.high)


def is_numberless(cells: Cells, run: str, setting: str, metric: str) -> bool:
    """Whether a network was measured, and by this metric of its own has no number (gradient noise without a signal)."""
    there = any((run, setting) == place[:2] for place in cells)
    return metric in RUN_METRICS and there and (run, setting, metric) not in cells


def written(cell: Cell) -> str:
    """A value in a sentence, with its interval where that has a width."""
    if cell.interval == EXACT and cell.value.is_integer():
        return whole(int(cell.value))
    return number(cell.value) if not cell.half else str(Estimate(cell.value, cell.low, cell.high))


def recorded(value: Any, kind: type[int] | type[float] = float) -> Value:
    """A number of a frame as a table shows it: "not recorded" where there is none."""
    known = optional(value)
    return NOT_RECORDED if known is None else kind(known)
