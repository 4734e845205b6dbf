"""Figures of images: by training step, by number of sampling steps, real beside generated. No image is chosen."""

from typing import Any

import matplotlib.pyplot as plt
import numpy as np

from rediffuse.config import ResolvedRun
from rediffuse.config.sampling import Setting
from rediffuse.evaluation.metrics import metric_short
from rediffuse.reporting.experiments.cells import Cells
from rediffuse.reporting.experiments.comparison import main_pair
from rediffuse.reporting.experiments.material import Material
from rediffuse.reporting.read.frames import Frames
from rediffuse.reporting.read.records import held_out_images, preview_image, sample_images
from rediffuse.reporting.render.blocks import Chapter, Item, chapter_of
from rediffuse.reporting.render.picture import WIDTH, Picture, finish, mosaic, row_label, show
from rediffuse.reporting.terms import (
    REAL_LABEL,
    capital,
    compared_runs,
    diffusion_runs,
    run_colours,
    sampler_title,
    setting_title,
)
from rediffuse.reporting.values import NOT_RUN, listed, number, whole
from rediffuse.runs import facts


def previews(frames: Frames) -> Picture | None:
    """Samples drawn while training, by training step."""
    runs = list(diffusion_runs(frames.loaded))
    steps = sorted({step for run in runs for step in facts.preview_steps(run)})
    found = {(run.name, step): preview_image(frames, run, step) for run in runs for step in facts.preview_steps(run)}
    if not any(image is not None for image in found.values()):
        return None
    size = min(2.4, (WIDTH - 0.4) / len(steps))
    extent = (size * len(steps) + 0.4, size * len(runs) + 0.35)
    figure, grid = plt.subplots(len(runs), len(steps), figsize=extent, squeeze=False)
    for i, run in enumerate(runs):
        for j, step in enumerate(steps):
            absent = NOT_RUN if step in facts.preview_steps(run) else ""
            show(grid[i, j], found.get((run.name, step)), f"step {whole(step)}" if i == 0 else "", absent=absent)
        row_label(grid[i, 0], run.label, run_colours(frames.loaded)[run.name])
    averaged = {run.training.ema_decay > 0 for run in runs}
    weights = "averaged (EMA) weights" if averaged == {True} else "each run's own kind of weights"
    seed = f", training seed {runs[0].seeds[0]}" if len(runs[0].seeds) > 1 else ""
    by = listed(sorted({"Euler's method" if facts.is_flow(run) else "DDIM" for run in runs}))
    caption = (
        f"Samples by training step, drawn by {by} with {weights}{seed}. A column is one training step; the noise they "
        "start from is the same."
    )
    alt = "Grids of samples, one row for each run and one column for each training step."
    return finish(figure, "previews", caption, alt, raster=True)


def samples_by_steps(frames: Frames, cells: Cells, run: ResolvedRun) -> Picture | None:
    """The first samples of every sampler and number of steps of a run."""
    if facts.is_conditional(run):
        return _samples_by_class(frames, cells, run, facts.own_settings(run), f"samples-{run.name}")
    comparable = facts.comparable_settings(run)
    keys = list(dict.fromkeys(key for _, key, _ in comparable))
    steps = list(dict.fromkeys(pace for _, _, pace in sorted(comparable, key=facts.fineness)[::-1]))
    settings = {(key, count): setting for setting, key, count in comparable}
    images = {place: sample_images(frames, run, setting, 16) for place, setting in settings.items()}
    if not any(image is not None for image in images.values()):
        return None
    size = min(2.4, (WIDTH - 0.4) / len(steps))
    extent = (size * len(steps) + 0.4, (size + 0.22) * len(keys) + 0.3)
    figure, grid = plt.subplots(len(keys), len(steps), figsize=extent, squeeze=False)
    short = metric_short("frechet_distance", frames.features)
    for i, key in enumerate(keys):
        for j, count in enumerate(steps):
            image, setting = images.get((key, count)), settings.get((key, count))
            cell = cells.get((run.name, setting or "", "frechet_distance"))
            note = number(cell.value) if cell and image is not None else ""
            sheet = None if image is None else mosaic(image, 4)
            title = facts.in_words(count) if i == 0 else ""
            show(grid[i, j], sheet, title, note, absent=NOT_RUN if setting else "")
        row_label(grid[i, 0], sampler_title(run, key).replace(" (", "\n("), run_colours(frames.loaded)[run.name])
    seed = f", training seed {run.seeds[0]}" if len(run.seeds) > 1 else ""
    caption = (
        f"{run.label}: the first 16 samples of each sampler by number of steps{seed}, and below each its {short}. "
        "Sample i starts from the same noise everywhere."
    )
    alt = f"Grids of samples of {run.label}, one row for each sampler and one column for each number of steps."
    return finish(figure, f"samples-{run.name}", caption, alt, raster=True)


def guided_samples(frames: Frames, cells: Cells, run: ResolvedRun) -> Picture | None:
    """The first samples that a classifier guided; None when it guides none of the run."""
    guided = [s for s in facts.own_settings(run) if run.sampling.samplers[s[1]].classifier_scale is not None]
    return _samples_by_class(frames, cells, run, guided, f"samples-{run.name}-guided") if guided else None


