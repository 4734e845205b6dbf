"""Which recipe trains more steadily: noise of gradients and of losses between batches at the trained weights."""

from rediffuse.evaluation.metrics import metric_short, metric_title
from rediffuse.reporting.experiments.cells import Cell, bounds
from rediffuse.reporting.experiments.comparison import main_pair
from rediffuse.reporting.experiments.contrasts import compare
from rediffuse.reporting.experiments.material import Material
from rediffuse.reporting.read.probed import probed
from rediffuse.reporting.render import plots
from rediffuse.reporting.render.blocks import Chapter, chapter_of
from rediffuse.reporting.render.table import Rows, Table, headers, metric_titles
from rediffuse.reporting.terms import capital, run_label
from rediffuse.reporting.values import NOT_RECORDED, Estimate

METRICS = ("gradient_noise", "loss_variance")


def cell_of(material: Material, run: str, metric: str) -> Cell | None:
    """The cell of a main run, over more training seeds where an experiment has them."""
    found = [
        cell
        for name in (run, *(n for n, one in material.loaded.ablations.items() if one.of == run and not one.overrides))
        if (cell := material.cells.get((name, "trained", metric))) is not None
    ]
    return max(found, key=lambda cell: len(cell.seeds), default=None)


def sentence(material: Material) -> str:
    """Which of the two recipes is steadier by the noise of its gradients, in one sentence."""
    pair = main_pair(material.frames)
    if pair is None:
        return ""
    baseline, improved = pair
    theirs, ours = (cell_of(material, run.name, METRICS[0]) for run in pair)
    if theirs is None or ours is None:
        return ""
    found = compare(ours, theirs)
    words = {
        "better": f"{improved.label} trains more steadily than {baseline.label}",
        "worse": f"{baseline.label} trains more steadily than {improved.label}",
        "undecided": f"Whether {baseline.label} or {improved.label} trains more steadily is undecided",
    }
    how = list(
        dict.fromkeys(
            cell.interval if len(cell.seeds) > 1 else f"1 training seed, {cell.interval}" for cell in (theirs, ours)
        )
    )
    shown = [str(Estimate(cell.value, cell.low, cell.high)) for cell in (theirs, ours)]
    return (
        f"{words[found.outcome]} by the noise of its gradients (document D2, section 5.4): a batch's gradient has "
        f"{shown[0]} times as much noise as signal with {baseline.label} and {shown[1]} times with {improved.label} "
        f"({' and '.join(how)}); {found.reason}."
    )


def table(material: Material) -> Table:
    """What was measured of each network."""
    rows = Rows()
    for one in probed(material.frames):
        metrics, told = one.record["metrics"], one.record["gradients"]
        found = metrics["gradient_noise"]
        known = [metrics[name] for name in METRICS]
        shown = [NOT_RECORDED if m["value"] is None else Estimate.of(m) for m in known]
        scale = NOT_RECORDED if found["value"] is None else found["value"] * told["batch_size"]
        links = material.frames.pedigree.links([one.file])
        rows.add(
            run_label(material.loaded, one.run.name),
            one.seed,
            *shown,
            scale,
            told["batch_size"],
            told["loss"],
            found["n"],
            links,
        )
    titles = metric_titles(METRICS, material.frames.features)
    columns = headers(
        "Run | Seed", titles, "Noise scale B_simple (images) | Images of a batch | Mean loss | Batches | From"
    )
    absent = " Not recorded: the signal is not clearly above 0." if NOT_RECORDED in [row[2] for row in rows] else ""
    notes = (
        "At the averaged weights, each image of a batch drawn anew from the training images, t and noise as in "
        "training. Noise: trace of the covariance of a batch's gradient; signal: squared norm of the mean gradient; "
        "both without bias (McCandlish et al. 2018). Brackets: 95 % intervals by the jackknife over batches, of the "
        f"inverse for the first and of the logarithm for the second.{absent} Losses of different objectives "
        "are different things, their relative variance may be compared.",
    )
    caption = f"{capital(metric_title(METRICS[0], ''))}, and {metric_title(METRICS[1], '')}."
    return Table("steadiness", caption, columns, rows, notes, folded=len(rows) > 16)


def chapter(material: Material) -> Chapter | None:
    """The sentence, a figure and what it rests on."""
    networks = probed(material.frames)
    if not networks:
        return None
    runs = list(dict.fromkeys(one.run.of if one.run.of and not one.run.overrides else one.run.name for one in networks))
    caption = (
        "How much batches differ at the trained weights: noise of a batch's gradient beside its signal, and variance "
        "of the loss beside its squared mean (lower is steadier). Bars: 95 % intervals, over training seeds where "
        "there are several."
    )
    panels = []
    for metric in METRICS:
        cells = {run: cell_of(material, run, metric) for run in runs}
        points = []
        for run, cell in cells.items():
            if cell is not None:
                # A lone seed is the value itself.
                seeds = tuple(part.value for part in cell.parts) if len(cell.parts) > 1 else ()
                points.append(plots.Point(run_label(material.loaded, run), ("",), cell.value, bounds(cell), seeds))
        if len(points) > 1:
            panels.append(plots.Panel(capital(metric_short(metric, material.frames.features)), points))
    picture = plots.dots(plots.Drawing("steadiness", "run", caption, tuple(panels))) if panels else None
    return chapter_of("steadiness", "Which recipe trains more steadily?", sentence(material), picture, table(material))
