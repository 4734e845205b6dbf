"""Figures of one-pass models: their losses, their images, their points among the runs."""

from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from rediffuse.config import ResolvedRun
from rediffuse.reporting.chapters.grids import mosaic, show
from rediffuse.reporting.experiments.cells import Cells, bounds
from rediffuse.reporting.read.frames import Frames
from rediffuse.reporting.read.pictures import held_out_images, sample_images
from rediffuse.reporting.render.style import WIDTH, Picture, finish
from rediffuse.reporting.render.terms import REAL_LINES, metric_short, model_colours, number
from rediffuse.runs import facts

MARKER = "*"
DASHED = "dashed"
#: What is drawn of each kind's history: column, its name, its line.
CURVES: dict[str, tuple[tuple[str, str, Any], ...]] = {
    "dcgan": (("discriminator_loss", "discriminator", "solid"), ("generator_loss", "generator", DASHED)),
    "wgan-gp": (
        ("wasserstein_estimate", "critic's estimate of the distance", "solid"),
        ("gradient_penalty", "gradient penalty", DASHED),
    ),
    "vae": (("reconstruction", "reconstruction (bits/dim)", "solid"), ("kl", "KL (bits/dim)", DASHED)),
}


def one_pass_points(frames: Frames, cells: Cells, axes: Axes, metric: str) -> list[Line2D]:
    """Draw each one-pass model as a star at its seconds per image; the legend's handles."""
    handles = []
    for name, model in facts.one_pass_runs(frames.loaded).items():
        rows = frames.sampling[frames.sampling["run"] == name].dropna(subset=["ms_per_image"])
        [(setting, _, _)] = facts.settings(model)
        cell = cells.get((name, setting, metric))
        if cell is None or rows.empty:
            continue
        low, high = bounds(cell)
        look = {"color": model_colours(frames.loaded)[name], "marker": MARKER, "markersize": 12, "linestyle": "none"}
        axes.errorbar(
            [float(rows["ms_per_image"].mean()) / 1000], [cell.value],
            yerr=[[cell.value - low], [high - cell.value]], capsize=3, elinewidth=1.2, **look,  # type: ignore[arg-type]
        )  # fmt: skip
        handles.append(Line2D([], [], label=f"{model.label}, one pass", **look))  # type: ignore[arg-type]
    return handles


def losses(frames: Frames) -> Picture | None:
    """What each one-pass model minimises along its training, a panel each."""
    history = frames.one_pass_history
    there = [model for model in facts.one_pass_runs(frames.loaded).values() if (history["run"] == model.name).any()]
    if not there:
        return None
    figure, grid = plt.subplots(1, len(there), figsize=(WIDTH, 3.9), squeeze=False)
    for axes, model in zip(grid[0], there, strict=True):
        for seed in model.seeds:
            rows = history[(history["run"] == model.name) & (history["seed"] == seed)]
            for column, _, style in CURVES[model.model]:
                axes.plot(rows["step"], rows[column], color=model_colours(frames.loaded)[model.name], linestyle=style)
        axes.set(title=model.label, xlabel="training step", ylabel="loss" if axes is grid[0, 0] else "")
        handles = [
            Line2D([], [], color="#444444", linestyle=style, label=name) for _, name, style in CURVES[model.model]
        ]
        axes.legend(handles=handles, fontsize=8)
    return finish(
        figure, "one-pass-losses",
        "Losses of the one-pass models along training, each point a mean over the logged interval. A GAN's losses say "
        "how the two networks stand against each other, not how good the images are: at 2 ln 2 = 1.386 the "
        "discriminator knows nothing. Each panel has its own scale.",
        "One panel for each one-pass model with its losses against training step.",
    )  # fmt: skip


def samples(frames: Frames, cells: Cells) -> Picture | None:
    """The first images of each one-pass model beside held-out real ones."""
    short = metric_short("frechet_distance", frames.features)
    found = [(model, _images(frames, model)) for model in facts.one_pass_runs(frames.loaded).values()]
    if all(images is None for _, images in found):
        return None
    real = held_out_images(frames, 64)
    figure, grid = plt.subplots(1, len(found) + 1, figsize=(WIDTH, WIDTH / (len(found) + 1) + 0.9), squeeze=False)
    show(grid[0, 0], None if real is None else mosaic(real, 8), REAL_LINES["held-out"])
    for axes, (model, images) in zip(grid[0, 1:], found, strict=True):
        cell = cells.get((model.name, facts.settings(model)[0][0], "frechet_distance"))
        note = f"{short} {number(cell.value)}" if cell else ""
        show(axes, None if images is None else mosaic(images, 8), model.label, note)
    return finish(
        figure, "one-pass-samples",
        "Held-out real images beside the first images (at most 64) of each one-pass model, and below each its "
        f"{short}. None was picked.",
        "A grid of real images beside a grid of images of each one-pass model.", raster=True,
    )  # fmt: skip


def _images(frames: Frames, model: ResolvedRun) -> np.ndarray | None:
    return sample_images(frames, model.name, model.seeds[0], facts.settings(model)[0][0], 64)
