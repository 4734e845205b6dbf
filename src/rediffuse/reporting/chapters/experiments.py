"""The experiments of a study, each in one layout: question, answer, picture, table, and how it was done."""

from dataclasses import replace
from typing import Any

from rediffuse.config import ResolvedRun
from rediffuse.config.claims import has
from rediffuse.config.expand import Planned
from rediffuse.evaluation.metrics import metric_short
from rediffuse.reporting.chapters.quality import evaluations
from rediffuse.reporting.chapters.training_curves import curves
from rediffuse.reporting.experiments.answers import answers
from rediffuse.reporting.experiments.cells import Cell, bounds, estimate, is_numberless, made_of
from rediffuse.reporting.experiments.contrasts import compare
from rediffuse.reporting.experiments.material import Material
from rediffuse.reporting.experiments.results import COMMAND, KEPT, Result, Row, result_of
from rediffuse.reporting.read.records import sample_images
from rediffuse.reporting.render import plots
from rediffuse.reporting.render.blocks import Bullets, Chapter, Folded, Item, chapter_of
from rediffuse.reporting.render.picture import Picture
from rediffuse.reporting.render.table import Rows, Table, headers, metric_titles
from rediffuse.reporting.terms import (
    REAL_LABEL,
    RUN_SETTINGS,
    aim,
    axis_title,
    axis_value,
    capital,
    direction,
    metrics_title,
    run_label,
    training_of,
)
from rediffuse.reporting.values import (
    NO_NUMBER,
    NOT_ASKED,
    NOT_RUN,
    Estimate,
    Value,
    counted,
    listed,
    setting_text,
)
from rediffuse.runs import facts

#: Images in a strip; metrics that stand beside one another in a picture.
STRIP, MOST_PANELS = 12, 3


def chapters(material: Material, question: str) -> list[Chapter]:
    """The chapters of the experiments that stand under a question of the report (a key of `experiment.CHAPTERS`)."""
    planned = [one for one in material.loaded.experiments.values() if one.asks.chapter == question]
    return [chapter for one in planned if (chapter := _chapter(material, result_of(material, one))) is not None]


def _chapter(material: Material, result: Result) -> Chapter | None:
    asks = result.planned.asks
    verdicts = [v for v in material.verdicts if v.experiment == result.planned.name]
    claims = [verdict.told(material.frames.features) for verdict in verdicts]
    items: list[Item] = [
        *answers(material.frames, result),
        _chosen(material, result),
        Bullets(tuple(claims)) if claims else None,
        _picture(material, result),
        table(material, result),
        curves(material, result) if asks.curves else None,
        quotes(result),
        Folded("How it was done", (Bullets(tuple(_how(material, result))),)),
    ]
    return chapter_of(f"experiment-{result.planned.name}", asks.question, *items)


def _chosen(material: Material, result: Result) -> str:
    """What those that choose their steps ask of the network, beside the others."""
    steps, asked = result.place("steps"), _asked(material, result)
    if steps is None or all(_is_number(row.member.at[steps]) for row in result.rows):
        return ""
    told = [f"{asked[row.member.cell]} ({row.name()})" for row, _ in result.known() if row.member.cell in asked]
    return f"Network evaluations an image: {listed(told)}." if told else ""


