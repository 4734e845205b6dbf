"""How fast each noise schedule drowns the image, and which noise levels each weighting of the loss favours."""

import contextlib
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.lines import Line2D

from rediffuse.config import LoadedStudy, ResolvedRun
from rediffuse.errors import UserError
from rediffuse.reporting.experiments.material import Material
from rediffuse.reporting.render.blocks import Chapter, chapter_of
from rediffuse.reporting.render.picture import DASHES, WIDTH, Picture, finish, handle, outside_legend, plain_log
from rediffuse.reporting.render.plots import PALETTE
from rediffuse.reporting.render.table import Rows, Table, headers
from rediffuse.reporting.terms import OTHER, diffusion_runs, run_colours
from rediffuse.reporting.values import NOT_ASKED, listed, number
from rediffuse.runs import facts

if TYPE_CHECKING:
    from torch import Tensor

    from rediffuse.diffusion.process import DiffusionProcess

#: A schedule and its T.
Named = tuple[str, int]


def _used(runs: Iterable[ResolvedRun]) -> dict[Named, list[ResolvedRun]]:
    """The schedules of runs; the straight path of a velocity has none."""
    used: dict[Named, list[ResolvedRun]] = {}
    for run in runs:
        if not facts.is_flow(run):
            used.setdefault((facts.diffusion(run).schedule, facts.diffusion(run).timesteps), []).append(run)
    return used


def _processes(every: Iterable[Named]) -> dict[Named, "DiffusionProcess"]:
    """Their processes, but for those whose T is too small for the schedule."""
    from rediffuse.diffusion.process import DiffusionProcess

    found = {}
    for named in every:
        with contextlib.suppress(UserError):
            found[named] = DiffusionProcess.create(*named)
    return found


def _every(loaded: LoadedStudy) -> dict[Named, "DiffusionProcess"]:
    """The schedules of the main runs, of the ablations, then the others of the registry at the first run's T."""
    from rediffuse.diffusion.named_schedules import SCHEDULES

    used = _used([*diffusion_runs(loaded), *loaded.ablations.values()])
    timesteps = next(iter(used))[1]
    return _processes(dict.fromkeys([*used, *((name, timesteps) for name in SCHEDULES)]))


def _figure(loaded: LoadedStudy) -> Picture:
    """ᾱ and log-SNR of the runs' schedules, in their colours, and of the other schedules of the registry, in grey."""
    colours, used = run_colours(loaded), _used(diffusion_runs(loaded))
    figure, (left, right) = plt.subplots(1, 2, figsize=(WIDTH, 4.6))
    handles: list[Line2D] = []
    look: dict[str, Any]
    greys = 0
    for (name, steps), process in reversed(_every(loaded).items()):
        if runs := used.get((name, steps)):
            colour, look = colours[runs[0].name], {"linestyle": "solid", "linewidth": 2.4}
            name = f"{name} ({', '.join(run.label for run in runs)})"
        else:
            grey, dash = divmod(greys, len(DASHES) - 1)
            colour, look = (OTHER, "#BBBBBB")[grey % 2], {"linestyle": DASHES[1 + dash], "linewidth": 1.2 + 0.6 * grey}
            greys += 1
        x = np.arange(1, steps + 1) / steps
        left.plot(x, process.alphas_bar.numpy(), color=colour, **look)
        right.plot(x, process.snr.log().numpy(), color=colour, **look)
        handles.append(handle(f"{name}, T = {steps}", colour, **look))
    left.set(title="Signal kept", xlabel="(t + 1) / T", ylabel="ᾱ (share of the variance that is image)")
    right.set(title="Signal to noise", xlabel="(t + 1) / T", ylabel="log SNR = ln(ᾱ / (1 − ᾱ))")
    figure.legend(handles=handles[::-1], loc="outside lower center", ncols=min(3, len(handles)))
    caption = "Noise schedules: those of the runs in their colours, the others of the registry in grey for comparison."
    alt = "Two panels: alpha-bar and log signal-to-noise ratio against time for each schedule."
    return finish(figure, "schedules", caption, alt)


