"""The noise schedules of the runs among those of the registry."""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.lines import Line2D
from rediffuse.errors import UserError
from rediffuse.reporting.ablation import METRIC, Variant, ablation_settings
from rediffuse.reporting.frames import Frames
from rediffuse.reporting.style import DASHES, MARKERS, WIDTH, Picture, finish, outside_legend, plain_log
from rediffuse.reporting.table import Estimate
from rediffuse.reporting.terms import NOT_ASKED, OTHER, metric_short, metric_title, run_colours


def schedules(frames: Frames) -> Picture | None:
    """ᾱ and log-SNR of the runs' schedules, in their colours, and of the other schedules of the registry, in grey."""
    from rediffuse.diffusion.schedules import SCHEDULES

    colours, runs = run_colours(frames.loaded), list(frames.loaded.runs.values())
    used: dict[tuple[str, int], list[str]] = {}
    for run in runs:
        used.setdefault((run.diffusion.schedule, run.diffusion.timesteps), []).append(run.name)
    timesteps = runs[0].diffusion.timesteps
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
            label = f"{name} ({', '.join(frames.loaded.runs[run].label for run in names)})"
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
    )


def _alphas_bar(schedule: str, timesteps: int) -> np.ndarray | None:
    from rediffuse.diffusion.schedules import make_betas

    try:
        betas = make_betas(schedule, timesteps).double().numpy()
    except UserError:
        return None  # a T too small for this schedule
    return np.cumprod(1 - betas)

