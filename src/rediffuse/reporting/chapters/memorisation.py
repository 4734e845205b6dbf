"""Memorisation: how near samples lie to training images, beside how near held-out real images lie to them."""

from collections import Counter
from typing import Any

import matplotlib.pyplot as plt
import numpy as np

from rediffuse.reporting.experiments.material import Material
from rediffuse.reporting.read.frames import Frames
from rediffuse.reporting.read.records import examined, images_at, sample_images
from rediffuse.reporting.render.blocks import Chapter, chapter_of
from rediffuse.reporting.render.picture import WIDTH, Picture, finish, mosaic, show
from rediffuse.reporting.render.table import Rows, Table, headers
from rediffuse.reporting.terms import REAL, REAL_LABEL, run_colours, setting_title
from rediffuse.reporting.values import NOT_ASKED, Value, counted, listed, number, spans

SPACES = {"pixels": "pixels", "features": "features"}
LABELS = 2.6  # inches for the names of rows
SIDE = 0.62  # inches an image
#: Standard deviations of Mann and Whitney's statistic beyond which samples lie clearly nearer or farther.
CLEAR = 3.0


def words(frames: Frames) -> str:
    """Which models' samples lie clearly nearer to training images than held-out images do."""
    scores = [
        (f"{run.label} in {SPACES[space]}", scores["z"])
        for run, _, record, _ in examined(frames)
        for space, scores in record["memorisation"].items()
    ]
    if not scores:
        return ""
    seeds = Counter(who for who, _ in scores)

    def told(clear: list[tuple[str, float]]) -> list[str]:
        some = Counter(who for who, _ in clear)
        part = {who: f", {some[who]} of {seeds[who]} seeds" if some[who] < seeds[who] else "" for who in some}
        return [f"{who} (z = {z}{part[who]})" for who, z in spans(clear, lambda z: number(z, 3)).items()]

    nearer = told([(who, z) for who, z in scores if z < -CLEAR])
    farther = told([(who, z) for who, z in scores if z > CLEAR])
    text = f"No model's samples lie clearly nearer (z below −{CLEAR:g}) to the training images than held-out images do."
    if nearer:
        text = f"Clearly nearer (z below −{CLEAR:g}) to the training images than held-out images are: {listed(nearer)}."
        text += f" That alone is no copying, as smooth images lie nearer to all others: {listed(_copies(frames))}."
    if farther:
        text += f" Clearly farther: {listed(farther)}; samples that lie off the images would hide copies among them."
    return text


def _copies(frames: Frames) -> list[str]:
    """How many samples of each model that has samples clearly nearer are a training image, or nearly."""
    counts: dict[str, list[tuple[int, int]]] = {}
    for run, _, record, _ in examined(frames):
        if any(scores["z"] < -CLEAR for scores in record["memorisation"].values()):
            n, _, near, *_ = _counts(record["duplicates"]["samples"])
            counts.setdefault(run.label, []).append((near, n))
    sums = {label: [sum(part) for part in zip(*some, strict=True)] for label, some in counts.items()}
    return [
        f"{near:,} of {counted(n, 'sample')} of {label} {'is' if near == 1 else 'are'} nearly equal to a training image"
        for label, (near, n) in sums.items()
    ]


def table(frames: Frames) -> Table | None:
    """Distances to the nearest training image, of samples and of held-out images; None when nothing was examined."""
    rows = Rows()
    for run, seed, record, file in examined(frames):
        links = frames.pedigree.links([file])
        for space, title in SPACES.items():
            m = record["memorisation"][space]
            ratio: Value = NOT_ASKED if m["ratio"] is None else m["ratio"]
            numbers = (m["median_samples"], m["median_held_out"], ratio, 100 * m["closer"], m["auroc"], m["z"])
            rows.add(
                run.label,
                setting_title(frames.loaded, run.name, record["setting"]),
                seed,
                title,
                *numbers,
                m["samples"],
                m["held_out"],
                links,
            )
    if not rows:
        return None
    columns = headers(
        "Model | Setting | Seed | Space | Median distance, samples | Median distance, held-out images | "
        "Ratio | Nearer than the nearest 5 % of held-out (% of samples) | "
        "P(sample farther than held-out) | z | Samples | Held-out images | From"
    )
    caption = "Distance to the nearest training image: samples against real images that no model has seen."
    notes = (
        "A model that generalises has ratio 1, 5 % of samples nearer, probability 0.5 and z = 0; one that copies has "
        "less of each but the second. z: Mann and Whitney's statistic (Meehan et al. 2020). Bad samples lie far "
        "from everything: a z above 0 clears no model.",
        "Pixels count as values in [0, 1], features are those of the evaluation; distances are Euclidean.",
    )
    return Table("memorisation", caption, columns, rows, notes=notes)