def table(material: Material, result: Result, metrics: tuple[str, ...] | None = None) -> Table:
    """Every member with its values; runs that are sampled in the same ways stand side by side."""
    frames, asks, planned = material.frames, result.planned.asks, result.planned
    metrics, sides, rows = metrics or asks.metrics, result.sides(), Rows()
    across = result.place("run") if sides else None
    of_network = planned.trains and not sides
    counts = of_network and "parameters" not in metrics
    states = any(row.state for row in result.rows)
    asked = {} if sides else _asked(material, result)
    several = any(len(cell.seeds) > 1 for _, cell in result.known())
    for line in result.lines():
        first, *_ = line.values()
        known = [cell for row in line.values() for cell in row.cells.values() if cell is not None]
        cells: list[Value] = [_label(first, place) for place in range(len(planned.axes)) if place != across]
        for metric in metrics:
            cells += [_value(material, line.get(name), metric) for name in sides or [""]]
            if len(sides) == 2:
                cells.append(_better(sides, [line[name].cells[metric] if name in line else None for name in sides]))
        if asked:
            cells.append(asked.get(first.member.cell, NOT_RUN))
        cells += [first.parameters] * counts + [first.loss] * of_network
        cells += [known[0].n if known else NOT_ASKED]
        cells += [setting_text(known[0].seeds) if known else NOT_ASKED] * several
        cells += ["; ".join(dict.fromkeys(row.state for row in line.values() if row.state)) or "complete"] * states
        rows.add(*cells, frames.pedigree.links(dict.fromkeys(file for cell in known for file in cell.files)))
    titles = []
    for metric, title in zip(metrics, metric_titles(metrics, frames.features), strict=True):
        short = metric_short(metric, frames.features)
        titles += [f"{label}, {title}" for label in sides.values()] or [title]
        titles += [f"Better by {short}"] * (len(sides) == 2)
    columns = headers(
        [t if len(t) == 1 else capital(t) for place, t in enumerate(result.titles) if place != across],
        titles,
        ["Network evaluations"] * bool(asked) + ["Parameters"] * counts + ["Loss at the end"] * of_network,
        ["n"],
        ["Seeds"] * several,
        ["State"] * states,
        ["From"],
    )
    caption = f"{asks.question} {capital(metrics_title(metrics, frames.features))}."
    real = [(metric_short(m, frames.features), found) for m in metrics if (found := _real(material, m)) is not None]
    note = f"{capital(REAL_LABEL)} score {listed([f'{short} {value}' for short, value in real])}."
    kept = f"{capital(KEPT)}: trained with earlier code, whose changes since were judged not to matter to it."
    notes = ([note] if real else []) + [kept] * any(KEPT in row.state for row in result.rows)
    name = f"experiment-{planned.name}"
    return Table(name, caption, columns, rows, tuple(notes), folded=len(rows) > 24, narrow=True)


def _asked(material: Material, result: Result) -> dict[str, int]:
    """Network evaluations of an image by cell, where the numbers of steps do not say them."""
    counted = evaluations(material.frames)
    places = {row.member.cell: (row.member.run, row.member.setting) for row in result.rows}
    found = {cell: round(counted[place]) for cell, place in places.items() if place in counted}
    said = all(str(count) == places[cell][1].rpartition("-")[2] for cell, count in found.items())
    return {} if said else found


def _label(row: Row, place: int) -> Value:
    """A value of an axis; counts as numbers."""
    value = row.member.at[place]
    return value if isinstance(value, int) and not isinstance(value, bool) else row.labels[place]


def _value(material: Material, row: Row | None, metric: str) -> Value:
    """What a table shows of a metric."""
    if row is None:
        return NOT_ASKED
    setting = RUN_SETTINGS.get(metric, row.member.setting)
    if is_numberless(material.cells, row.member.run, setting, metric):
        return NO_NUMBER
    return estimate(row.cells[metric], has(metric, material.loaded.run(row.member.run), row.member.setting))


def _better(sides: dict[str, str], cells: list[Cell | None]) -> str:
    """Which of two runs has the better value, if that is clear."""
    one, two = cells
    if one is None or two is None:
        return NOT_ASKED
    found = compare(one, two)
    leaning = dict(zip(("better", "worse"), sides.values(), strict=True)).get(found.leaning, "neither")
    return leaning if found.outcome != "undecided" else f"undecided (leans to {leaning})"


def _real(material: Material, metric: str) -> Estimate | None:
    """What held-out real images score."""
    if (cell := material.cells.get(("real", "held-out", metric))) is not None:
        return Estimate(cell.value, cell.low, cell.high)
    value = (material.frames.real_classes or {}).get(metric)
    return None if value is None else Estimate(value)


