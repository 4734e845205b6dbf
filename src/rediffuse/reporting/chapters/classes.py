"""Which classes samples show, and how far those of one class are from real ones."""

from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes

from rediffuse.evaluation.metrics import metric_title
from rediffuse.reporting.experiments.material import Material
from rediffuse.reporting.read.frames import Frames
from rediffuse.reporting.read.records import examined
from rediffuse.reporting.render.blocks import Chapter, chapter_of
from rediffuse.reporting.render.picture import WIDTH, Picture, finish, outside_legend
from rediffuse.reporting.render.table import Rows, Table, headers
from rediffuse.reporting.terms import REAL, REAL_LABEL, capital, run_colours, run_seed, run_seeds, setting_title
from rediffuse.reporting.values import NOT_ASKED, Value, counted, listed, number
from rediffuse.runs import facts

#: Most classes that have columns and bars of their own.
MOST = 20
TRAINING_LABEL = "training images"


def table(frames: Frames) -> Table | None:
    """Classes that a classifier of features sees in samples; None when nothing was examined or images have none."""
    rows = Rows()
    last: tuple[dict[str, Any], str] | None = None
    for run, seed, record, file in examined(frames):
        if record["classes"] is None:
            continue
        last = last or (record["classes"], file)
        shares = _coverage(record["classes"]["samples"])
        rows.add(
            run.label,
            setting_title(frames.loaded, run.name, record["setting"]),
            seed,
            *shares,
            frames.pedigree.links([file]),
        )
    if last is None:
        return None
    classes, file = last
    shares = _coverage(classes["held_out"])
    rows.add(REAL_LABEL, NOT_ASKED, NOT_ASKED, *shares, frames.pedigree.links([file]))
    names = [f"“{name}”" for name in _shown(classes["names"])]
    coverage = "Classes covered (%) | Effective number of classes | Divergence from training shares (nats)"
    columns = headers("Images | Setting | Seed | n", coverage, names, "From")
    caption = "Classes that samples show, as a logistic regression on the features of the training images sees them."
    note = (
        f"The classifier is right on {100 * classes['accuracy']:.1f} % of held-out images. Effective number: exp of "
        "the entropy of the shares. Divergence: the sum of p ln(p / q), from the shares q of the training images; that "
        "of held-out images is what chance alone gives at their number. Under a class's name: how many images show it."
    )
    return Table("classes", caption, columns, rows, notes=(note,), marked=frozenset([len(rows) - 1]))


def _coverage(shares: dict[str, Any]) -> tuple[Value, ...]:
    divergence: Value = NOT_ASKED if shares["divergence"] is None else shares["divergence"]
    counts = shares["counts"]
    return sum(counts), 100 * shares["covered"], shares["effective"], divergence, *_shown(counts)


def _shown(values: list[Any]) -> list[Any]:
    return list(values) if len(values) <= MOST else []


def words(frames: Frames) -> str:
    """Which classes no sample of a model shows, and how evenly each spreads over them."""
    found = [e for e in examined(frames) if e[2]["classes"] is not None]
    if not found:
        return ""
    names = found[0][2]["classes"]["names"]
    lacking: dict[tuple[str, tuple[str, ...]], list[int]] = {}
    for model, seed, record, _ in found:
        counts = record["classes"]["samples"]["counts"]
        unseen = tuple(name for name, count in zip(names, counts, strict=True) if count == 0)
        lacking.setdefault((model.name, unseen), []).append(seed)
    whole, missed = [], []
    for (name, unseen), seeds in lacking.items():
        who = run_seeds(frames.loaded.run(name), seeds)
        if not unseen:
            whole.append(who)
            continue
        shown = listed([f"“{one}”" for one in unseen]) if len(unseen) <= MOST else f"{len(unseen)} classes"
        missed.append(f"{who} {shown}")
    texts = [f"All {len(names)} classes are seen in the samples of {listed(whole)}."] if whole else []
    if missed:
        texts.append(f"Never seen: with {'; with '.join(missed)}.")
    low = min(found, key=lambda e: e[2]["classes"]["samples"]["effective"])
    effective, real = (low[2]["classes"][name]["effective"] for name in ("samples", "held_out"))
    made, real_images = (sum(low[2]["classes"][name]["counts"]) for name in ("samples", "held_out"))
    texts.append(
        f"The least even are those of {run_seed(low[0], low[1])}: {number(effective, 3)} classes in effect among "
        f"{counted(made, 'sample')}, {number(real, 3)} among {counted(real_images, 'held-out image')}."
    )
    return " ".join(texts)