def _samples_by_class(
    frames: Frames, cells: Cells, run: ResolvedRun, settings: list[Setting], name: str
) -> Picture | None:
    """The first samples of settings that are asked for by class, a column a class."""
    images = [sample_images(frames, run, setting, 50) for setting, _, _ in settings]
    if all(image is None for image in images):
        return None
    columns = min(3, len(settings))
    rows = -(-len(settings) // columns)
    size = WIDTH / columns
    figure, grid = plt.subplots(rows, columns, figsize=(WIDTH, (size / 2 + 0.55) * rows), squeeze=False)
    short = metric_short("frechet_distance", frames.features)
    for axes in grid.flat[len(settings) :]:
        axes.set_axis_off()
    for axes, (setting, key, steps), found in zip(grid.flat, settings, images, strict=False):
        sampler, cell = run.sampling.samplers[key], cells.get((run.name, setting, "frechet_distance"))
        what = sampler_title(run, key) if sampler.guidance is None else f"guidance {sampler.guidance:g}"
        if sampler.classifier_scale is not None:
            what = f"classifier's scale {sampler.classifier_scale:g}"
        title = f"{what}, {facts.in_words(steps)}"
        show(axes, None if found is None else mosaic(found, 10), title, f"{short} {number(cell.value)}" if cell else "")
    caption = (
        f"{run.label}: the first 50 samples of each setting, sample i asked for class i mod K: with ten classes a "
        "column is a class. Sample i starts from the same noise everywhere."
    )
    return finish(figure, name, caption, f"Grids of samples of {run.label}, one for each guidance scale.", raster=True)


def real_beside_generated(frames: Frames, cells: Cells) -> Picture | None:
    """Held-out real images beside samples of the main pair (or of all that compare) at most and at fewest steps."""
    loaded, pair = frames.loaded, main_pair(frames)
    runs = list(pair) if pair else compared_runs(loaded)[:3]
    real, short = held_out_images(frames, 64), metric_short("frechet_distance", frames.features)
    rows = [[(run, setting) for setting in _most_and_fewest(runs, run)] for run in runs]
    places = [place for row in rows for place in row]
    found = [sample_images(frames, run, setting, 32) for run, setting in places]
    if all(images is None for images in found):
        return None
    across = max(map(len, rows))
    tallest = max(-(-len(images) // 8) for images in found if images is not None)
    size = WIDTH / (across + 1)
    figure = plt.figure(figsize=(WIDTH, len(runs) * (size * tallest / 8 + 0.75)))
    grid = figure.add_gridspec(len(runs), across + 1)
    line = cells.get(("real", "held-out", "frechet_distance"))
    sheets: list[tuple[Any, str, np.ndarray | None, Any]] = [(grid[:, 0], capital(REAL_LABEL), real, line)]
    spots = [grid[down, 1 + right] for down, row in enumerate(rows) for right in range(len(row))]
    for spot, (run, setting), images in zip(spots, places, found, strict=True):
        title = f"{run.label}\n{setting_title(loaded, run.name, setting)}"
        cell = cells.get((run.name, setting, "frechet_distance"))
        sheets.append((spot, title, images, cell))
    for where, title, images, cell in sheets:
        sheet = None if images is None else mosaic(images, 8)
        show(figure.add_subplot(where), sheet, title, f"{short} {number(cell.value)}" if cell else "")
    n = loaded.study.evaluation.group_size
    caption = (
        f"Real images (left: {0 if real is None else len(real)} held-out ones, spread evenly over the split) beside "
        f"the first samples of each run {'by' if across == 1 else 'at the most and at the fewest steps of'} its first "
        f"sampler; sample i starts from the same noise everywhere and none was picked. Below each: its {short} from "
        f"{n} images, lower is better."
    )
    alt = "A grid of real images beside grids of samples, one row for each run: at many steps and at few."
    return finish(figure, "real-generated", caption, alt, raster=True)


def _most_and_fewest(runs: list[ResolvedRun], run: ResolvedRun) -> list[str]:
    """The settings of a run's first sampler with the most and the fewest steps that all of the runs have."""
    key = facts.shown_setting(run)[1]
    shared = set.intersection(*({s for s, _, _ in facts.comparable_settings(other)} for other in runs))
    own = [s for s in facts.comparable_settings(run) if s[1] == key] or [facts.shown_setting(run)]
    chosen = sorted((s for s in own if s[0] in shared), key=facts.fineness) or own
    return list(dict.fromkeys((chosen[0][0], chosen[-1][0])))


def chapter(material: Material) -> Chapter | None:
    """Images of every run, as they come."""
    frames, cells = material.frames, material.cells
    found: list[Item] = []
    for run in diffusion_runs(material.loaded):
        found.append(samples_by_steps(frames, cells, run) or f"Samples of {run.label}: {NOT_RUN}.")
        found.append(guided_samples(frames, cells, run))
    found.append(previews(frames) or f"Samples by training step: {NOT_RUN}.")
    return chapter_of("images", "Samples", *found)