def quotes(result: Result) -> Table | None:
    """Figures of the source, marked as theirs."""
    rows = Rows()
    for quote in result.planned.asks.quoted:
        rows.add(quote.what, quote.value, quote.conditions, quote.source, "quoted, not run here")
    columns = headers("What | As printed there | Conditions | Source | State")
    caption = "Quoted from the source, under conditions of its own: not to be compared number by number."
    return Table(f"experiment-{result.planned.name}-quoted", caption, columns, rows) if rows else None


def _how(material: Material, result: Result) -> list[str]:
    """How it was done."""
    loaded, asks, planned = material.loaded, result.planned.asks, result.planned
    runs = list(dict.fromkeys(loaded.run(m.run).of or m.run for m in planned.members))
    varied = [f"{axis_title(axis)} ({_values(material, planned, axis)})" for axis in planned.axes if axis != "run"]
    seeds = sorted({seed for _, cell in result.known() for seed in cell.seeds}) or list(loaded.study.seeds)
    numbers = sorted({facts.groups_of(loaded.run(m.run), m.setting) for m in planned.members})
    texts = [
        f"Asked by {asks.source}." if asks.source else "",
        f"Starts from {listed([run_label(loaded, run) for run in runs])}; varied: {'; '.join(varied) or 'nothing'}.",
        _same_in_all([loaded.run(member.run) for member in planned.members]),
        f"Training {'seed' if len(seeds) == 1 else 'seeds'} {setting_text(seeds)}. Each value "
        f"{'of a seed ' if len(seeds) > 1 else ''}is a mean over "
        f"{' to '.join(map(str, {numbers[0]: 0, numbers[-1]: 0}))} {'group' if numbers[-1] == 1 else 'groups'} of "
        f"{counted(loaded.study.evaluation.group_size, 'image')}; image i starts from the same noise in every row.",
        f"What is trained for it alone is made by `{COMMAND}`." if planned.trains else "",
    ]
    return [text for text in texts if text]


def _same_in_all(runs: list[ResolvedRun]) -> str:
    """The main settings in which the networks do not differ."""
    told: list[tuple[str, set[Any]]] = [
        ("T", {facts.diffusion(run).timesteps for run in runs}),
        ("schedule", {"none" if facts.is_flow(run) else facts.diffusion(run).schedule for run in runs}),
        ("loss", {facts.diffusion(run).loss for run in runs}),
        ("training steps", {run.training.steps for run in runs}),
        ("batch", {run.training.batch_size for run in runs}),
        ("learning rate", {training_of(run).learning_rate for run in runs}),
        ("EMA decay", {run.training.ema_decay for run in runs}),
    ]
    return f"The same in all: {', '.join(f'{name} {setting_text(*found)}' for name, found in told if len(found) == 1)}."


def _values(material: Material, planned: Planned, axis: str) -> str:
    place = planned.axes.index(axis)
    values = dict.fromkeys(
        axis_value(material.loaded, planned.asks, axis, member.at[place]) for member in planned.members
    )
    return ", ".join(values)


