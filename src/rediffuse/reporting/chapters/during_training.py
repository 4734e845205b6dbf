"""Quality while a run trains: of samples from its averaged and from its raw weights, and what looking costs."""

from statistics import median
from typing import Any, NamedTuple

import matplotlib.pyplot as plt
from matplotlib.axes import Axes

from rediffuse.config import ResolvedRun
from rediffuse.evaluation.metrics import metric_short, metric_title
from rediffuse.reporting.experiments.cells import optional, recorded
from rediffuse.reporting.experiments.material import Material
from rediffuse.reporting.read.frames import Frames, of_run
from rediffuse.reporting.read.records import records
from rediffuse.reporting.read.timings import Timings
from rediffuse.reporting.render.blocks import Chapter, chapter_of
from rediffuse.reporting.render.picture import WIDTH, Picture, finish, handle, outside_legend, plain_log, reference_line
from rediffuse.reporting.render.table import Rows, Table, headers
from rediffuse.reporting.terms import REAL, capital, direction, run_colours, training_of
from rediffuse.reporting.values import NOT_RECORDED, Value, listed, number, spans
from rediffuse.runs import facts

METRICS = ("frechet_distance", "inception_score")
# Of coloured images: what they show is a departure from real ones, not better or worse by itself.
COLOURS = {"colour_cast": "Colour cast", "hue_agreement": "Agreement of hues"}
WEIGHTS: dict[str, Any] = {"averaged": "solid", "raw": (0, (1.5, 1.5))}


class Watched(NamedTuple):
    """What one training scored on its way."""

    run: ResolvedRun
    seed: int
    record: dict[str, Any]
    file: str

    def values(self, metric: str, weights: str) -> list[tuple[int, float]]:
        """(step, value) of a metric, where it could be computed."""
        return [(row["step"], row[weights][metric]) for row in self.record["rows"] if metric in row[weights]]


def watched(frames: Frames) -> list[Watched]:
    """Every run and seed whose samples were scored during training."""
    found = records(frames, "during-training/scores.json", "n", "steps", "held_out", "rows")
    return [Watched(*one) for one in found if one.record["rows"]]


def words(frames: Frames) -> str:
    """How the two kinds of weights compare in the end."""
    found = watched(frames)
    if not found:
        return ""
    metric, record = METRICS[0], found[0].record
    short = metric_short(metric, frames.features)
    last = {w: spans((one.run.label, one.values(metric, w)[-1][1]) for one in found) for w in WEIGHTS}
    parts = [
        f"{one} from averaged and {last['raw'][who]} from raw weights ({who})" for who, one in last["averaged"].items()
    ]
    counts = sorted({len(one.record["rows"]) for one in found})
    times = f"{counts[0]}" if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
    several = "; ranges are over training seeds" if any(len(one.run.seeds) > 1 for one in found) else ""
    texts = [
        f"While the runs trained, {record['n']} images were drawn {times} times from the averaged and from the raw "
        f"weights of each, with {record['steps']} steps of {_method(found)} and always from the same noise, and scored "
        "as one group: a value has no interval, and compares with those of other steps and weights, not with those of "
        "other tables.",
        f"At the last step the {short} is {listed(parts)}{several}.",
    ]
    if metric in record["held_out"]:
        texts.append(f"{record['n']} held-out real images score {number(record['held_out'][metric])}.")
    casts = _casts([one for one in found if one.values("colour_cast", "raw")])
    if casts:
        texts.append(
            f"Median and largest colour cast over the later half of the scored steps: {'; '.join(casts)}. A cast that "
            "is large from raw and small from averaged weights is one that comes and goes from step to step."
        )
    return " ".join(texts)


