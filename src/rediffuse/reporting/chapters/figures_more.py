"""Figures of noise schedules and of ablations."""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.lines import Line2D

from rediffuse.errors import UserError
from rediffuse.reporting.chapters.ablations import METRIC, Variant, ablation_settings
from rediffuse.reporting.read.frames import Frames
from rediffuse.reporting.render.style import DASHES, MARKERS, WIDTH, Picture, finish, outside_legend, plain_log
from rediffuse.reporting.render.table import Estimate
from rediffuse.reporting.render.terms import NOT_ASKED, OTHER, metric_short, metric_title, run_colours
from rediffuse.runs import facts


def schedules(frames: Frames) -> Picture | None:
    """ᾱ and log-SNR of the runs' schedules, in their colours, and of the other schedules of the registry, in grey."""
    from rediffuse.diffusion.schedules import SCHEDULES

    colours, runs = run_colours(frames.loaded), list(facts.diffusion_runs(frames.loaded).values())
    used: dict[tuple[str, int], list[str]] = {}
    for run in runs:
        used.setdefault((facts.diffusion(run).schedule, facts.diffusion(run).timesteps), []).append(run.name)
    timesteps = facts.diffusion(runs[0]).timesteps
    others = [(name, timesteps) for name in SCHEDULES if (name, timesteps) not in used]
    figure, (left, right) = plt.subplots(1, 2, figsize=(WIDTH, 4.4))
    handles = []
    for index, (name, steps) in enumerate([*others, *used]):
        alphas_bar = _alphas_bar(name, steps)
        if alphas_bar is None:
            continue
        names = used.get((name, steps), [])
        look = {"color": OTHER, "linestyle": DASHES[1 + index % (len(DASHES) - 1)], "linewidth": 1.2}
        label = name
        if names:
            look = {"color": colours[names[0]], "linestyle": "solid", "linewidth": 2.4}
            label = f"{name} ({', '.join(facts.diffusion_runs(frames.loaded)[run].label for run in names)})"
        x = np.arange(1, steps + 1) / steps
        left.plot(x, alphas_bar, **look)  # type: ignore[arg-type]
        right.plot(x, np.log(alphas_bar / (1 - alphas_bar)), **look)  # type: ignore[arg-type]
        handles.append(Line2D([], [], label=f"{label}, T = {steps}", **look))  # type: ignore[arg-type]
    if not handles:
        plt.close(figure)
        return None
    left.set(title="Signal kept", xlabel="(t + 1) / T", ylabel="ᾱ (share of the variance that is image)")
    right.set(title="Signal to noise", xlabel="(t + 1) / T", ylabel="log SNR = ln(ᾱ / (1 − ᾱ))")
    figure.legend(handles=handles[::-1], loc="outside lower center", ncols=min(3, len(handles)))
    return finish(
        figure, "schedules",
        "Noise schedules: those of the runs in their colours, the others of the registry in grey for comparison.",
        "Two panels: alpha-bar and log signal-to-noise ratio against time for each schedule.",
    )  # fmt: skip


def _alphas_bar(schedule: str, timesteps: int) -> np.ndarray | None:
    from rediffuse.diffusion.schedules import make_betas

    try:
        betas = make_betas(schedule, timesteps).double().numpy()
    except UserError:
        return None  # a T too small for this schedule
    return np.cumprod(1 - betas)


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
        handles.append(Line2D([], [], color=colours[name], label=facts.diffusion_runs(frames.loaded)[name].label))
    left.set(title="Term of each step", xlabel="t + 1", ylabel="bits/dim", xscale="log", yscale="log")
    right.set(title="Sum of the terms up to t", xlabel="t + 1", ylabel="bits/dim", xscale="log")
    for axes in (left, right):
        plain_log(axes, "x")
    unique = {str(handle.get_label()): handle for handle in handles}
    outside_legend(figure, list(unique.values()))
    return finish(
        figure, "bound",
        "Where the bits go: the bound's term at each t, and their sum from the decoder's (t = 0) on. Most of them lie "
        "in the first steps, where the least noise is.",
        "Two panels: terms of the variational bound by t, and their running sum.",
    )  # fmt: skip


def ablation_dots(frames: Frames, rows: list[Variant]) -> Picture | None:
    """The main metric of each run and its ablations, a panel for each run."""
    settings = ablation_settings(frames.loaded)
    drawn = [row for row in rows if any(isinstance(value, Estimate) for value in row.values.values())]
    bases = [
        base
        for base in facts.diffusion_runs(frames.loaded)
        if any(row.base == base and row.question != NOT_ASKED for row in drawn)
    ]
    if not bases:
        return None
    counts = [sum(row.base == base for row in drawn) for base in bases]
    figure, grid = plt.subplots(
        len(bases), 1, figsize=(WIDTH, 1.3 * len(bases) + 0.5 * sum(counts) + 0.6), sharex=True, squeeze=False,
        gridspec_kw={"height_ratios": [count + 0.6 for count in counts]},
    )  # fmt: skip
    shades = [("#333333", "#888888", "#BBBBBB")[i % 3] for i in range(len(settings))]
    positive = True
    for axes, base in zip(grid[:, 0], bases, strict=True):
        names = [row for row in drawn if row.base == base]
        for place, row in enumerate(names):
            present = [(i, row.values[s]) for i, s in enumerate(settings) if isinstance(row.values[s], Estimate)]
            for position, (index, value) in enumerate(present):
                assert isinstance(value, Estimate)
                own = row.question == NOT_ASKED
                colour = run_colours(frames.loaded)[base] if own else shades[index]
                low, high = value.ends()
                positive = positive and low > 0
                y = place + min(0.22, 0.8 / len(present)) * (position - (len(present) - 1) / 2)
                axes.plot([low, high], [y, y], color=colour, linewidth=1.4, solid_capstyle="butt")
                axes.plot(
                    value.value, y, marker=MARKERS[index % len(MARKERS)], color=colour, linestyle="none", markersize=7
                )
        axes.set_yticks(range(len(names)), [row.name for row in names])
        axes.set_ylim(len(names) - 0.5, -0.5)
        axes.set_title(f"{facts.diffusion_runs(frames.loaded)[base].label} and its ablations")
    if positive:
        grid[-1, 0].set_xscale("log")
        plain_log(grid[-1, 0], "x")
    grid[-1, 0].set_xlabel(f"{metric_short(METRIC, frames.features)} (lower is better, no unit)")
    handles = [Line2D([], [], marker=MARKERS[i % len(MARKERS)], color=shades[i], linestyle="none", label=s)
               for i, s in enumerate(settings)]  # fmt: skip
    outside_legend(figure, handles)
    title = metric_title(METRIC, frames.features)
    return finish(
        figure, "ablations",
        f"{title[:1].upper()}{title[1:]} of each run (in its colour) and "
        "of its ablations. Bars: the interval over groups of samples, or ± one standard deviation over training seeds.",
        "Dots of the main metric for each run and ablation, by sampler and number of steps.",
    )  # fmt: skip