def _picture(material: Material, result: Result) -> Picture | None:
    """The metrics, drawn as the experiment says; of images none is drawn that only its own machine has."""
    kind, known, axes = result.planned.asks.picture, result.known(), result.planned.axes
    if kind == "table" or len(known) < 2 or not axes:
        return None
    features, loaded = material.frames.features, material.loaded
    axis = _x_axis(result, kind)
    others = [place for place in range(len(axes)) if place != axis]
    drawing = plots.Drawing(f"experiment-{result.planned.name}", result.titles[axis], "")
    if kind == "images":
        shown = [
            (row.name(), sample_images(material.frames, loaded.run(row.member.run), row.member.setting, STRIP))
            for row, _ in known
            if loaded.run(row.member.run).role != "ablation"
        ]
        caption = (
            f"{result.planned.asks.question} The first {STRIP} images of each, from the same noise; none was picked."
        )
        return plots.strips(replace(drawing, caption=caption), shown) if shown else None
    asked = _evaluations(material, result, known) if kind == "line" else {}
    drawn, left = known, []
    if kind == "line" and not asked:
        # What chooses its steps by a tolerance has no place among numbers of steps.
        numbered = [pair for pair in known if _is_number(pair[0].member.at[axis])]
        if 1 < len(numbered) < len(known):
            drawn, left = numbered, [row.name() for row, _ in known if not _is_number(row.member.at[axis])]
    numeric = kind == "line" and all(_is_number(row.member.at[axis]) for row, _ in drawn)
    panels = []
    for metric in result.planned.asks.metrics[: 1 if kind == "heat-map" else MOST_PANELS]:
        points = []
        for row, _ in drawn:
            if (cell := row.cells[metric]) is not None:
                x = asked.get(row.member.cell, row.member.at[axis] if numeric else row.names[axis])
                x = row.labels[axis] if kind == "heat-map" else x
                series = (row.labels[others[0]],) if kind == "heat-map" else tuple(row.names[place] for place in others)
                seeds = tuple(part.value for part in cell.parts) if len(cell.parts) > 1 else ()
                points.append(plots.Point(x, series, cell.value, bounds(cell), seeds))
        real = _real(material, metric)
        label = f"{metric_short(metric, features)}\n({aim(metric)})"
        if points:
            panels.append(plots.Panel(label, points, real and real.value, direction(metric) == "lower"))
    drawing = replace(drawing, panels=tuple(panels), caption=_caption(material, result, kind, left))
    if asked:
        ticks = sorted({row.member.at[axis] for row, _ in known if _is_number(row.member.at[axis])})
        return plots.line(replace(drawing, x="network evaluations an image"), True, ticks)
    if kind == "heat-map":
        return plots.heat_map(drawing, result.titles[others[0]])
    return plots.line(drawing, axes[axis] == "steps") if numeric else plots.dots(drawing)


def _caption(material: Material, result: Result, kind: str, left: list[str]) -> str:
    """What a picture shows, of how many images, and how it is read."""
    metrics = result.planned.asks.metrics[: 1 if kind == "heat-map" else MOST_PANELS]
    what = capital(metrics_title(metrics, material.frames.features))
    seeds = max(len(cell.seeds) for _, cell in result.known())
    ways = {aim(metric) for metric in metrics}
    better = f" {capital(*ways)}." if len(ways) == 1 else ""
    bars = (
        ""
        if kind == "heat-map"
        else " Bars: 95 % intervals, those of the table." + " Ticks: single seeds." * (seeds > 1)
    )
    alone = f" In the table alone: {listed(left)}." if left else ""
    return f"{what} by {listed(list(result.titles))}{made_of(result.known()[0][1])}.{better}{bars}{alone}"


def _evaluations(material: Material, result: Result, known: list[tuple[Row, Cell]]) -> dict[str, float]:
    """Where samplers are compared by steps: what they cost, as it was counted, by cell; empty where one was not."""
    if not {"steps", "sampler"} <= {*result.planned.axes}:
        return {}
    asked = evaluations(material.frames)
    places = {row.member.cell: (row.member.run, row.member.setting) for row, _ in known}
    return {cell: asked[place] for cell, place in places.items()} if {*places.values()} <= set(asked) else {}


def _x_axis(result: Result, kind: str) -> int:
    """The axis to draw along: steps for a line, what was trained for dots, else the last."""
    axes = result.planned.axes
    if kind == "dots":
        trained = [
            i
            for i, axis in enumerate(axes)
            if axis == "arm" or axis.split(".")[0] in ("network", "diffusion", "training")
        ]
        return trained[0] if trained else 0
    return axes.index("steps") if "steps" in axes else len(axes) - 1


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