def figure(frames: Frames) -> Picture | None:
    """Share of each class in the samples of each run, and below of each one-pass model, beside real images."""
    found = [e for e in examined(frames) if e[2]["classes"] is not None and e[1] == e[0].seeds[0]]
    if not found or len(found[0][2]["classes"]["names"]) > MOST:
        return None
    kinds = [[e for e in found if facts.is_one_pass(e[0]) == one_pass] for one_pass in (False, True)]
    panels = [part for part in kinds if part]
    classes = found[0][2]["classes"]
    handles: dict[str, Any] = {}
    size = (WIDTH, 0.9 + 2.7 * len(panels))
    drawing, grid = plt.subplots(len(panels), 1, figsize=size, squeeze=False, sharex=True, sharey=True)
    for axes, part in zip(grid[:, 0], panels, strict=True):
        handles |= _bars(axes, part, classes, run_colours(frames.loaded))
    for axes in grid[:, 0]:
        axes.set_ylabel("share of images (%)")
        axes.tick_params(labelbottom=True)
    grid[-1, 0].set_xlabel("class that the classifier sees")
    # Real images, which are in every panel, last.
    ends = [handles.pop(label) for label in (REAL_LABEL, TRAINING_LABEL)]
    outside_legend(drawing, [*handles.values(), *ends], columns=4)
    below = " One-pass models stand below the runs." if len(panels) > 1 else ""
    caption = (
        "Mode coverage: the share of each class in the samples of each model and in held-out images, by the same "
        f"classifier. The line across is the class's share of the training images.{below}"
    )
    return finish(drawing, "classes", caption, "Bars of the share of each class for each model and for real images.")


def _bars(axes: Axes, found: list[Any], classes: dict[str, Any], colours: dict[str, str]) -> dict[str, Any]:
    """Draw the bars of some models and of held-out images; the legend's handles by label."""
    bars = [(model.label, colours[model.name], record["classes"]["samples"]["counts"]) for model, _, record, _ in found]
    bars.append((REAL_LABEL, "#AAAAAA", classes["held_out"]["counts"]))
    place, width = np.arange(len(classes["names"])), 0.8 / len(bars)
    handles: dict[str, Any] = {}
    for i, (label, colour, counts) in enumerate(bars):
        where = place + width * (i - (len(bars) - 1) / 2)
        handles[label] = axes.bar(where, 100 * np.array(counts) / sum(counts), width, color=colour, label=label)
    training = 100 * np.array(classes["training"]) / sum(classes["training"])
    look: dict[str, Any] = {"color": REAL, "linewidth": 1.4, "label": TRAINING_LABEL}
    handles[TRAINING_LABEL] = axes.hlines(training, place - 0.45, place + 0.45, **look)
    axes.set_xticks(place, classes["names"])
    axes.grid(False, axis="x")
    return handles


def by_class(frames: Frames) -> Table | None:
    """Fréchet distance within each class, of samples asked for by class; None when no run has them."""
    rows = Rows()
    last: tuple[dict[str, Any], list[str], str] | None = None
    for run, seed, record, file in examined(frames):
        scores = record["by_class"]
        if scores is not None:
            names = [str(label) for label in scores["classes"]]
            if record["classes"] is not None:
                names = [record["classes"]["names"][label] for label in scores["classes"]]
            last = last or (scores, names, file)
            rows.add(
                run.label,
                setting_title(frames.loaded, run.name, record["setting"]),
                seed,
                *_distances(scores["samples"]),
                frames.pedigree.links([file]),
            )
    if last is None:
        return None
    scores, names, file = last
    rows.add(REAL_LABEL, NOT_ASKED, NOT_ASKED, *_distances(scores["held_out"]), frames.pedigree.links([file]))
    own = [f"“{name}”" for name in _shown(names)]
    title = metric_title("frechet_distance", frames.features)
    caption = f"{capital(title)} within each class, of samples that were asked for by class (lower is better)."
    columns = headers("Images | Setting | Seed | Mean over classes", own, "From")
    note = (
        f"From {scores['count']} images of each class against its training images: so few lie far above the "
        "distance of all classes together, real ones too. Compare within the table only."
    )
    return Table("by-class", caption, columns, rows, notes=(note,), marked=frozenset([len(rows) - 1]))


def _distances(scores: dict[str, Any]) -> list[Value]:
    return [scores["mean"], *_shown(scores["distances"])]


def chapter(material: Material) -> Chapter | None:
    """Which classes are seen, how often, and how well each is met."""
    frames = material.frames
    return chapter_of("classes", "Classes", words(frames), table(frames), figure(frames), by_class(frames))