def duplicates(frames: Frames) -> Table | None:
    """Samples that are a training image, or one another, byte for byte or nearly; held-out images counted likewise."""
    rows = Rows()
    last: tuple[dict[str, Any], str] | None = None
    for run, seed, record, file in examined(frames):
        counts = _counts(record["duplicates"]["samples"])
        rows.add(
            run.label,
            setting_title(frames.loaded, run.name, record["setting"]),
            seed,
            *counts,
            frames.pedigree.links([file]),
        )
        last = last or (record["duplicates"]["held_out"], file)
    if last is None:
        return None
    rows.add(REAL_LABEL, NOT_ASKED, NOT_ASKED, *_counts(last[0]), frames.pedigree.links([last[1]]))
    columns = headers(
        "Images | Setting | Seed | n | Equal to a training image | Nearly equal to one | "
        "Equal to an earlier one of the n | Nearly equal to another of the n | From"
    )
    caption = "Exact and near duplicates: of training images, and among the images themselves."
    note = (
        f"Near: a root mean square difference of at most {last[0]['threshold']:g} of the range of a pixel "
        f"({255 * last[0]['threshold']:.0f} of 255 levels), exact ones included."
    )
    return Table("duplicates", caption, columns, rows, notes=(note,), marked=frozenset([len(rows) - 1]))


def _counts(counted_: dict[str, Any]) -> tuple[int, int, int, int, int]:
    return (counted_["samples"], counted_["exact"], counted_["near"], counted_["exact_among"], counted_["near_among"])


def figure(frames: Frames) -> Picture | None:
    """The first samples of each run and one-pass model and the first held-out images,
    each above its nearest training images.
    """
    blocks: list[tuple[str, str, list[np.ndarray]]] = []
    held_out: tuple[str, str, list[np.ndarray]] | None = None
    for run, seed, record, _ in examined(frames):
        if seed != run.seeds[0]:
            continue
        rows = record["neighbours"]["samples"]
        images = sample_images(frames, run, record["setting"], len(rows))
        strips = _strips(frames, rows, images)
        if strips:
            how = setting_title(frames.loaded, run.name, record["setting"])
            blocks.append((f"{run.label}, {how}", run_colours(frames.loaded)[run.name], strips))
        if held_out is None:
            real = record["neighbours"]["held_out"]
            strips = _strips(frames, real, images_at(frames, [row["position"] for row in real]))
            held_out = (REAL_LABEL, REAL, strips) if strips else None
    if not blocks:
        return None
    blocks += [held_out] if held_out else []
    count = max(len(strips[0]) for _, _, strips in blocks)
    columns = 2 if len(blocks) > 1 else 1
    lines = -(-len(blocks) // columns)
    half = WIDTH / columns
    side = min(SIDE, (half - LABELS / columns - 0.2) / count)
    height = lines * (3 * side + 0.55)
    drawing, grid = plt.subplots(3 * lines, columns, figsize=(WIDTH, height), squeeze=False, layout="none")
    for axes in grid.flat:
        axes.set_axis_off()
    names = ("image", "nearest in\npixels", "nearest in\nfeatures")
    for place, (label, colour, strips) in enumerate(blocks):
        line, column = divmod(place, columns)
        for i, (name, images) in enumerate(zip(names, strips, strict=True)):
            axes = grid[3 * line + i, column]
            left, top = column * half + 0.85, line * (3 * side + 0.55) + 0.35 + i * side
            axes.set_position((left / WIDTH, 1 - (top + side) / height, count * side / WIDTH, side / height))
            show(axes, mosaic(images, count))
            axes.set_anchor("W")
            axes.text(-0.01, 0.5, name, ha="right", va="center", fontsize=8, color="#444444", transform=axes.transAxes)
            if i == 0:
                axes.set_title(label, fontsize=10, color=colour, loc="left")
    caption = (
        f"Copies? The first {counted(count, 'sample')} of each model, and held-out real images, each above its nearest "
        "training image in pixels and in features. A column is an image and its neighbours; none was picked."
    )
    alt = "Blocks of three rows for each model: samples, nearest training images in pixels, and in features."
    return finish(drawing, "neighbours", caption, alt, raster=True)


def _strips(frames: Frames, rows: list[dict[str, Any]], images: np.ndarray | None) -> list[np.ndarray]:
    """The images and their nearest training images in each space; empty when any of them is not there."""
    near = [images_at(frames, [row[space]["training"] for row in rows]) for space in SPACES]
    there = [part for part in (images, *near) if part is not None]
    return there if len(there) == 3 and len(there[0]) == len(rows) > 0 else []


def chapter(material: Material) -> Chapter | None:
    """Are samples copies?"""
    frames = material.frames
    items = (words(frames), table(frames), duplicates(frames), figure(frames))
    return chapter_of("memorisation", "Memorisation", *items)
