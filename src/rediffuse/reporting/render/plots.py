"""Pictures of experiments: lines, dots, heat maps and strips of images, from labels and values alone."""

from collections.abc import Sequence
from dataclasses import dataclass

import matplotlib.pyplot as plt
import numpy as np
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm

from rediffuse.reporting.render.picture import (
    DASHES,
    MARKERS,
    WIDTH,
    Picture,
    error_bars,
    finish,
    handle,
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


@dataclass(frozen=True)
class Point:
    """A value with the ends of its interval; x, series: what it is drawn at, and as part of what."""

    x: float | str
    series: str
    value: float
    ends: tuple[float, float]


@dataclass(frozen=True)
class Drawing:
    """What every picture of an experiment says: its file, axes, caption, and the line of real images if there is one."""

    name: str
    x: str
    y: str
    caption: str
    real: float | None = None


def line(drawing: Drawing, points: Sequence[Point], steps: bool, ticks: Sequence[float] = ()) -> Picture:
    """Values against a number, a line for each series; on a logarithmic axis if it is of `steps`, or goes far.

    ticks: where numbers stand at such an axis, if not at each.
    """
    figure, axes = plt.subplots(figsize=(WIDTH, 4.8))
    series = list(dict.fromkeys(point.series for point in points))
    numbers = sorted({float(point.x) for point in points})
    far = steps or (numbers[0] > 0 and numbers[-1] > 20 * numbers[0])
    shift = _shift(np.log(numbers) if far else np.array(numbers), len(series))
    for place, name in enumerate(series):
        own = sorted((p for p in points if p.series == name), key=lambda p: float(p.x))
        # Moved sideways a little, so that bars at one number can be told apart.
        by = shift * (place - (len(series) - 1) / 2)
        x = [float(p.x) * float(np.exp(by)) if far else float(p.x) + by for p in own]
        error_bars(axes, x, [p.value for p in own], [p.ends for p in own], **_look(place), label=name)
    _scale(axes, points, drawing)
    if far:
        log_steps(axes, ticks or numbers)
    else:
        axes.set_xticks(numbers, [f"{n:g}" for n in numbers])
    axes.set(xlabel=drawing.x, ylabel=drawing.y)
    if len(series) > 1:
        outside_legend(figure, axes.get_legend_handles_labels()[0])
    return finish(figure, drawing.name, drawing.caption, f"Lines of {drawing.y} against {drawing.x}.")


def dots(drawing: Drawing, points: Sequence[Point]) -> Picture:
    """A row of dots with intervals for each x, the series side by side."""
    rows = list(dict.fromkeys(str(point.x) for point in points))
    series = list(dict.fromkeys(point.series for point in points))
    names = [wrapped(row, 36) for row in rows]
    lines = max(1 + 0.25 * (len(series) - 1), *(0.5 + 0.5 * len(name.splitlines()) for name in names))
    figure, axes = plt.subplots(figsize=(WIDTH, 1.6 + 0.42 * len(rows) * lines))
    for place, name in enumerate(series):
        for point in (p for p in points if p.series == name):
            y = rows.index(str(point.x)) + min(0.22, 0.8 / len(series)) * (place - (len(series) - 1) / 2)
            colour, marker = _dot(place)
            axes.plot(point.ends, [y, y], color=colour, linewidth=1.5, solid_capstyle="butt")
            axes.plot(point.value, y, color=colour, marker=marker, markersize=7)
    axes.set_yticks(range(len(rows)), names)
    axes.set_ylabel(drawing.x)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    lowest, highest = min(p.ends[0] for p in points), max(p.ends[1] for p in points)
    if lowest > 0 and highest > 4 * lowest:
        axes.set_xscale("log")
        plain_log(axes, "x")
    if drawing.real is not None and (lowest < 0 or drawing.real > lowest / 5):
        axes.axvline(drawing.real, color=REAL, linestyle=(0, (6, 3)), linewidth=1.3, zorder=1)
    axes.set_xlabel(drawing.y)
    handles = [
        handle(name, _dot(place)[0], marker=_dot(place)[1], linestyle="none")
        for place, name in enumerate(series)
        if len(series) > 1
    ]
    if drawing.real is not None:
        handles.append(handle(REAL_LABEL, REAL, linestyle=(0, (6, 3))))
    outside_legend(figure, handles)
    return finish(figure, drawing.name, drawing.caption, f"Dots of {drawing.y}, one row for each {drawing.x}.")


def heat_map(drawing: Drawing, points: Sequence[Point], series: str) -> Picture:
    """A map of values: x to the right, series downwards; the number stands in each field."""
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
    axes.set_yticklabels([wrapped(name, 36) for name in rows], rotation=0)
    if norm is not None:
        # Plain numbers; the names of powers of ten would be taken for text.
        plain_log(figure.axes[-1])
    axes.tick_params(length=0)
    axes.set(title=drawing.y, xlabel=drawing.x, ylabel=series)
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


def _dot(place: int) -> tuple[str, str]:
    """Colour and marker of a series: the markers move on where the colours begin again."""
    again = place // len(PALETTE)
    return PALETTE[place % len(PALETTE)], MARKERS[(place + again) % len(MARKERS)]


def _look(place: int) -> dict[str, object]:
    return {"elinewidth": 1.2, "markeredgecolor": "white", "markeredgewidth": 0.6, **_named(place)}


def _named(place: int) -> dict[str, object]:
    return {
        "color": PALETTE[place % len(PALETTE)],
        "marker": MARKERS[place % len(MARKERS)],
        "linestyle": DASHES[place // len(PALETTE) % len(DASHES)],
    }


def _scale(axes: Axes, points: Sequence[Point], drawing: Drawing) -> None:
    """Logarithmic where values lie far apart and above 0; the line of real images where it is near."""
    lowest, highest = min(p.ends[0] for p in points), max(p.ends[1] for p in points)
    if lowest > 0 and highest > 4 * lowest:
        axes.set_yscale("log")
        plain_log(axes)
    if drawing.real is not None and (lowest <= 0 or drawing.real > lowest / 5):
        reference_line(axes, drawing.real, REAL_LABEL.replace(" real", "\nreal"), REAL)
