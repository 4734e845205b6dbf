"""What trained networks make of damaged images, and how a sample comes about."""

from collections.abc import Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from rediffuse.config import ResolvedRun
from rediffuse.evaluation.intervals import over_images
from rediffuse.reporting.experiments.material import Material
from rediffuse.reporting.read.frames import Frames
from rediffuse.reporting.read.records import Found, records, restoration_images
from rediffuse.reporting.read.trained import restorations
from rediffuse.reporting.render.blocks import Chapter, chapter_of
from rediffuse.reporting.render.picture import WIDTH, Picture, finish, mosaic, show
from rediffuse.reporting.render.table import Rows, Table, headers
from rediffuse.reporting.terms import compared_runs, run_colours
from rediffuse.reporting.values import NOT_ASKED, Estimate, Value

SHOWN = 8
LABELS = 3.0  # inches for the names of rows
INPUTS = {"inpainting": "middle quarter missing", "denoising": "noise added", "super-resolution": "2×2 means"}


def restored(frames: Frames) -> list[Found]:
    """What main runs, and then those that experiments trained, made of damaged images."""
    main = (one for one in records(frames, "restoration/psnr.json", "tasks") if one.run.restores)
    return [*main, *(Found(*one) for one in restorations(frames))]


def _shown(frames: Frames) -> list[ResolvedRun]:
    """The compared runs that restored images."""
    runs = (run for run in compared_runs(frames.loaded) if run.restores)
    return [run for run in runs if restoration_images(frames, run) is not None]


def table(frames: Frames) -> Table | None:
    """PSNR of each task, method, run and seed; None when nothing was restored."""
    rows, found = Rows(), restored(frames)
    for task in INPUTS:
        scores = [(one, one.record["tasks"][task]) for one in found if task in one.record["tasks"]]
        for method in dict.fromkeys(method for _, score in scores for method in score["restored"]):
            own = [(one, score, score["restored"][method]) for one, score in scores if method in score["restored"]]
            first = own[0][2].get("per_image")  # which a file made before it was kept lacks
            for one, score, value in own:
                more: Value = NOT_ASKED
                mine = value.get("per_image")
                if first and mine and mine is not first and len(mine) == len(first):
                    more = Estimate.of(over_images(np.subtract(mine, first)))
                about = (task, method, one.run.label, one.seed, Estimate.of(score["damaged"]), Estimate.of(value))
                rows.add(*about, more, value["n"], frames.pedigree.links([one.file]))
    if not rows:
        return None
    columns = headers(
        "Task | Method | Run | Seed | Damaged image (PSNR, dB) | Restored image (PSNR, dB)",
        "More than the first run (dB) | Images | From",
    )
    study = frames.loaded.study.restoration
    caption = "Restoring held-out images with networks that were trained for nothing but sampling (higher is better)."
    notes = (
        f"Noise to remove: σ = {study.sigma:g} where pixels span [−1, 1]. {study.steps} steps; RePaint walks each "
        f"{study.resamples} times. Brackets: 95 % t-interval over images. More than the first run: of the same images, "
        "image by image.",
        "The exact posterior mean has the least squared error to be expected; a sample is sharper and errs more.",
    )
    return Table("restoration", caption, columns, rows, notes=notes, narrow=True)


def figure(frames: Frames) -> Picture | None:
    """Original, damaged and restored images of the compared runs."""
    runs = _shown(frames)
    if not runs:
        return None
    first = restoration_images(frames, runs[0])
    assert first is not None
    strips: list[tuple[str, str, np.ndarray]] = [("original", "#222222", first["original"])]
    for task, damage in INPUTS.items():
        strips.append((f"{task}: {damage}", "#222222", first[f"{task}/damaged"]))
        for run in runs:
            arrays = restoration_images(frames, run) or {}
            for name, images in arrays.items():
                method = name.removeprefix(f"{task}/")
                if method not in (name, "damaged"):
                    strips.append((f"{run.label}, {method}", run_colours(frames.loaded)[run.name], images))
    drawing, _ = _rows([(label, colour, images[:SHOWN]) for label, colour, images in strips], SHOWN)
    caption = (
        "Held-out images, what was done to them, and what each run makes of it. The images are the first of the "
        "table's; none was picked."
    )
    alt = "Rows of images: originals, damaged ones and restored ones by task and run."
    return finish(drawing, "restoration", caption, alt, raster=True)


def _rows(strips: Sequence[tuple[str, str, np.ndarray]], columns: int, above: float = 0.0) -> tuple[Figure, list[Axes]]:
    """A row of so many images for each strip (label, its colour, images), under `above` inches left free."""
    side = (WIDTH - LABELS) / columns
    height = (side + 0.04) * len(strips) + 0.2 + above
    drawing, grid = plt.subplots(len(strips), 1, figsize=(WIDTH, height), squeeze=False, layout="none")
    top = 0.995 - above / height
    drawing.subplots_adjust(left=LABELS / WIDTH, right=1.0, top=top, bottom=0.005, hspace=0.05)
    for axes, (label, colour, images) in zip(grid[:, 0], strips, strict=True):
        show(axes, mosaic(images, columns))
        axes.text(-0.02, 0.5, label, ha="right", va="center", fontsize=10, color=colour, transform=axes.transAxes)
    return drawing, list(grid[:, 0])


def film(frames: Frames) -> Picture | None:
    """x_t and the estimate of x_0 along the steps of ancestral sampling."""
    runs = _shown(frames)
    if not runs:
        return None
    times = [f"t = {t:.0f}" for t in (restoration_images(frames, runs[0]) or {})["film-t"]] + ["sample"]
    strips = []
    for run in runs:
        arrays, colour = restoration_images(frames, run) or {}, run_colours(frames.loaded)[run.name]
        for name, what in (("film-x", "xₜ"), ("film-x0", "estimate of x₀")):
            strips.append((f"{run.label}, {what}", colour, np.stack([images[0] for images in arrays[name]])))
    drawing, (first, *_) = _rows(strips, len(times), above=0.3)
    for place, time in enumerate(times):
        where: dict[str, Any] = {"ha": "center", "va": "bottom", "transform": first.transAxes}
        first.text((place + 0.5) / len(times), 1.05, time, fontsize=10, **where)
    caption = (
        f"How a sample comes about: x_t and the network's estimate of x_0 from it, along "
        f"{frames.loaded.study.restoration.steps} steps of ancestral sampling from the same noise."
    )
    alt = "Film strips of one sample of each run: the noisy image above, the estimate of the clean one below."
    return finish(drawing, "film", caption, alt, raster=True)


def chapter(material: Material) -> Chapter | None:
    """Damaged images made good, and the way to a sample."""
    frames = material.frames
    return chapter_of("restoration", "Restoration", table(frames), figure(frames), film(frames))
