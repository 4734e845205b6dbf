"""From frames to figures of curves. What was not run is left out of a figure; a figure without data is None."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from rediffuse.config import LoadedStudy
from rediffuse.reporting.chapters.one_pass_figures import one_pass_points
from rediffuse.reporting.experiments.cells import Cell, Cells, bounds
from rediffuse.reporting.read.frames import Frames
from rediffuse.reporting.render.style import (
    DASHES,
    MARKERS,
    WIDTH,
    Picture,
    finish,
    label_points,
    log_steps,
    outside_legend,
    plain_log,
    reference_line,
)
from rediffuse.reporting.render.terms import (
    NOISE,
    REAL,
    cell_label,
    compared_runs,
    direction,
    metric_short,
    metric_title,
    number,
    run_colours,
    sampler_keys,
)
from rediffuse.runs import facts

MAIN = "frechet_distance"


def quality_against_steps(frames: Frames, cells: Cells, metrics: list[str], name: str) -> Picture | None:
    """Metrics against the number of sampling steps, one panel each."""
    lines = _lines(frames.loaded, cells, metrics)
    if not lines:
        return None
    height = 5.2 if len(metrics) == 1 else 3.9 * len(metrics)
    figure, grid = plt.subplots(len(metrics), 1, figsize=(WIDTH, height), squeeze=False)
    for axes, metric in zip(grid[:, 0], metrics, strict=True):
        for place, ((run, key), by_steps) in enumerate(lines.items()):
            # Moved sideways by a few per cent, so that bars at one number of steps can be told apart.
            shift = 1.03 ** (place - (len(lines) - 1) / 2)
            points = [
                (n * shift, cells[run, setting, metric]) for n, setting in by_steps if (run, setting, metric) in cells
            ]
            if points:
                _draw_points(frames.loaded, axes, run, key, [x for x, _ in points], [cell for _, cell in points])
        _scale(axes, cells, metric)
        _reference_lines(frames.loaded, axes, cells, metric)
        log_steps(axes, [steps for points in lines.values() for steps, _ in points])
        better = direction(metric)
        axes.set_ylabel(f"{metric_short(metric, frames.features)}\n({better} is better, no unit)")
        axes.set_xlabel("sampling steps")
        title = metric_title(metric, frames.features)
        axes.set_title(title[:1].upper() + title[1:])
    outside_legend(figure, _handles(frames.loaded, lines))
    what = " and ".join(metric_title(metric, frames.features) for metric in metrics)
    n = frames.loaded.study.evaluation.group_size
    return finish(
        figure, name,
        f"Quality against the number of sampling steps: {what}, from {n} images. Bars are the intervals of the tables, "
        "lines are moved sideways a little to show them; dashed lines are held-out real images and noise at the same "
        "n.",
        f"Lines of {what} against sampling steps, one for each run and sampler.",
    )  # fmt: skip


def quality_against_seconds(frames: Frames, cells: Cells) -> Picture | None:
    """The main metric against the time that one image takes."""
    lines = _lines(frames.loaded, cells, [MAIN])
    times = frames.sampling.dropna(subset=["ms_per_image"]).groupby(["run", "setting"])["ms_per_image"].mean() / 1000
    figure, axes = plt.subplots(figsize=(WIDTH, 5.2))
    drawn, labels = {}, []
    for (run, key), by_steps in lines.items():
        points = [
            (float(times[run, setting]), steps, cells[run, setting, MAIN])
            for steps, setting in by_steps
            if (run, setting) in times.index and (run, setting, MAIN) in cells
        ]
        if points:
            drawn[run, key] = by_steps
            _draw_points(frames.loaded, axes, run, key, [x for x, _, _ in points], [cell for _, _, cell in points])
            labels += [(x, cell.value, str(steps)) for x, steps, cell in points]
    if not drawn:
        plt.close(figure)
        return None
    marks = one_pass_points(frames, cells, axes, MAIN)
    _scale(axes, cells, MAIN)
    _reference_lines(frames.loaded, axes, cells, MAIN)
    axes.set_xscale("log")
    plain_log(axes, "x")
    label_points(axes, labels)
    axes.set_xlabel("sampling time (s per image)")
    axes.set_ylabel(f"{metric_short(MAIN, frames.features)}\n(lower is better, no unit)")
    title = metric_title(MAIN, frames.features)
    axes.set_title(f"{title[:1].upper()}{title[1:]}")
    outside_legend(figure, _handles(frames.loaded, drawn) + marks)
    return finish(
        figure, "quality-seconds",
        f"Quality against sampling time: {title} by seconds per image; the small numbers are sampling steps"
        f"{', stars are one-pass models' if marks else ''}. Times are those of the "
        "machine named in the table of hardware and software.",
        f"Lines of {title} against seconds per image, one for each run and sampler.",
    )  # fmt: skip


def _lines(loaded: LoadedStudy, cells: Cells, metrics: list[str]) -> dict[tuple[str, str], list[tuple[int, str]]]:
    """(run, sampler) -> [(steps, setting)] by rising steps, for those that have a value."""
    lines: dict[tuple[str, str], list[tuple[int, str]]] = {}
    for run in compared_runs(loaded):
        for setting, key, steps in sorted(facts.comparable_settings(run), key=lambda s: s[2]):
            if any((run.name, setting, metric) in cells for metric in metrics):
                lines.setdefault((run.name, key), []).append((steps, setting))
    order = sampler_keys(loaded)
    runs = list(facts.diffusion_runs(loaded))
    return dict(sorted(lines.items(), key=lambda line: (runs.index(line[0][0]), order.index(line[0][1]))))


def _look(loaded: LoadedStudy, run: str, key: str) -> dict[str, object]:
    index = sampler_keys(loaded).index(key)
    style = {"marker": MARKERS[index % len(MARKERS)], "linestyle": DASHES[index % len(DASHES)]}
    return {"color": run_colours(loaded)[run], **style}


def _draw_points(
    loaded: LoadedStudy, axes: Axes, run: str, key: str, x: list[float] | list[int], points: list[Cell]
) -> None:
    values = np.array([cell.value for cell in points])
    ends = np.array([bounds(cell) for cell in points]).T
    axes.errorbar(
        x, values, yerr=np.abs(ends - values), capsize=3, elinewidth=1.2, markeredgecolor="white", markeredgewidth=0.6,
        **_look(loaded, run, key),  # type: ignore[arg-type]
    )  # fmt: skip


def _handles(loaded: LoadedStudy, lines: dict[tuple[str, str], list[tuple[int, str]]]) -> list[Line2D]:
    return [
        Line2D([], [], label=f"{facts.diffusion_runs(loaded)[run].label}, {key}", **_look(loaded, run, key))  # type: ignore[arg-type]
        for run, key in lines
    ]


def _scale(axes: Axes, cells: Cells, metric: str) -> None:
    """Logarithmic where all is positive, symmetric-logarithmic where an unbiased estimate falls below zero."""
    chosen = [cell for cell in cells.values() if cell.metric == metric]
    lowest = min(bounds(cell)[0] for cell in chosen)
    values = [cell.value for cell in chosen if cell.value > 0]
    if metric == "inception_score" or not values or max(values) / min(values) < 5:
        return
    if lowest > 0:
        axes.set_yscale("log")
        plain_log(axes)
    else:
        linear = 10 ** np.floor(np.log10(np.median(values)) - 1)
        axes.set_yscale("symlog", linthresh=linear)
        axes.axhline(0, color="#AAAAAA", linewidth=0.8, zorder=0)
        axes.annotate(
            f"linear below {number(float(linear), 1)}", (0.0, linear), xycoords=axes.get_yaxis_transform(),
            xytext=(3, 2), textcoords="offset points", fontsize=8, color="#777777",
        )  # fmt: skip


def _reference_lines(loaded: LoadedStudy, axes: Axes, cells: Cells, metric: str) -> None:
    lines = [(cell, colour) for name, colour in (("noise", NOISE), ("held-out", REAL))
             if (cell := cells.get(("real", name, metric))) is not None]  # fmt: skip
    heights = [axes.transAxes.inverted().transform(axes.transData.transform((1, c.value)))[1] for c, _ in lines]
    close = len(lines) == 2 and abs(heights[0] - heights[1]) < 0.2
    for place, (cell, colour) in enumerate(lines):
        label = cell_label(loaded, "real", cell.setting).replace("held-out ", "held-out\n")
        align = "center" if not close else "bottom" if heights[place] == max(heights) else "top"
        reference_line(axes, cell.value, f"{label}\n{number(cell.value)} (n = {cell.n})", colour, align)


def loss_curves(frames: Frames) -> Picture | None:
    """Loss, what it holds in common between runs, and gradient norm along training."""
    history = frames.history
    if history.empty:
        return None
    panels = [("loss", "loss (each run's own objective)", "Training loss")]
    if history["mse"].notna().any():
        panels.append(("mse", "squared error of the prediction", "Squared error, without weights or bound"))
    panels.append(("grad_norm", "gradient norm before clipping", "Gradient norm"))
    figure, grid = plt.subplots(len(panels), 1, figsize=(WIDTH, 3.1 * len(panels)), sharex=True, squeeze=False)
    for axes, (column, label, title) in zip(grid[:, 0], panels, strict=True):
        _draw_history(frames, axes, history, column)
        axes.set(ylabel=label, title=title, xlabel="")
    held_out = history["held_out_loss"].notna().any()
    if held_out:
        _draw_history(frames, grid[0, 0], history, "held_out_loss", linestyle="dotted", marker="D")
    grid[-1, 0].set_xlabel("training step")
    handles = _run_handles(frames, history)
    if held_out:
        handles.append(Line2D([], [], color="#444444", linestyle="dotted", marker="D", label="on held-out images"))
    outside_legend(figure, handles)
    return finish(
        figure, "loss-curves",
        "Training loss and gradient norm along training, each point a mean over the logged interval"
        f"{'; one thin line a seed' if _many_seeds(frames) else ''}. Runs whose schedule or objective differs do not "
        "share "
        "a loss scale: read the shape, not the height.",
        "Curves of loss and gradient norm against training step, one for each run.",
    )  # fmt: skip


def loss_by_quartile(frames: Frames) -> Picture | None:
    """Loss by quartile of t along training."""
    history = frames.history
    quartiles = [f"loss_q{i}" for i in range(1, 5)]
    if history.empty or not history[quartiles].notna().any(axis=None):
        return None
    figure, grid = plt.subplots(2, 2, figsize=(WIDTH, 6.2), sharex=True)
    names = ("0 to T/4 (least noise)", "T/4 to T/2", "T/2 to 3T/4", "3T/4 to T (most noise)")
    for axes, column, name in zip(grid.flat, quartiles, names, strict=True):
        _draw_history(frames, axes, history, column)
        axes.set(title=f"t from {name}", xlabel="", ylabel="")
    for axes in grid[:, 0]:
        axes.set_ylabel("loss")
    for axes in grid[-1]:
        axes.set_xlabel("training step")
    outside_legend(figure, _run_handles(frames, history))
    return finish(
        figure, "loss-quartiles",
        "Training loss by quartile of the time step t: where along the chain the loss is made. Each panel has its own "
        "scale.",
        "Four panels of loss against training step, one for each quartile of t.",
    )  # fmt: skip


def _draw_history(
    frames: Frames, axes: Axes, history: pd.DataFrame, column: str, linestyle: str = "solid", marker: str | None = None
) -> None:
    rows = history.dropna(subset=[column])
    many = _many_seeds(frames)
    sns.lineplot(
        rows, x="step", y=column, hue="run", palette=run_colours(frames.loaded), units="seed", estimator=None,
        legend=False, ax=axes, linewidth=1.0 if many else 1.6, alpha=0.8 if many else 1.0, linestyle=linestyle, marker=marker,
    )  # fmt: skip
    if (rows[column] > 0).all() and len(rows):
        axes.set_yscale("log")
        plain_log(axes)


def _many_seeds(frames: Frames) -> bool:
    return bool((frames.history.groupby("run")["seed"].nunique() > 1).any())


def _run_handles(frames: Frames, history: pd.DataFrame) -> list[Line2D]:
    colours, there = run_colours(frames.loaded), set(history["run"])
    runs = [run for run in facts.diffusion_runs(frames.loaded).values() if run.name in there]
    return [
        Line2D([], [], color=colours[run.name], label=f"{run.label} ({facts.diffusion(run).loss} loss)") for run in runs
    ]
