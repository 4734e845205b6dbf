"""What trained networks make of damaged images, and how a sample comes about."""

import matplotlib.pyplot as plt
import numpy as np

from rediffuse.config import ResolvedRun
from rediffuse.evaluation.intervals import over_images
from rediffuse.reporting.experiments.material import Material
from rediffuse.reporting.read.frames import Frames
from rediffuse.reporting.read.records import Found, records, restoration_images
from rediffuse.reporting.read.trained import restorations
from rediffuse.reporting.render.blocks import Chapter, chapter_of
from rediffuse.reporting.render.picture import WIDTH, Picture, finish, mosaic, row_label, show
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
        "A posterior mean has the highest PSNR that any method can have; a sample is sharper and scores less.",
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
    side = (WIDTH - LABELS) / SHOWN
    size = (WIDTH, (side + 0.04) * len(strips) + 0.2)
    drawing, grid = plt.subplots(len(strips), 1, figsize=size, squeeze=False, layout="none")
    drawing.subplots_adjust(left=LABELS / WIDTH, right=1.0, top=0.995, bottom=0.005, hspace=0.05)
    for axes, (label, colour, images) in zip(grid[:, 0], strips, strict=True):
        show(axes, mosaic(images[:SHOWN], SHOWN))
        axes.text(-0.02, 0.5, label, ha="right", va="center", fontsize=10, color=colour, transform=axes.transAxes)
    caption = (
        "Held-out images, what was done to them, and what each run makes of it. The images are the first of the "
        "table's; none was picked."
    )
    alt = "Rows of images: originals, damaged ones and restored ones by task and run."
    return finish(drawing, "restoration", caption, alt, raster=True)


def film(frames: Frames) -> Picture | None:
    """x_t and the estimate of x_0 along the steps of ancestral sampling."""
    runs = _shown(frames)
    if not runs:
        return None
    count = len((restoration_images(frames, runs[0]) or {})["film-t"])
    size = (WIDTH, 2 * len(runs) * WIDTH / (count + 2) + 0.3)
    drawing, grid = plt.subplots(2 * len(runs), count + 1, figsize=size, squeeze=False)
    for i, run in enumerate(runs):
        arrays = restoration_images(frames, run) or {}
        for j in range(count + 1):
            title = (f"t = {arrays['film-t'][j]:.0f}" if j < count else "sample") if i == 0 else ""
            show(grid[2 * i, j], mosaic(arrays["film-x"][j][:1], 1), title)
            show(grid[2 * i + 1, j], mosaic(arrays["film-x0"][j][:1], 1))
        colour = run_colours(frames.loaded)[run.name]
        row_label(grid[2 * i, 0], f"{run.label}\nxₜ", colour)
        row_label(grid[2 * i + 1, 0], "estimate\nof x₀", colour)
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
