"""One estimate for each run, setting and metric, whatever the number of training seeds; and how two compare."""

from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import pandas as pd

from rediffuse.evaluation.intervals import t_half_width, t_interval
from rediffuse.reporting.terms import direction
from rediffuse.reporting.values import NOT_ASKED, NOT_RECORDED, NOT_RUN, Estimate, Value, decimals


@dataclass(frozen=True)
class Cell:
    """A metric of a run and setting.

    value, low, high: over groups of n images for one training seed; the mean of the seeds' values and their t-interval
    where there are several. low and high are None where nothing says how far the value would move. per_image: of one
    seed, the values whose mean it is, of the same images in every run; empty where images have no value by themselves.
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
    per_image: tuple[float, ...] = ()

    @property
    def name(self) -> str:
        """As a claim names it."""
        return f"{self.run}/{self.setting}"


Cells = dict[tuple[str, str, str], Cell]


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
    seeds = tuple(int(seed) for seed in rows["seed"] if not pd.isna(seed))
    files, n = tuple(rows["file"]), int(rows["n"].iloc[0])
    if len(rows) == 1:
        row = rows.iloc[0]
        low, high = optional(row["low"]), optional(row["high"])
        values = row.get("per_image")
        per_image = tuple(values) if isinstance(values, list) else ()
        value, interval = float(row["value"]), str(row["interval"])
        return Cell(run, setting, metric, value, low, high, n, seeds, interval, files, per_image)
    values = rows["value"].astype(float).to_numpy()
    half = t_half_width(values)
    mean = float(values.mean())
    text = t_interval(f"{len(values)} training seeds")
    return Cell(run, setting, metric, mean, mean - half, mean + half, n, seeds, text, files)


def optional(value: Any) -> float | None:
    """A number, or None for what a frame holds where there is none."""
    return None if value is None or pd.isna(value) else float(value)


@dataclass(frozen=True)
class Comparison:
    """How a first cell stands against a second.

    outcome: "better" or "worse" when the intervals are apart (or, of the same images, when that of their differences
    leaves out 0), "undecided" otherwise; leaning: "better", "worse" or "equal", by the values alone; reason: why.
    """

    outcome: str
    leaning: str
    reason: str


def compare(first: Cell, second: Cell) -> Comparison:
    """Compare two cells of one metric. A cell without an interval counts as a point if the other has one."""
    sign = 1.0 if direction(first.metric) == "lower" else -1.0
    difference = sign * (second.value - first.value)
    leaning = "better" if difference > 0 else "worse" if difference < 0 else "equal"
    if first.n != second.n:
        return Comparison("undecided", leaning, f"the numbers of images differ ({first.n} and {second.n})")
    if first.low is None and second.low is None:
        return Comparison("undecided", leaning, "neither value has an interval")
    if first.per_image and len(first.per_image) == len(second.per_image) > 1:
        return _compare_images(first, second, leaning)
    (low1, high1), (low2, high2) = bounds(first), bounds(second)
    if high1 < low2 or high2 < low1:
        return Comparison(leaning, leaning, "the intervals are apart")
    return Comparison("undecided", leaning, "the intervals overlap")


def _compare_images(first: Cell, second: Cell, leaning: str) -> Comparison:
    """By the differences image by image: what makes an image hard for both does not blur them (the paired t-test)."""
    differences = np.subtract(second.per_image, first.per_image)
    mean, half = float(differences.mean()), t_half_width(differences)
    places = decimals(mean)
    found = f"the mean difference on the same {len(differences)} images is {mean:.{places}f}"
    text = f"{found} [{mean - half:.{places}f}, {mean + half:.{places}f}]"
    return Comparison(leaning if abs(mean) > half else "undecided", leaning, text)


def bounds(cell: Cell) -> tuple[float, float]:
    """Ends of a cell's interval, both its value when it has none."""
    low = cell.value if cell.low is None else cell.low
    return low, cell.value if cell.high is None else cell.high


def estimate(cell: Cell | None, asked: bool = True) -> Value:
    """A cell as a table shows it: "not run" when it is missing, a dash when the study does not ask for it."""
    if cell is None:
        return NOT_RUN if asked else NOT_ASKED
    return Estimate(cell.value, cell.low, cell.high)


def recorded(value: Any, kind: type[int] | type[float] = float) -> Value:
    """A number of a frame as a table shows it: "not recorded" where there is none."""
    known = optional(value)
    return NOT_RECORDED if known is None else kind(known)
