"""Quality while a run trains: of samples from its averaged and from its raw weights, and what looking costs."""

from statistics import median
from typing import Any, NamedTuple

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from rediffuse.config import ResolvedRun
from rediffuse.reporting.chapters.tables import FROM
from rediffuse.reporting.read.frames import Frames
from rediffuse.reporting.read.pictures import training_record
from rediffuse.reporting.render.style import WIDTH, Picture, finish, outside_legend, plain_log, reference_line
from rediffuse.reporting.render.table import Column, Links, Table, Value
from rediffuse.reporting.render.terms import (
    NOT_RECORDED,
    REAL,
    direction,
    listed,
    metric_short,
    metric_title,
    model_seed,
    number,
    run_colours,
)
from rediffuse.runs import facts

METRICS = ("frechet_distance", "inception_score")
# Of coloured images: what they show is a departure from real ones, not better or worse by itself.
COLOURS = {"colour_cast": "Colour cast", "hue_agreement": "Agreement of hues"}
WEIGHTS: dict[str, Any] = {"averaged": "solid", "raw": (0, (1.5, 1.5))}


class Watched(NamedTuple):
    """What the snapshots of one training score."""

    run: ResolvedRun
    seed: int
    record: dict[str, Any]
    file: str

    def values(self, metric: str, weights: str) -> list[tuple[int, float]]:
        """(step, value) of a metric, where it could be computed."""
        return [(row["step"], row[weights][metric]) for row in self.record["rows"] if metric in row[weights]]


def watched(frames: Frames) -> list[Watched]:
    """Every run and seed whose samples were scored during training."""
    found = []
    for run in facts.diffusion_runs(frames.loaded).values():
        for seed in run.seeds:
            read = training_record(frames, run, seed)
            if read is not None and read[0]["rows"]:
                found.append(Watched(run, seed, *read))
    return found


def cost(frames: Frames) -> str:
    """What drawing and scoring took beside training."""
    shares = []
    for run in facts.diffusion_runs(frames.loaded).values():
        for seed in run.seeds:
            rows = frames.training[(frames.training["run"] == run.name) & (frames.training["seed"] == seed)]
            looking = frames.following.get((run.name, seed))
            if looking is not None and len(rows) and facts.during_training(run) is not None:
                share = looking / (looking + float(rows.iloc[0]["seconds"]))
                shares.append(f"{100 * share:.1f} % ({model_seed(run, seed)})")
    if not shares:
        return ""
    return f"Of the time of training, drawing and scoring its snapshots, the last two took {listed(shares)}."


def words(frames: Frames) -> str:
    """How the two kinds of weights compare in the end."""
    found = watched(frames)
    if not found:
        return ""
    metric, record = METRICS[0], found[0].record
    short, parts = metric_short(metric, frames.features), []
    for one in found:
        who = model_seed(one.run, one.seed)
        (_, averaged), (_, raw) = (one.values(metric, weights)[-1] for weights in WEIGHTS)
        parts.append(f"{number(averaged)} from averaged and {number(raw)} from raw weights ({who})")
    counts = sorted({len(one.record["rows"]) for one in found})
    times = f"{counts[0]}" if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
    texts = [
        f"While the runs trained, {record['n']} images were drawn {times} times from the averaged and from the raw "
        f"weights of each, with {record['steps']} steps and always from the same noise, and scored as one group: a value "
        "has no interval, and compares with those of other steps and weights, not with those of other tables.",
        f"At the last step the {short} is {listed(parts)}.",
    ]
    if metric in record["held_out"]:
        texts.append(f"{record['n']} held-out real images score {number(record['held_out'][metric])}.")
    casts = [_cast(one) for one in found if one.values("colour_cast", "raw")]
    if casts:
        texts.append(
            f"Median and largest colour cast over the later half of the scored steps: {'; '.join(casts)}. A cast that is "
            "large from raw and small from averaged weights is one that comes and goes from step to step."
        )
    return " ".join(texts)


def _cast(one: Watched) -> str:
    """Median and largest colour cast of a run, by weights."""
    parts = []
    for weights in WEIGHTS:
        values = [value for _, value in one.values("colour_cast", weights)]
        later = values[len(values) // 2 :]
        parts.append(f"{number(median(later), 2)} and {number(max(later), 2)} from {weights}")
    return f"{listed(parts)} weights ({model_seed(one.run, one.seed)})"


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
                points = one.values(metric, weights)
                axes.plot(*zip(*points, strict=True), color=colours[one.run.name], linestyle=dash, marker="o",
                          markersize=4)  # fmt: skip
        _finish_axes(frames, axes, metric, found[0].record["held_out"].get(metric))
    handles = [
        Line2D([], [], color=colours[run.name], label=run.label) for run in {o.run.name: o.run for o in found}.values()
    ]
    handles += [
        Line2D([], [], color="#444444", linestyle=dash, label=f"{weights} weights") for weights, dash in WEIGHTS.items()
    ]  # fmt: skip
    outside_legend(drawing, handles, columns=5)
    record = found[0].record
    colour_words = " ".join(["", *_colour_notes(metrics)])
    return finish(
        drawing, "during-training",
        f"Samples scored while the runs trained: {record['n']} images by {record['steps']} sampling steps, from the same "
        "noise each time. Solid: averaged weights, which all other results use; dotted: raw weights." + colour_words,
        "Panels of sample quality against training step, for averaged and raw weights of each run.",
    )  # fmt: skip


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
    rows: list[tuple[Value, ...]] = []
    metrics = _shown(found)
    for one in found:
        for row in one.record["rows"]:
            values = [row[weights].get(metric, NOT_RECORDED) for metric in metrics for weights in WEIGHTS]
            rows.append((one.run.label, one.seed, row["step"], *values, Links(frames.pedigree.ids([one.file]))))
    of_weights = [
        Column(f"{COLOURS.get(metric) or metric_short(metric, frames.features)}, {weights}")
        for metric in metrics
        for weights in WEIGHTS
    ]
    columns = (Column("Run"), Column("Seed"), Column("Training step"), *of_weights, FROM)
    titles = [metric_title(metric, frames.features) for metric in metrics if metric in METRICS]
    title = listed([*titles, *(COLOURS[metric].lower() for metric in metrics if metric in COLOURS)])
    return Table(
        "during-training",
        f"{title[:1].upper()}{title[1:]} of {found[0].record['n']} samples while the runs trained.",
        columns,
        tuple(rows),
        notes=(
            "Share of time: what drawing and scoring took of the time of training steps and themselves.",
            *_colour_notes(metrics),
        ),
        folded=True,
    )
