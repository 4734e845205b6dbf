"""Quality against steps and against seconds."""

from collections.abc import Iterable
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from rediffuse.config import LoadedStudy
from rediffuse.config.sampling import Setting
from rediffuse.evaluation.metrics import metric_short, metric_title
from rediffuse.reporting import terms
from rediffuse.reporting.chapters import whole_sets
from rediffuse.reporting.experiments.cells import Cell, Cells, bounds, optional, recorded
from rediffuse.reporting.experiments.comparison import main_pair, shared_settings
from rediffuse.reporting.experiments.material import Material
from rediffuse.reporting.read.frames import Frames
from rediffuse.reporting.read.timings import Timings
from rediffuse.reporting.read.trained import trained_rows
from rediffuse.reporting.render import picture
from rediffuse.reporting.render.blocks import Chapter, chapter_of
from rediffuse.reporting.render.plots import EDGES
from rediffuse.reporting.render.table import Rows, Table, headers, metric_titles
from rediffuse.reporting.values import NOT_RUN, Estimate, Value, number
from rediffuse.runs import facts


def quality_by_sampler(frames: Frames, cells: Cells) -> picture.Picture | None:
    """The main metric against the evaluations of the network, a panel for each kind of sampler.

    None where all samplers take the same number of them: there is nothing to see along an axis.
    """
    loaded, metric, asked = frames.loaded, terms.MAIN, evaluations(frames)
    panels: dict[str, list[tuple[str, str, list[tuple[float, str]]]]] = {}
    for (run, key), settings in _lines(frames, cells).items():
        kind = loaded.run(run).sampling.samplers[key].kind or key
        counted = [(asked[run, setting], setting) for setting, _, _ in settings if (run, setting) in asked]
        panels.setdefault(kind, []).append((run, key, counted))
    if len({n for lines in panels.values() for _, _, counted in lines for n, _ in counted}) < 2:
        return None
    columns = min(3, len(panels))
    rows = -(-len(panels) // columns)
    size = (picture.WIDTH, 3.7 * rows + 0.6)
    figure, grid = plt.subplots(rows, columns, figsize=size, squeeze=False, sharey=True)
    handles: dict[str, Line2D] = {}
    for axes in grid.flat[len(panels) :]:
        axes.remove()
    for place, (axes, (kind, lines)) in enumerate(zip(grid.flat, panels.items(), strict=False)):
        variants = list(dict.fromkeys(key for _, key, _ in lines))
        for run, key, counted in lines:
            notes = terms.sampler_title(loaded.run(run), key).removeprefix(terms.plain_title(kind)).strip(" ()")
            label, index = terms.run_label(loaded, run) + (f", {notes}" if notes else ""), variants.index(key)
            points = [(n, cells[run, setting, metric]) for n, setting in counted if (run, setting, metric) in cells]
            look = {"color": terms.run_colours(loaded)[run], "marker": picture.MARKERS[index % len(picture.MARKERS)]}
            look["linestyle"] = picture.DASHES[index % len(picture.DASHES)]
            found = [cell for _, cell in points]
            bars = (axes, [n for n, _ in points], [cell.value for cell in found], [bounds(cell) for cell in found])
            picture.error_bars(*bars, **{**EDGES, **look})
            handles.setdefault(label, Line2D([], [], label=label, **look))
        _reference_lines(loaded, axes, cells, metric, named=place % columns == columns - 1 or place == len(panels) - 1)
        picture.log_steps(axes, [round(n) for _, _, counted in lines for n, _ in counted])
        axes.set(title=terms.plain_title(kind), xlabel="network evaluations")
        axes.tick_params(axis="x", labelsize=9)
    _scale(frames, grid[0, 0], cells, metric)  # of what is drawn: it ends the fitting of the axis
    for axes in grid[:, 0]:
        better = terms.direction(metric)
        axes.set_ylabel(f"{metric_short(metric, frames.features)}\n({better} is better, no unit)")
    picture.outside_legend(figure, list(handles.values()), columns=4)
    title, n = metric_title(metric, frames.features), loaded.study.evaluation.group_size
    caption = (
        f"Quality against the evaluations of the network, by sampler: {title}, n = {n} images a value. The lower a "
        "line, and the flatter towards few of them, the better. Bars are the intervals of the tables; dashed lines are "
        "held-out real images and noise at the same n."
    )
    alt = f"Panels of {title} against network evaluations, one for each sampler, with a line for each run."
    return picture.finish(figure, "quality-steps", caption, alt)


def quality_against_seconds(frames: Frames, clock: Timings, cells: Cells) -> picture.Picture | None:
    """The main metric against the time that one image takes."""
    lines = _lines(frames, cells)
    times = clock.sampling.dropna(subset=["ms_per_image"]).groupby(["run", "setting"])["ms_per_image"].mean() / 1000
    figure, axes = plt.subplots(figsize=(picture.WIDTH, 5.2))
    drawn, labels = {}, []
    for (run, key), settings in lines.items():
        points = [
            (float(times[run, setting]), pace, cells[run, setting, terms.MAIN])
            for setting, _, pace in settings
            if (run, setting) in times.index and (run, setting, terms.MAIN) in cells
        ]
        if points:
            drawn[run, key] = settings
            _draw_points(frames.loaded, axes, run, key, [x for x, _, _ in points], [cell for _, _, cell in points])
            labels += [(x, cell.value, str(pace)) for x, pace, cell in points]
    if not drawn:
        plt.close(figure)
        return None
    marks = one_pass_points(frames, clock, cells, axes, terms.MAIN)
    _reference_lines(frames.loaded, axes, cells, terms.MAIN)
    _scale(frames, axes, cells, terms.MAIN)
    axes.set_xscale("log")
    picture.plain_log(axes, "x")
    picture.label_points(axes, labels)
    axes.set_xlabel("sampling time (s per image)")
    axes.set_ylabel(f"{metric_short(terms.MAIN, frames.features)}\n(lower is better, no unit)")
    title = metric_title(terms.MAIN, frames.features)
    axes.set_title(f"{terms.capital(title)}")
    picture.outside_legend(figure, _handles(frames.loaded, drawn) + marks)
    caption = (
        f"Quality against sampling time: {title} by seconds per image; the small numbers are sampling steps"
        f"{', stars are one-pass models' if marks else ''}."
    )
    alt = f"Lines of {title} against seconds per image, one for each run and sampler."
    return picture.finish(figure, "quality-seconds", caption, alt)


def evaluations(frames: Frames) -> dict[tuple[str, str], float]:
    """Network evaluations of an image by (run, setting), as counted, also of what experiments trained;
    the mean over training seeds.
    """
    counted: dict[tuple[str, str], list[float]] = {}
    for row in [*frames.quality.to_dict("records"), *trained_rows(frames).to_dict("records")]:
        if (nfe := optional(row.get("nfe"))) is not None:
            counted.setdefault((row["run"], row["setting"]), []).append(nfe)
    return {place: float(np.mean(found)) for place, found in counted.items()}


def _lines(frames: Frames, cells: Cells) -> dict[tuple[str, str], list[Setting]]:
    """(run, sampler) -> its settings, the coarsest first, for those that have a value: those that the study asks of the
    run, and of the main pair those in which the report's opening compares the two.
    """
    loaded, pair = frames.loaded, main_pair(frames)
    compared = set(shared_settings(frames, pair)) if pair else set()
    lines: dict[tuple[str, str], list[Setting]] = {}
    for run in terms.compared_runs(loaded):
        own = {name for name, _, _ in facts.comparable_settings(run)} | (compared if pair and run in pair else set())
        for setting in sorted(facts.settings(run), key=facts.fineness, reverse=True):
            if setting[0] in own and (run.name, setting[0], terms.MAIN) in cells:
                lines.setdefault((run.name, setting[1]), []).append(setting)
    order = terms.sampler_keys(loaded)
    runs = [run.name for run in terms.diffusion_runs(loaded)]
    return dict(sorted(lines.items(), key=lambda line: (runs.index(line[0][0]), order.index(line[0][1]))))


def _look(loaded: LoadedStudy, run: str, key: str) -> dict[str, Any]:
    index, colour = terms.sampler_keys(loaded).index(key), terms.run_colours(loaded)[run]
    return {
        "color": colour,
        "marker": picture.MARKERS[index % len(picture.MARKERS)],
        "linestyle": picture.DASHES[index % len(picture.DASHES)],
    }


def _draw_points(
    loaded: LoadedStudy, axes: Axes, run: str, key: str, x: list[float] | list[int], points: list[Cell]
) -> None:
    look = {**EDGES, **_look(loaded, run, key)}
    picture.error_bars(axes, x, [cell.value for cell in points], [bounds(cell) for cell in points], **look)


def _handles(loaded: LoadedStudy, lines: Iterable[tuple[str, str]]) -> list[Line2D]:
    return [
        Line2D(
            [],
            [],
            label=f"{terms.run_label(loaded, run)}, {terms.sampler_title(loaded.run(run), key)}",
            **_look(loaded, run, key),
        )
        for run, key in lines
    ]


def _scale(frames: Frames, axes: Axes, cells: Cells, metric: str) -> None:
    """Of what is compared here by a metric, real images and noise too."""
    drawn = {(run, setting) for (run, _), settings in _lines(frames, cells).items() for setting, _, _ in settings}
    drawn |= {("real", name) for name in terms.REAL_LINES}
    drawn |= {(model.name, facts.ONE_PASS[0]) for model in terms.one_pass_runs(frames.loaded)}
    chosen = [cell for (run, setting, name), cell in cells.items() if name == metric and (run, setting) in drawn]
    picture.far_apart(axes, [cell.value for cell in chosen], min(bounds(cell)[0] for cell in chosen))


def _reference_lines(loaded: LoadedStudy, axes: Axes, cells: Cells, metric: str, named: bool = True) -> None:
    colours = {"noise": terms.NOISE, "held-out": terms.REAL}
    found = [(cells.get(("real", name, metric)), colour) for name, colour in colours.items()]
    lines = [(cell, colour) for cell, colour in found if cell is not None]
    heights = [axes.transAxes.inverted().transform(axes.transData.transform((1, c.value)))[1] for c, _ in lines]
    close = len(lines) == 2 and abs(heights[0] - heights[1]) < 0.2
    for place, (cell, colour) in enumerate(lines):
        label = terms.cell_label(loaded, "real", cell.setting).replace("held-out ", "held-out\n")
        align = "center" if not close else "bottom" if heights[place] == max(heights) else "top"
        text = f"{label}\n{number(cell.value)} (n = {cell.n})" if named else ""
        picture.reference_line(axes, cell.value, text, colour, align)


def one_pass_points(frames: Frames, clock: Timings, cells: Cells, axes: Axes, metric: str) -> list[Line2D]:
    """Draw each one-pass model as a star at its seconds per image; the legend's handles."""
    handles = []
    for model in terms.one_pass_runs(frames.loaded):
        name = model.name
        rows = clock.sampling[clock.sampling["run"] == name].dropna(subset=["ms_per_image"])
        [(setting, _, _)] = facts.settings(model)
        cell = cells.get((name, setting, metric))
        if cell is None or rows.empty:
            continue
        look: dict[str, Any] = {"color": terms.run_colours(frames.loaded)[name], "marker": "*", "markersize": 12}
        seconds = float(rows["ms_per_image"].mean()) / 1000
        picture.error_bars(axes, [seconds], [cell.value], [bounds(cell)], elinewidth=1.2, linestyle="none", **look)
        handles.append(Line2D([], [], label=f"{model.label}, one pass", linestyle="none", **look))
    return handles


def _scored(row: dict[Any, Any] | None) -> Value:
    if row is None:
        return NOT_RUN
    known = optional(row["value"]) is not None
    low, high = optional(row["low"]), optional(row["high"])
    return Estimate(float(row["value"]), low, high) if known else f"not available: {row['unavailable']}"


def quality(frames: Frames, metrics: list[str]) -> Table:
    """Every value of every run and training seed."""
    rows = Rows()
    by_place = {(r["run"], r["seed"], r["setting"], r["metric"]): r for r in frames.quality.to_dict("records")}
    for run, seed in terms.seeds_of(terms.diffusion_runs(frames.loaded)):
        for setting, key, steps in facts.settings(run):
            found = [by_place.get((run.name, seed, setting, metric)) for metric in metrics]
            known = next((row for row in found if row is not None), None)
            names = ("nfe", "n", "groups", "images")
            nfe, *counts = (NOT_RUN if known is None else recorded(known[name], int) for name in names)
            links = frames.pedigree.links([known["file"]] if known is not None else ())
            label = terms.unique_label(frames.loaded, run)
            rows.add(label, seed, terms.sampler_title(run, key), steps, nfe, *map(_scored, found), *counts, links)
    titles = metric_titles(metrics, frames.features)
    columns = headers("Run | Seed | Sampler | Steps | Network evaluations", titles, "n | Groups | Images | From")
    caption = "Every value of every run, training seed, sampler and number of steps."
    notes = (
        "n is the number of images that one value is computed from; the value shown is the mean over the groups.",
        terms.EVALUATIONS,
    )
    return Table("quality", caption, columns, rows, notes=notes, folded=True, narrow=True)


def chapter(material: Material) -> Chapter | None:
    """Every value."""
    frames = material.frames
    metrics = terms.headline_metrics(frames.loaded)
    tables = (quality(frames, metrics), whole_sets.table(frames))
    text = (
        f"{terms.capital(metric_title(terms.MAIN, frames.features))} against steps opens this report; against seconds "
        "it stands with the times of this machine, [apart](timings.md)."
    )
    return chapter_of("quality", "Every value", text, *tables)


def timings(material: Material, clock: Timings) -> Chapter | None:
    """The main metric against the time of an image."""
    figure = quality_against_seconds(material.frames, clock, material.cells)
    return chapter_of("quality-seconds", "Quality against sampling time", figure)
