"""Samples asked for by class: what guidance does to their quality, to the class that they show and to their diversity.

Classifier-free guidance steers a class-conditional run; a noise-conditional classifier steers a run that knows none.
"""

from typing import NamedTuple

import matplotlib.pyplot as plt

from rediffuse.config import ResolvedRun
from rediffuse.config.sampling import Pace
from rediffuse.evaluation.metrics import CLASS_METRICS, metric_short
from rediffuse.reporting.experiments.cells import Cells, bounds, estimate
from rediffuse.reporting.experiments.material import Material
from rediffuse.reporting.read.frames import Frames
from rediffuse.reporting.read.records import records
from rediffuse.reporting.render.blocks import Chapter, chapter_of
from rediffuse.reporting.render.picture import WIDTH, Picture, error_bars, finish, handle, outside_legend
from rediffuse.reporting.render.table import Rows, Table, headers
from rediffuse.reporting.terms import MAIN, REAL, REAL_LINES, diffusion_runs, run_colours, run_label, seeds_of
from rediffuse.reporting.values import NOT_ASKED, NOT_RUN, Links, Value
from rediffuse.runs import facts
from rediffuse.samplers.registry import SAMPLERS

CLASSIFIER_FREE, BY_CLASSIFIER = "classifier-free", "by a classifier"
METRICS = (MAIN, *CLASS_METRICS)
CLASSIFIER, BY_T = "classifier/accuracy.json", ("t", "alpha_bar", "accuracy", "cross_entropy")


class Guided(NamedTuple):
    """A setting whose samples are asked for by class; `scale` is that of `method`."""

    run: ResolvedRun
    setting: str
    kind: str
    steps: Pace
    method: str
    scale: float
    asked: bool  # whether the study says a scale, rather than leaving it at the network as trained


def guided_settings(frames: Frames) -> list[Guided]:
    """Every such setting of the main runs."""
    found = []
    for run in diffusion_runs(frames.loaded):
        for setting, key, steps in facts.own_settings(run):
            if not facts.asks_classes(run, key):
                continue
            sampler = run.sampling.samplers[key]
            if sampler.classifier_scale is not None:
                method, scale, asked = BY_CLASSIFIER, sampler.classifier_scale, True
            else:
                method, asked = CLASSIFIER_FREE, sampler.guidance is not None
                scale = 1.0 if sampler.guidance is None else sampler.guidance
            found.append(Guided(run, setting, SAMPLERS[sampler.kind or key].title, steps, method, scale, asked))
    return found


def table(frames: Frames, cells: Cells) -> Table | None:
    """Every setting whose samples are asked for by class; None when there is none."""
    rows = Rows()
    for run, setting, kind, steps, method, scale, _ in guided_settings(frames):
        found = [cells.get((run.name, setting, metric)) for metric in METRICS]
        files = [file for cell in found[:1] if cell is not None for file in cell.files]
        values = [estimate(cell) for cell in found]
        n: Value = next((cell.n for cell in found if cell is not None), NOT_RUN)
        links = frames.pedigree.links(files)
        rows.add(run.label, kind, steps, method, f"{scale:g}", *values, n, links)
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
        rows.add(REAL_LINES["held-out"], *[NOT_ASKED] * 4, *scores, n, frames.pedigree.links(files))
    titles = [metric_short(metric, frames.features) for metric in METRICS]
    columns = headers("Run | Sampler | Steps | Guidance | Scale", titles, "n | From")
    caption = (
        "Samples asked for by class, by guidance scale; sample i is asked for class i mod K. Classifier-free: 0 ignores "
        "the class, 1 is the network as trained. By a classifier: the factor of its gradient."
    )
    notes = (
        "Class accuracy: share of samples in which a logistic regression on the features of the training images "
        "sees the class asked for. Class diversity: mean feature distance between two samples of one class."
        + (f" Those of real images are of all {real['n']} held-out ones." if real else ""),
        "What is asked for by class is not in the tables of baseline and improved: it is told what they are not.",
    )
    return Table("guidance", caption, columns, rows, notes=notes, marked=marked)


