"""Class-conditional runs: what guidance does to quality, to the class that samples show, and to their diversity."""

import matplotlib.pyplot as plt

from rediffuse.config import ResolvedRun
from rediffuse.config.facts import CLASS_METRICS
from rediffuse.reporting.cells import Cell, Cells, bounds
from rediffuse.reporting.frames import Frames
from rediffuse.reporting.style import WIDTH, Picture, finish, outside_legend
from rediffuse.reporting.table import Column, Estimate, Links, Table, Value
from rediffuse.reporting.terms import NOT_ASKED, NOT_RUN, REAL, metric_short, run_colours

MAIN = "frechet_distance"
METRICS = (MAIN, *CLASS_METRICS)


def conditional_runs(frames: Frames) -> list[ResolvedRun]:
    """The main runs that know classes."""
    return [run for run in frames.loaded.runs.values() if run.network.class_conditional]


def table(frames: Frames, cells: Cells) -> Table | None:
    """Every setting of the class-conditional runs; None when there is no such run."""
    rows: list[tuple[Value, ...]] = []
    for run in conditional_runs(frames):
        for setting, key, steps in run.settings():
            sampler = run.sampling.samplers[key]
            scale = 1.0 if sampler.guidance is None else sampler.guidance
            found = [cells.get((run.name, setting, metric)) for metric in METRICS]
            files = [file for cell in found[:1] if cell is not None for file in cell.files]
            values: list[Value] = [
                NOT_RUN if cell is None else Estimate(cell.value, cell.low, cell.high) for cell in found
            ]
            links = Links(frames.pedigree.ids(files))
            rows.append((run.label, sampler.kind or key, steps, f"{scale:g}", *values, _n(found), links))
    if not rows:
        return None
    real = frames.real_classes
    marked: frozenset[int] = frozenset()
    if real:
        marked = frozenset([len(rows)])
        cell = cells.get(("real", "held-out", MAIN))
        scores = (NOT_RUN if cell is None else cell.value, real["class_accuracy"], real["class_diversity"])
        files = [] if cell is None else list(cell.files)
        n = cell.n if cell is not None else real["n"]
        rows.append(("held-out real images", *[NOT_ASKED] * 3, *scores, n, Links(frames.pedigree.ids(files))))
    columns = (
        Column("Run"), Column("Sampler"), Column("Steps"), Column("Guidance"),
        *(Column(metric_short(metric, frames.features), estimate=True) for metric in METRICS), Column("n"),
        Column("From"),
    )  # fmt: skip
    return Table(
        "guidance",
        "Class-conditional samples by guidance scale: 0 ignores the class, 1 is the network as trained. Sample i is "
        "asked for class i mod K.",
        columns,
        tuple(rows),
        notes=(
            "Class accuracy: share of samples in which a logistic regression on the features of the training images "
            "sees the class asked for. Class diversity: mean feature distance between two samples of one class."
            + (f" Those of real images are of all {real['n']} held-out ones." if real else ""),
            "A class-conditional run is not in the tables of baseline and improved: it is told what they are not.",
        ),
        marked=marked,
    )


def figure(frames: Frames, cells: Cells) -> Picture | None:
    """Distance, class accuracy and diversity against the guidance scale."""
    colours = run_colours(frames.loaded)
    lines: dict[tuple[str, str, int], list[tuple[float, str]]] = {}
    for run in conditional_runs(frames):
        for setting, key, steps in run.settings():
            sampler = run.sampling.samplers[key]
            if sampler.guidance is not None and (run.name, setting, MAIN) in cells:
                lines.setdefault((run.name, sampler.kind or key, steps), []).append((sampler.guidance, setting))
    lines = {key: sorted(points) for key, points in lines.items() if len(points) > 1}
    if not lines:
        return None
    drawing, grid = plt.subplots(1, 3, figsize=(WIDTH, 3.9))
    for axes, metric in zip(grid, METRICS, strict=True):
        for (name, kind, steps), points in lines.items():
            found = [(scale, cells[name, setting, metric]) for scale, setting in points]
            low, high = zip(*(bounds(cell) for _, cell in found), strict=True)
            values = [cell.value for _, cell in found]
            errors = [
                [v - a for v, a in zip(values, low, strict=True)],
                [b - v for v, b in zip(values, high, strict=True)],
            ]
            axes.errorbar(
                [scale for scale, _ in found], values, yerr=errors, color=colours[name], marker="o", capsize=3,
                label=f"{frames.loaded.runs[name].label}, {kind}, {steps} steps",
            )  # fmt: skip
        title = metric_short(metric, frames.features)
        axes.set(title=title, xlabel="guidance scale", xticks=[s for s, _ in points])
        line = cells.get(("real", "held-out", MAIN))
        real = line.value if metric == MAIN and line else (frames.real_classes or {}).get(metric)
        if real is not None:
            axes.axhline(real, color=REAL, linestyle=(0, (6, 3)), linewidth=1.3, zorder=1)
    handles = [*grid[0].get_legend_handles_labels()[0]]
    handles.append(plt.Line2D([], [], color=REAL, linestyle=(0, (6, 3)), label="held-out real images"))
    outside_legend(drawing, handles)
    return finish(
        drawing, "guidance",
        "What guidance does: distance to the training images (lower is better), share of samples that show their "
        "class, and how different samples of one class are. Bars are the intervals of the table.",
        "Three panels against guidance scale: Fréchet distance, class accuracy and class diversity.",
    )  # fmt: skip


def _n(found: list[Cell | None]) -> int | str:
    return next((cell.n for cell in found if cell is not None), NOT_RUN)
