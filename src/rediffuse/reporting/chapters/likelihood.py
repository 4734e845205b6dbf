"""The likelihood of held-out images."""

import matplotlib.pyplot as plt
import numpy as np

from rediffuse.reporting.experiments.comparison import likelihood_sentence
from rediffuse.reporting.experiments.material import Material
from rediffuse.reporting.read.frames import Frames
from rediffuse.reporting.render.blocks import Chapter, chapter_of
from rediffuse.reporting.render.picture import WIDTH, Picture, finish, handle, outside_legend, plain_log
from rediffuse.reporting.render.table import Rows, Table, headers
from rediffuse.reporting.terms import diffusion_runs, run_colours, run_label
from rediffuse.reporting.values import Estimate


def table(frames: Frames) -> Table | None:
    """The bound of each run and its parts; None when no run has one."""
    rows = Rows()
    runs = {run.name: run.label for run in diffusion_runs(frames.loaded)}
    for row in frames.likelihood.to_dict("records"):
        if row["run"] not in runs:
            continue  # a one-pass model's bound has other parts
        total = Estimate.of(row)
        parts = (row["prior"], row["steps"], row["decoder"])
        links = frames.pedigree.links([row["file"]])
        rows.add(runs[row["run"]], row["seed"], total, *parts, row["n"], links)
    if not rows:
        return None
    columns = headers(
        "Run | Seed | Bound (bits/dim) | L_T (bits/dim) | L_1 … L_{T−1} (bits/dim) | L_0 (bits/dim) | Images | From"
    )
    caption = (
        "The variational bound on the negative log-likelihood of held-out images (lower is better), and its parts: "
        "prior, steps of the chain, decoder."
    )
    note = f"Brackets: {frames.likelihood['interval'].iloc[0]}. One evaluation of the network an image and t."
    return Table("likelihood", caption, columns, rows, notes=(note,))


def bound_by_t(frames: Frames) -> Picture | None:
    """Each run's terms of the bound by t, and what they add up to from t = 0 on."""
    if frames.bound.empty:
        return None
    colours = run_colours(frames.loaded)
    figure, (left, right) = plt.subplots(1, 2, figsize=(WIDTH, 4.4))
    handles = []
    for (run, _), rows in frames.bound.groupby(["run", "seed"], sort=False):
        name, terms = str(run), rows.sort_values("t")["bits_per_dim"].to_numpy()
        place = np.arange(1, len(terms) + 1)
        left.plot(place, terms, color=colours[name], linewidth=1.3)
        right.plot(place, np.cumsum(terms), color=colours[name])
        handles.append(handle(run_label(frames.loaded, name), colours[name]))
    left.set(title="Term of each step", xlabel="t + 1", ylabel="bits/dim", xscale="log", yscale="log")
    right.set(title="Sum of the terms up to t", xlabel="t + 1", ylabel="bits/dim", xscale="log")
    for axes in (left, right):
        plain_log(axes, "x")
    plain_log(left)
    unique = {str(handle.get_label()): handle for handle in handles}
    outside_legend(figure, list(unique.values()))
    caption = (
        "Where the bits go: the bound's term at each t, and their sum from the decoder's (t = 0) on. Most of them lie "
        "in the first steps, where the least noise is."
    )
    return finish(figure, "bound", caption, "Two panels: terms of the variational bound by t, and their running sum.")


def chapter(material: Material) -> Chapter | None:
    """Who gives held-out images the higher likelihood, the bound's parts, and where they lie."""
    frames = material.frames
    words = " ".join(likelihood_sentence(frames, material.cells))
    return chapter_of("likelihood", "Likelihood", words, table(frames), bound_by_t(frames))