def _casts(found: list[Watched]) -> list[str]:
    """Median and largest colour cast of each run, by weights."""
    told: dict[str, list[str]] = {}
    for weights in WEIGHTS:
        casts = [(one.run.label, [value for _, value in one.values("colour_cast", weights)]) for one in found]
        later = [(who, values[len(values) // 2 :]) for who, values in casts]
        middle, most = (spans([(who, of(values)) for who, values in later], _two) for of in (median, max))
        for who, value in middle.items():
            told.setdefault(who, []).append(f"{value} and {most[who]} from {weights}")
    return [f"{listed(parts)} weights ({who})" for who, parts in told.items()]


def _two(value: float) -> str:
    return number(value, 2)


def figure(frames: Frames) -> Picture | None:
    """Each metric against the training step, a line for each run and kind of weights."""
    found = watched(frames)
    metrics = _shown(found)
    if not metrics:
        return None
    colours, rows = run_colours(frames.loaded), -(-len(metrics) // 2)
    drawing, grid = plt.subplots(rows, min(2, len(metrics)), figsize=(WIDTH, 0.8 + 3.8 * rows), squeeze=False)
    for axes in grid.flat[len(metrics) :]:
        axes.remove()
    for axes, metric in zip(grid.flat[: len(metrics)], metrics, strict=True):
        for one in found:
            for weights, dash in WEIGHTS.items():
                points, look = one.values(metric, weights), {"color": colours[one.run.name], "marker": "o"}
                axes.plot(*zip(*points, strict=True), linestyle=dash, markersize=4, **look)
        _finish_axes(frames, axes, metric, found[0].record["held_out"].get(metric))
    handles = [handle(run.label, colours[run.name]) for run in {one.run.name: one.run for one in found}.values()]
    handles += [handle(f"{weights} weights", "#444444", linestyle=dash) for weights, dash in WEIGHTS.items()]
    outside_legend(drawing, handles, columns=5)
    record = found[0].record
    colour_words = " ".join(["", *_colour_notes(metrics)])
    caption = (
        f"Samples scored while the runs trained: {record['n']} images by {record['steps']} steps of {_method(found)}, "
        "from the same noise each time. Solid: averaged weights, which all other results use"
        f"{_unaveraged(found)}; dotted: raw weights." + colour_words
    )
    alt = "Panels of sample quality against training step, for averaged and raw weights of each run."
    return finish(drawing, "during-training", caption, alt)


def _method(found: list[Watched]) -> str:
    """By which sampler the images are drawn."""
    kinds = {facts.is_flow(one.run) for one in found}
    return {(False,): "DDIM", (True,): "Euler's method"}.get(tuple(kinds), "DDIM or, on straight paths, Euler's method")


def _unaveraged(found: list[Watched]) -> str:
    """Which runs have no average of their weights."""
    labels = dict.fromkeys(one.run.label for one in found if training_of(one.run).ema_decay == 0)
    return f" (with {listed(list(labels))} the raw ones, as nothing is averaged there)" if labels else ""


def _shown(found: list[Watched]) -> list[str]:
    """The metrics that were computed: those of colours in a pair, for the sake of the figure."""
    return [m for m in (*METRICS, *COLOURS) if any(one.values(m, weights) for one in found for weights in WEIGHTS)]


def _finish_axes(frames: Frames, axes: Axes, metric: str, held_out: float | None) -> None:
    short = COLOURS.get(metric) or metric_short(metric, frames.features)
    which = "" if metric in COLOURS else f" ({direction(metric)} is better)"
    if metric == "frechet_distance":
        axes.set_yscale("log")
    axes.set(title=short, xlabel="training step", ylabel=short + which)
    if held_out is not None:
        reference_line(axes, held_out, "real", REAL)
    if metric == "frechet_distance":
        plain_log(axes)


def _colour_notes(metrics: list[str]) -> tuple[str, ...]:
    if "colour_cast" not in metrics:
        return ()
    return (
        "Colour cast: distance of the samples' mean colour from that of all held-out images, channels in [0, 1]. "
        "Agreement of hues: 1 when all samples are of one hue, 0 when their hues cancel out.",
    )


def table(frames: Frames) -> Table | None:
    """Every value of the figure."""
    found = watched(frames)
    if not found:
        return None
    rows = Rows()
    metrics = _shown(found)
    for one in found:
        for row in one.record["rows"]:
            values = [row[weights].get(metric, NOT_RECORDED) for metric in metrics for weights in WEIGHTS]
            rows.add(one.run.label, one.seed, row["step"], *values, frames.pedigree.links([one.file]))
    names = [COLOURS.get(metric) or metric_short(metric, frames.features) for metric in metrics]
    of_weights = [f"{name}, {weights}" for name in names for weights in WEIGHTS]
    columns = headers("Run | Seed | Training step", of_weights, "From")
    titles = [metric_title(metric, frames.features) for metric in metrics if metric in METRICS]
    title = listed([*titles, *(COLOURS[metric].lower() for metric in metrics if metric in COLOURS)])
    caption = f"{capital(title)} of {found[0].record['n']} samples while the runs trained."
    return Table("during-training", caption, columns, rows, notes=_colour_notes(metrics), folded=True)


def cost(frames: Frames, clock: Timings) -> Table | None:
    """Seconds that following took of each run; None where no samples were scored."""
    rows = Rows()
    for one in watched(frames):
        trained, looking = of_run(clock.training, one.run, one.seed), clock.watching(one.run.name, one.seed)
        training = optional(trained["seconds"].iloc[0]) if len(trained) else None
        share: Value = NOT_RECORDED
        if training is not None and looking is not None:
            share = 100 * looking / (looking + training)
        files = [str(facts.folder(one.run, one.seed) / "timing" / f"{stage}.json") for stage in ("train", "follow")]
        rows.add(one.run.label, one.seed, recorded(training), recorded(looking), share, clock.links(files))
    columns = headers("Run | Seed | Training (s) | Drawing and scoring (s) | Share of both (%) | From")
    what = "What it took to draw and score samples of the snapshots of each training."
    return Table("during-training-cost", what, columns, rows) if rows else None


def chapter(material: Material) -> Chapter | None:
    """The two kinds of weights, step by step."""
    frames = material.frames
    return chapter_of("during-training", "Quality during training", words(frames), figure(frames), table(frames))


def timings(material: Material, clock: Timings) -> Chapter | None:
    """What looking cost."""
    return chapter_of("watching", "Looking at a training", cost(material.frames, clock))
