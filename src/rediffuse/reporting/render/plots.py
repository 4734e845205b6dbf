"""Pictures of experiments: lines, dots, heat maps and strips of images, from labels and values alone."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from rediffuse.reporting.render.picture import (
    DASHES,
    MARKERS,
    WIDTH,
    Picture,
    error_bars,
    far_apart,
    finish,
    log_steps,
    mosaic,
    outside_legend,
    plain_log,
    reference_line,
    show,
    wrapped,
)
from rediffuse.reporting.terms import BASELINE, IMPROVED, OTHER, REAL, REAL_LABEL, VARIANTS
from rediffuse.reporting.values import number

PALETTE = (BASELINE, IMPROVED, *VARIANTS, OTHER)
#: How points with bars, single training seeds and the line of real images look.
EDGES: dict[str, Any] = {"elinewidth": 1.2, "markeredgecolor": "white", "markeredgewidth": 0.6}
SEEDS: dict[str, Any] = {"markersize": 9, "linestyle": "none", "zorder": 3}
REAL_LINE: dict[str, Any] = {"color": REAL, "linestyle": (0, (6, 3)), "linewidth": 1.3, "zorder": 1}


@dataclass(frozen=True)
class Point:
    """A value with the ends of its interval; x, series: what it is drawn at, and as part of what, in one word or more.

    seeds: the values of single training seeds, where it is the mean of several.
    """

    x: float | str
    series: tuple[str, ...]
    value: float
    ends: tuple[float, float]
    seeds: tuple[float, ...] = ()


@dataclass(frozen=True)
class Panel:
    """A metric: what its axis says, its values, that of real images if there is one,
    and whether ratios mean anything.
    """

    y: str
    points: Sequence[Point]
    real: float | None = None
    may_be_log: bool = True

    @property
    def shows_real(self) -> bool:
        """Whether the line of real images lies near enough not to press the values together."""
        lowest = min(point.ends[0] for point in self.points)
        return self.real is not None and (lowest <= 0 or self.real > lowest / 5)


@dataclass(frozen=True)
class Drawing:
    """What every picture of an experiment says: its file, axis, caption and metrics."""

    name: str
    x: str
    caption: str
    panels: tuple[Panel, ...] = ()

    @property
    def series(self) -> list[tuple[str, ...]]:
        """Those of all panels, in order."""
        return list(dict.fromkeys(point.series for panel in self.panels for point in panel.points))

    @property
    def y(self) -> str:
        """The metrics, for those who cannot see them."""
        return " and ".join(" ".join(panel.y.split()) for panel in self.panels)


def line(drawing: Drawing, steps: bool, ticks: Sequence[float] = ()) -> Picture:
    """Values against a number, a line for each series; on a logarithmic axis if it is of `steps`, or goes far.

    ticks: where numbers stand at such an axis, if not at each.
    """
    count, looks = len(drawing.panels), _looks(drawing.series)
    figure, grid = plt.subplots(1, count, figsize=(WIDTH, 4.8 if count == 1 else 4.2), squeeze=False)
    numbers = sorted({float(point.x) for panel in drawing.panels for point in panel.points})
    far = steps or (numbers[0] > 0 and numbers[-1] > 20 * numbers[0])
    shift = _shift(np.log(numbers) if far else np.array(numbers), len(looks))
    for axes, panel in zip(grid[0], drawing.panels, strict=True):
        for place, (name, look) in enumerate(looks.items()):
            own = sorted((p for p in panel.points if p.series == name), key=lambda p: float(p.x))
            # Moved sideways a little, so that bars at one number can be told apart.
            by = shift * (place - (len(looks) - 1) / 2)
            x = [float(p.x) * float(np.exp(by)) if far else float(p.x) + by for p in own]
            if own:
                error_bars(axes, x, [p.value for p in own], [p.ends for p in own], **EDGES, **look)
            for at, point in zip(x, own, strict=True):
                axes.plot([at] * len(point.seeds), point.seeds, marker="_", **SEEDS, color=look["color"])
        _scale(axes, panel, "y")
        if panel.shows_real:
            label = REAL_LABEL.replace(" real", "\nreal") if count == 1 else ""
            reference_line(axes, float(panel.real or 0), label, REAL)
        if far:
            log_steps(axes, ticks or numbers)
        else:
            axes.set_xticks(numbers, [f"{n:g}" for n in numbers])
        axes.set(xlabel=drawing.x, ylabel=panel.y)
    _legend(figure, drawing, looks, real=count > 1)
    return finish(figure, drawing.name, drawing.caption, f"Lines of {drawing.y} against {drawing.x}.")


def dots(drawing: Drawing) -> Picture:
    """A row of dots with intervals for each x, the series side by side."""
    every = [point for panel in drawing.panels for point in panel.points]
    rows, looks = list(dict.fromkeys(str(point.x) for point in every)), _looks(drawing.series)
    # Only what a row has takes room in it.
    inside = {row: list(dict.fromkeys(p.series for p in every if str(p.x) == row)) for row in rows}
    names, most = [wrapped(row, 36) for row in rows], max(map(len, inside.values()))
    height = 0.42 * max(1 + 0.25 * (most - 1), *(0.5 + 0.5 * len(name.splitlines()) for name in names))
    size = (WIDTH, 1.4 + height * len(rows))
    figure, grid = plt.subplots(1, len(drawing.panels), figsize=size, squeeze=False, sharey=True)
    for axes, panel in zip(grid[0], drawing.panels, strict=True):
        for point in panel.points:
            own, look = inside[str(point.x)], looks[point.series]
            y = rows.index(str(point.x)) + min(0.22, 0.8 / most) * (own.index(point.series) - (len(own) - 1) / 2)
            axes.plot(point.ends, [y, y], color=look["color"], linewidth=1.5, solid_capstyle="butt")
            axes.plot(point.value, y, color=look["color"], marker=look["marker"], markersize=7)
            axes.plot(point.seeds, [y] * len(point.seeds), marker="|", **SEEDS, color=look["color"])
        axes.set_yticks(range(len(rows)), names)
        axes.set_ylim(len(rows) - 0.5, -0.5)
        _scale(axes, panel, "x")
        if panel.shows_real:
            axes.axvline(float(panel.real or 0), **REAL_LINE)
        axes.set_xlabel(panel.y)
    _legend(figure, drawing, {name: {**look, "linestyle": "none"} for name, look in looks.items()}, real=True)
    return finish(figure, drawing.name, drawing.caption, f"Dots of {drawing.y}, one row for each {drawing.x}.")


def heat_map(drawing: Drawing, series: str) -> Picture:
    """A map of the first metric: x to the right, series downwards; the number stands in each field."""
    points = drawing.panels[0].points
    columns, rows = list(dict.fromkeys(str(p.x) for p in points)), list(dict.fromkeys(p.series for p in points))
    values = np.full((len(rows), len(columns)), np.nan)
    for point in points:
        values[rows.index(point.series), columns.index(str(point.x))] = point.value
    figure, axes = plt.subplots(figsize=(WIDTH, 1.5 + 0.5 * len(rows)))
    known = values[np.isfinite(values)]
    norm = LogNorm(known.min(), known.max()) if known.min() > 0 and known.max() > 4 * known.min() else None
    words = [[number(v) if np.isfinite(v) else "" for v in row] for row in values]
    look = {"linewidths": 1.5, "linecolor": "white"}
    sns.heatmap(values, annot=np.array(words), fmt="", cmap="cividis_r", norm=norm, ax=axes, **look)
    axes.set_xticklabels([wrapped(name, max(8, 72 // len(columns))) for name in columns], rotation=0)
    axes.set_yticklabels([wrapped(", ".join(name), 36) for name in rows], rotation=0)
    if norm is not None:
        # Plain numbers; the names of powers of ten would be taken for text.
        plain_log(figure.axes[-1])
    axes.tick_params(length=0)
    axes.set(title=drawing.panels[0].y, xlabel=drawing.x, ylabel=series)
    return finish(figure, drawing.name, drawing.caption, f"A map of {drawing.y} by {series} and {drawing.x}.")


def strips(drawing: Drawing, images: Sequence[tuple[str, np.ndarray | None]]) -> Picture:
    """A strip of images (uint8 [N, C, H, W]) for each name."""
    figure, grid = plt.subplots(len(images), 1, figsize=(WIDTH, 0.4 + 0.95 * len(images)), squeeze=False)
    for axes, (name, found) in zip(grid[:, 0], images, strict=True):
        show(axes, None if found is None else mosaic(found, len(found)))
        axes.text(-0.01, 0.5, wrapped(name, 36), ha="right", va="center", fontsize=9.5, transform=axes.transAxes)
    return finish(figure, drawing.name, drawing.caption, f"Strips of images, one for each {drawing.x}.", raster=True)


def _shift(places: np.ndarray, series: int) -> float:
    """How far one series lies beside the next: a hundredth of the axis, less where numbers or series lie dense."""
    if series < 2 or len(places) < 2:
        return 0.01
    return float(min((places[-1] - places[0]) / 100, 0.2 * np.diff(places).min() / (series - 1)))


def _looks(series: Sequence[tuple[str, ...]]) -> dict[tuple[str, ...], dict[str, Any]]:
    """Colour, marker and dashes of each series.

    Where the first word of several comes back with other words, it has the colour and the other words the marker.
    """
    heads, tails = (
        list(dict.fromkeys(part)) for part in ((name[:1] for name in series), (name[1:] for name in series))
    )
    crossed = len(heads) < len(series) and len(tails) < len(series)
    looks = {}
    for place, name in enumerate(series):
        colour, again = (heads.index(name[:1]), tails.index(name[1:])) if crossed else (place, place // len(PALETTE))
        marker = again if crossed else place + again
        looks[name] = {
            "color": PALETTE[colour % len(PALETTE)],
            "marker": MARKERS[marker % len(MARKERS)],
            "linestyle": DASHES[again % len(DASHES)],
        }
    return looks


def _legend(figure: Figure, drawing: Drawing, looks: dict[tuple[str, ...], dict[str, Any]], real: bool) -> None:
    """What the series are, where there are several; and the line of real images, where no margin says so."""
    many = len(looks) > 1
    handles = [Line2D([], [], label=", ".join(name), **look) for name, look in looks.items() if many]
    if real and any(panel.shows_real for panel in drawing.panels):
        handles.append(Line2D([], [], label=REAL_LABEL, **REAL_LINE))
    outside_legend(figure, handles, columns=4)


def _scale(axes: Axes, panel: Panel, which: str) -> None:
    """Logarithmic where values lie far apart."""
    values, lowest = [point.value for point in panel.points], min(point.ends[0] for point in panel.points)
    if panel.may_be_log:
        far_apart(axes, values, lowest, which)