def _table(loaded: LoadedStudy, name: str, what: str, of: Callable[["DiffusionProcess"], "Tensor"]) -> Table:
    """A quantity of every schedule at five times."""
    main, others, rows = _used(diffusion_runs(loaded)), _used(loaded.ablations.values()), Rows()
    for named, process in _every(loaded).items():
        labels = listed([run.label for run in main.get(named) or others.get(named, [])]) or NOT_ASKED
        last = process.num_timesteps - 1
        rows.add(*named, labels, *(float(of(process)[t]) for t in (*(n * (last + 1) // 4 for n in range(4)), last)))
    columns = headers("Schedule | T | Runs or ablations | t = 0 | t = T/4 | t = T/2 | t = 3T/4 | t = T − 1")
    return Table(name, f"{what} at five times, for each schedule of the registry.", columns, rows)


def _words(loaded: LoadedStudy) -> str:
    """What each schedule of the runs keeps of the image halfway."""
    used, kept = _used(diffusion_runs(loaded)), []
    for (name, steps), process in _processes(used).items():
        runs = listed([run.label for run in used[name, steps]])
        kept.append(f"{number(float(process.alphas_bar[steps // 2].sqrt()), 2)} with the {name} schedule ({runs})")
    return f"Halfway through its steps, at t = T/2, the image has been scaled by {listed(kept)}."


def chapter(material: Material) -> Chapter | None:
    """The schedules side by side, as a figure and in numbers."""
    loaded = material.loaded
    signal = _table(loaded, "schedule-signal", "√ᾱ, the factor of the image in x_t,", lambda p: p.alphas_bar.sqrt())
    snr = _table(loaded, "schedule-snr", "The signal-to-noise ratio SNR = ᾱ/(1 − ᾱ)", lambda p: p.snr)
    return chapter_of("schedules", "Noise schedules", _words(loaded), _figure(loaded), signal, snr)


def _weights(process: "DiffusionProcess") -> list[tuple[str, str, "Tensor"]]:
    """(weighting, formula, weight of the squared error of ε at t = 0 … T − 1)."""
    from rediffuse.diffusion.objectives import Objective, importance_weight, loss_weight

    times, bound, gamma = process.timestep_map, "β²/(2σ²α(1 − ᾱ))", Objective().min_snr_gamma
    # The plain loss of another quantity, written as a loss of ε.
    plain = {kind: 1 / loss_weight(process, times, "snr", kind) for kind in ("x0", "v", "mu")}
    return [
        ("none and snr", "1", loss_weight(process, times, "snr")),
        ("inverse-snr", "1/(1 + SNR)", loss_weight(process, times, "inverse-snr")),
        ("min-snr", f"min(SNR, {gamma:g})/SNR", loss_weight(process, times, "min-snr", gamma=gamma)),
        ("importance, σ² = β", bound, importance_weight(process, "fixed-large")),
        ("importance, σ² = β̃", bound, importance_weight(process, "fixed-small")),
        ("none, x₀ predicted", "1/SNR", plain["x0"]),
        ("none, v predicted", "1 + 1/SNR", plain["v"]),
        ("none, μ predicted", "c²/SNR", plain["mu"]),
    ]


def _curves(processes: dict[Named, "DiffusionProcess"]) -> Picture:
    """Each weighting against t, a panel for each schedule."""
    figure, grid = plt.subplots(1, len(processes), figsize=(WIDTH, 4.6), squeeze=False, sharey=True)
    for axes, ((name, steps), process) in zip(grid[0], processes.items(), strict=True):
        for place, (weighting, _, weight) in enumerate(_weights(process)):
            look: Any = {"color": PALETTE[place % len(PALETTE)], "linestyle": DASHES[place % len(DASHES)]}
            axes.plot(np.arange(steps), weight.numpy(), label=weighting, **look)
        axes.set(title=f"{name} schedule", xlabel="t", yscale="log")
    plain_log(grid[0, 0])
    grid[0, 0].set_ylabel("weight of the squared error of ε (no unit)")
    outside_legend(figure, grid[0, 0].get_legend_handles_labels()[0], columns=4)
    caption = (
        "Which noise levels each weighting of the loss favours: its factor of the squared error of ε by t, under the "
        "schedules of the main runs. A line that falls favours little noise."
    )
    return finish(figure, "weightings", caption, "Weights against t on a logarithmic axis, a panel for each schedule.")


def weightings(material: Material) -> Chapter | None:
    """The weight of the squared error of ε at each t under every weighting,
    for each schedule that a run is trained on.
    """
    loaded, rows = material.loaded, Rows()
    for named, process in _processes(_used([*diffusion_runs(loaded), *loaded.ablations.values()])).items():
        for weighting, formula, weight in _weights(process):
            told = (weight.min(), weight.max(), weight.mean(), weight.std(correction=0))
            rows.add(*named, weighting, formula, *map(float, told))
    caption = "The weight of the squared error of ε under each weighting of the loss, over t = 0 … T − 1."
    notes = (
        "Every weighting is one loss whatever is predicted: its factor of another prediction's error follows from this "
        "one. `none` is that only for ε; for other predictions it weighs their own squared error alike, and the last "
        "rows say what that does to ε. c is the factor of x₀ in the posterior mean (Ho et al. 2020, eq. 7). At t = 0, "
        "where β̃ is 0, the importance takes that of t = 1.",
    )
    columns = headers("Schedule | T | Weighting | Weight | Least | Largest | Mean | Standard deviation")
    table = Table("weightings", caption, columns, rows, notes=notes, folded=len(rows) > 24)
    drawn = _processes(list(_used(diffusion_runs(loaded)))[:3])
    return chapter_of("weightings", "Weightings of the loss", _curves(drawn) if drawn else None, table)
