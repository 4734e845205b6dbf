"""The noise schedules of the runs among those of the registry."""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.lines import Line2D

from rediffuse.errors import UserError
from rediffuse.reporting.experiments.material import Material
from rediffuse.reporting.read.frames import Frames
from rediffuse.reporting.render.blocks import Chapter, chapter_of
from rediffuse.reporting.render.picture import DASHES, WIDTH, Picture, finish
from rediffuse.reporting.terms import OTHER, diffusion_runs, run_colours, run_label
from rediffuse.runs import facts


def schedules(frames: Frames) -> Picture | None:
    """ᾱ and log-SNR of the runs' schedules, in their colours, and of the other schedules of the registry, in grey."""
    from rediffuse.diffusion.schedules import SCHEDULES

    colours, runs = run_colours(frames.loaded), diffusion_runs(frames.loaded)
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
            label = f"{name} ({', '.join(run_label(frames.loaded, run) for run in names)})"
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
    caption = "Noise schedules: those of the runs in their colours, the others of the registry in grey for comparison."
    alt = "Two panels: alpha-bar and log signal-to-noise ratio against time for each schedule."
    return finish(figure, "schedules", caption, alt)


def _alphas_bar(schedule: str, timesteps: int) -> np.ndarray | None:
    from rediffuse.diffusion.schedules import make_betas

    try:
        betas = make_betas(schedule, timesteps).double().numpy()
    except UserError:
        return None  # a T too small for this schedule
    return np.cumprod(1 - betas)


def chapter(material: Material) -> Chapter | None:
    """The schedules side by side."""
    return chapter_of("schedules", "Noise schedules", schedules(material.frames))
