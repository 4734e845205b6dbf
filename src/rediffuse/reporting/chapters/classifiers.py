"""How well the noise-conditional classifiers that guide runs know the class of a noisy image."""

import matplotlib.pyplot as plt

from rediffuse.reporting.experiments.material import Material
from rediffuse.reporting.read.frames import Frames
from rediffuse.reporting.read.records import records
from rediffuse.reporting.render.blocks import Chapter, chapter_of
from rediffuse.reporting.render.picture import WIDTH, Picture, finish
from rediffuse.reporting.render.table import Rows, Table, headers
from rediffuse.reporting.terms import REAL, diffusion_runs, run_colours, run_label, seeds_of
from rediffuse.reporting.values import NOT_RUN, Links

CLASSIFIER, BY_T = "classifier/accuracy.json", ("t", "alpha_bar", "accuracy", "cross_entropy")


def classifiers(frames: Frames) -> Table | None:
    """Held-out accuracy of each noise-conditional classifier by t; None when there is none."""
    rows = Rows()
    found = {(one.run.name, one.seed): one for one in records(frames, CLASSIFIER, "by_t", "classes")}
    asked = [run for run in diffusion_runs(frames.loaded) if run.classifier is not None]
    for run, seed in seeds_of(asked):
        if (one := found.get((run.name, seed))) is None:
            rows.add(run.label, seed, *[NOT_RUN] * 6, Links(()))
            continue
        shared, links = (one.record["parameters"], one.record["n"]), frames.pedigree.links([one.file])
        for row in one.record["by_t"]:
            rows.add(run.label, seed, *(row[name] for name in BY_T), *shared, links)
    if not rows:
        return None
    columns = headers("Classifier of | Seed | t | ᾱ_t | Accuracy | Cross-entropy (nats) | Parameters | n | From")
    caption = (
        "Noise-conditional classifiers on noisy held-out images, by t: where little of the image is left, none can "
        "tell its class, and its gradient says nothing."
    )
    return Table("classifiers", caption, columns, rows, folded=True)


def accuracy_figure(frames: Frames) -> Picture | None:
    """Held-out accuracy of each classifier against t, first seed; None when there is none."""
    colours = run_colours(frames.loaded)
    every = records(frames, CLASSIFIER, "by_t", "classes")
    found = {one.run.name: one.record for one in every if one.seed == one.run.seeds[0]}
    if not found:
        return None
    drawing, axes = plt.subplots(figsize=(WIDTH * 0.6, 3.6))
    for name, judged in found.items():
        t, accuracy = zip(*((row["t"], row["accuracy"]) for row in judged["by_t"]), strict=True)
        axes.plot(t, accuracy, color=colours[name], marker="o", label=f"classifier of {run_label(frames.loaded, name)}")
    chance = 1 / next(iter(found.values()))["classes"]
    axes.axhline(chance, color=REAL, linestyle=(0, (6, 3)), linewidth=1.3, zorder=1, label="chance")
    axes.set(xlabel="t", ylabel="accuracy (share)", ylim=(0, 1))
    axes.legend()
    caption = "How well the noise-conditional classifier knows the class of a noisy held-out image, by t."
    return finish(drawing, "classifier-accuracy", caption, "Accuracy against t, falling from near 1 to chance.")


def chapter(material: Material) -> Chapter | None:
    """How well they see."""
    frames = material.frames
    return chapter_of("classifiers", "Classifiers that guide", accuracy_figure(frames), classifiers(frames))