def figure(frames: Frames, cells: Cells) -> Picture | None:
    """Distance, class accuracy and diversity against the guidance scale."""
    colours = run_colours(frames.loaded)
    lines: dict[tuple[str, str, int, str], list[tuple[float, str]]] = {}
    for run, setting, kind, steps, method, scale, asked in guided_settings(frames):
        if asked and (run.name, setting, MAIN) in cells:
            lines.setdefault((run.name, kind, steps, method), []).append((scale, setting))
    lines = {key: sorted(points) for key, points in lines.items() if len(points) > 1}
    if not lines:
        return None
    scales = sorted({scale for points in lines.values() for scale, _ in points})
    drawing, grid = plt.subplots(1, 3, figsize=(WIDTH, 3.9))
    for axes, metric in zip(grid, METRICS, strict=True):
        for (name, kind, steps, method), points in lines.items():
            found = [(scale, cells[name, setting, metric]) for scale, setting in points]
            values, ends = [cell.value for _, cell in found], [bounds(cell) for _, cell in found]
            label = f"{run_label(frames.loaded, name)}, {method}, {kind}, {steps} steps"
            look = {"color": colours[name], "marker": "o", "linestyle": "-" if method == CLASSIFIER_FREE else ":"}
            error_bars(axes, [scale for scale, _ in found], values, ends, label=label, **look)
        title = metric_short(metric, frames.features)
        axes.set(title=title, xlabel="guidance scale", xticks=scales)
        line = cells.get(("real", "held-out", MAIN))
        real = line.value if metric == MAIN and line else (frames.real_classes or {}).get(metric)
        if real is not None:
            axes.axhline(real, color=REAL, linestyle=(0, (6, 3)), linewidth=1.3, zorder=1)
    real_handle = handle(REAL_LINES["held-out"], REAL, linestyle=(0, (6, 3)))
    outside_legend(drawing, [*grid[0].get_legend_handles_labels()[0], real_handle], columns=2)
    caption = (
        "What guidance does: distance to the training images (lower is better), share of samples that show their "
        "class, and how different samples of one class are. Bars are the intervals of the table."
    )
    alt = "Three panels against guidance scale: Fréchet distance, class accuracy and class diversity."
    return finish(drawing, "guidance", caption, alt)


def classifiers(frames: Frames) -> Table | None:
    """Held-out accuracy of each noise-conditional classifier by t; None when there is none."""
    rows = Rows()
    found = {(one.run.name, one.seed): one for one in records(frames, CLASSIFIER, "by_t", "classes")}
    asked = [run for run in diffusion_runs(frames.loaded) if run.classifier is not None]
    for run, seed in seeds_of(asked):
        if (one := found.get((run.name, seed))) is None:
            rows.add(run.label, seed, *[NOT_RUN] * 6, Links(()))
            continue
        shared, links = (one.record["parameters"], one.record["n"]), frames.pedigree.links([one.file])
        for row in one.record["by_t"]:
            rows.add(run.label, seed, *(row[name] for name in BY_T), *shared, links)
    if not rows:
        return None
    columns = headers("Classifier of | Seed | t | ᾱ_t | Accuracy | Cross-entropy (nats) | Parameters | n | From")
    caption = (
        "Noise-conditional classifiers on noisy held-out images, by t: where little of the image is left, none can "
        "tell its class, and its gradient says nothing."
    )
    return Table("classifiers", caption, columns, rows, folded=True)


def accuracy_figure(frames: Frames) -> Picture | None:
    """Held-out accuracy of each classifier against t, first seed; None when there is none."""
    colours = run_colours(frames.loaded)
    every = records(frames, CLASSIFIER, "by_t", "classes")
    found = {one.run.name: one.record for one in every if one.seed == one.run.seeds[0]}
    if not found:
        return None
    drawing, axes = plt.subplots(figsize=(WIDTH * 0.6, 3.6))
    for name, judged in found.items():
        t, accuracy = zip(*((row["t"], row["accuracy"]) for row in judged["by_t"]), strict=True)
        axes.plot(t, accuracy, color=colours[name], marker="o", label=f"classifier of {run_label(frames.loaded, name)}")
    chance = 1 / next(iter(found.values()))["classes"]
    axes.axhline(chance, color=REAL, linestyle=(0, (6, 3)), linewidth=1.3, zorder=1, label="chance")
    axes.set(xlabel="t", ylabel="accuracy (share)", ylim=(0, 1))
    axes.legend()
    caption = "How well the noise-conditional classifier knows the class of a noisy held-out image, by t."
    return finish(drawing, "classifier-accuracy", caption, "Accuracy against t, falling from near 1 to chance.")


def chapter(material: Material) -> Chapter | None:
    """What guidance does, and how well its classifier sees."""
    frames, cells = material.frames, material.cells
    parts = (table(frames, cells), figure(frames, cells), accuracy_figure(frames), classifiers(frames))
    return chapter_of("guidance", "Class conditioning and guidance", *parts)
