"""Loss along training."""

from typing import Any

import matplotlib.pyplot as plt
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from rediffuse.reporting.experiments.material import Material
from rediffuse.reporting.read.frames import Frames, final_loss, of_run
from rediffuse.reporting.render.blocks import Chapter, chapter_of
from rediffuse.reporting.render.picture import WIDTH, Picture, finish, handle, outside_legend, plain_log
from rediffuse.reporting.render.table import Rows, Table, headers
from rediffuse.reporting.terms import diffusion_runs, run_colours, seeds_of
from rediffuse.reporting.values import NOT_RUN
from rediffuse.runs import facts

#: A loss that document D0, section 3.1, sees passed early.
PASSED = 0.1


def summary(frames: Frames) -> Table | None:
    """From what to what the loss of each run and seed fell, as D4 (section 3.6.2) sums a training up."""
    rows = Rows()
    for run, seed in seeds_of(diffusion_runs(frames.loaded)):
        history = of_run(frames.history, run, seed)
        if history.empty:
            continue
        losses, steps = history["loss"].to_numpy(), history["step"].to_numpy()
        first, end, least = float(losses[0]), final_loss(history), int(losses.argmin())
        passed = int(steps[losses < PASSED][0]) if (losses < PASSED).any() else "never"
        told = (first, end, 100 * (1 - end / first), float(losses[least]), int(steps[least]), passed)
        rows.add(run.label, seed, *told, frames.pedigree.links(history["file"].iloc[:1]))
    columns = headers(
        "Run | Seed | First logged loss | Loss at the end | Fall (%) | Least logged loss | At step | "
        f"First below {PASSED:g} at step | From"
    )
    note = (
        "Each loss is a run's own objective, a mean over the logged interval; at the end: the mean of the last tenth "
        "of training. Different objectives and schedules are not to be ranked by it."
    )
    return Table("loss-summary", "What the training loss came to.", columns, rows, notes=(note,)) if rows else None


def loss_curves(frames: Frames) -> Picture | None:
    """Loss, what it holds in common between runs, and gradient norm along training."""
    history = frames.history
    if history.empty:
        return None
    panels = [("loss", "loss (each run's own objective)", "Training loss")]
    if history["mse"].notna().any():
        panels.append(("mse", "squared error of the prediction", "Squared error, without weights or bound"))
    panels.append(("grad_norm", "gradient norm before clipping", "Gradient norm"))
    if history["learning_rate"].notna().any():
        panels.append(("learning_rate", "Adam's step size", "Learning rate"))
    figure, grid = plt.subplots(len(panels), 1, figsize=(WIDTH, 3.1 * len(panels)), sharex=True, squeeze=False)
    for axes, (column, label, title) in zip(grid[:, 0], panels, strict=True):
        _draw_history(frames, axes, history, column, log=column != "learning_rate")
        axes.set(ylabel=label, title=title, xlabel="")
    held_out = history["held_out_loss"].notna().any()
    if held_out:
        _draw_history(frames, grid[0, 0], history, "held_out_loss", linestyle="dotted", marker="D")
    grid[-1, 0].set_xlabel("training step")
    handles = _run_handles(frames, history)
    if held_out:
        handles.append(handle("on held-out images", "#444444", linestyle="dotted", marker="D"))
    outside_legend(figure, handles)
    caption = (
        "Training loss, gradient norm and learning rate along training, each point a mean over the logged "
        f"interval{'; one thin line a seed' if _many_seeds(frames) else ''}. Runs whose schedule or objective differs "
        "do not share a loss scale: read the shape, not the height."
    )
    alt = "Curves of loss, gradient norm and learning rate against training step, one for each run."
    return finish(figure, "loss-curves", caption, alt)


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
    caption = (
        "Training loss by quartile of the time step t: where along the chain the loss is made. Each panel has its own "
        "scale."
    )
    alt = "Four panels of loss against training step, one for each quartile of t."
    return finish(figure, "loss-quartiles", caption, alt)


def _draw_history(
    frames: Frames,
    axes: Axes,
    history: pd.DataFrame,
    column: str,
    linestyle: str = "solid",
    marker: str | None = None,
    log: bool = True,
) -> None:
    rows, what = history.dropna(subset=[column]), {"x": "step", "y": column, "hue": "run", "units": "seed"}
    look: dict[str, Any] = {"linewidth": 1.0, "alpha": 0.8} if _many_seeds(frames) else {"linewidth": 1.6, "alpha": 1.0}
    look |= {"palette": run_colours(frames.loaded), "linestyle": linestyle, "marker": marker}
    sns.lineplot(rows, **what, **look, estimator=None, legend=False, ax=axes)
    if log and (rows[column] > 0).all() and len(rows):
        axes.set_yscale("log")
        plain_log(axes)


def _many_seeds(frames: Frames) -> bool:
    return bool((frames.history.groupby("run")["seed"].nunique() > 1).any())


def _run_handles(frames: Frames, history: pd.DataFrame) -> list[Line2D]:
    colours, there = run_colours(frames.loaded), set(history["run"])
    runs = [run for run in diffusion_runs(frames.loaded) if run.name in there]
    return [handle(f"{run.label} ({facts.diffusion(run).loss} loss)", colours[run.name]) for run in runs]


def chapter(material: Material) -> Chapter | None:
    """What the loss came to; loss, gradient norm and learning rate, and loss by quartile of t."""
    frames = material.frames
    curves = loss_curves(frames) or f"History of training: {NOT_RUN}."
    return chapter_of("curves", "Loss during training", summary(frames), curves, loss_by_quartile(frames))
