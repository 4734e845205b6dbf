"""The experiments of a study, each in one layout: question, answer, picture, table, and how it was done."""

from dataclasses import replace

from rediffuse.config.claims import has
from rediffuse.config.expand import Planned
from rediffuse.evaluation.metrics import metric_short, metric_title
from rediffuse.reporting.chapters.quality import evaluations
from rediffuse.reporting.experiments.cells import Cell, bounds, estimate, recorded
from rediffuse.reporting.experiments.material import Material
from rediffuse.reporting.experiments.results import COMMAND, Result, Row, answers, result_of
from rediffuse.reporting.read.records import sample_images
from rediffuse.reporting.read.timings import Timings
from rediffuse.reporting.render import plots
from rediffuse.reporting.render.blocks import Bullets, Chapter, Folded, Item, chapter_of
from rediffuse.reporting.render.picture import Picture
from rediffuse.reporting.render.table import Rows, Table, headers, metric_titles
from rediffuse.reporting.terms import axis_title, axis_value, capital, direction, run_label
from rediffuse.reporting.values import NOT_ASKED, NOT_RECORDED, counted, listed, setting_text, short
from rediffuse.runs import facts

#: Images in a strip.
STRIP = 12


def chapters(material: Material, question: str) -> list[Chapter]:
    """The chapters of the experiments that stand under a question of the report (a key of `experiment.CHAPTERS`)."""
    planned = [one for one in material.loaded.experiments.values() if one.asks.chapter == question]
    return [chapter for one in planned if (chapter := _chapter(material, result_of(material, one))) is not None]


def _chapter(material: Material, result: Result) -> Chapter | None:
    asks = result.planned.asks
    verdicts = [v for v in material.verdicts if v.experiment == result.planned.name]
    claims = [
        f"{capital(verdict.verdict)}: {verdict.claim.claim.rstrip('.')}. {capital(verdict.why)}."
        for verdict in verdicts
    ]
    items: list[Item] = [
        *answers(material.frames, result),
        Bullets(tuple(claims)) if claims else None,
        _picture(material, result),
        table(material, result),
        quotes(result),
        Folded("How it was done", (Bullets(tuple(_how(material, result))),)),
    ]
    return chapter_of(f"experiment-{result.planned.name}", asks.question, *items)


def table(material: Material, result: Result) -> Table:
    """Every member with its values."""
    frames, asks = material.frames, result.planned.asks
    trains, rows = result.planned.trains, Rows()
    states = any(row.state for row in result.rows)
    several = any(len(cell.seeds) > 1 for _, cell in result.known())
    for row in result.rows:
        run = material.loaded.run(row.member.run)
        values = (estimate(cell, has(metric, run, row.member.setting)) for metric, cell in row.cells.items())
        places = [file for cell in row.cells.values() if cell is not None for file in cell.files]
        of_network = (row.parameters, row.loss) if trains else ()
        n = next((cell.n for cell in row.cells.values() if cell is not None), NOT_ASKED)
        state = (row.state or "complete",) if states else ()
        seeds = (
            next((setting_text(cell.seeds) for cell in row.cells.values() if cell is not None), NOT_ASKED),
        ) * several
        rows.add(*row.labels, *values, *of_network, n, *seeds, *state, frames.pedigree.links(dict.fromkeys(places)))
    titles = metric_titles(asks.metrics, frames.features)
    network = ["Parameters", "Loss at the end"] if trains else []
    columns = headers(
        [title if len(title) == 1 else capital(title) for title in result.titles],
        titles,
        network,
        ["n"],
        ["Seeds"] * several,
        ["State"] * states,
        ["From"],
    )
    caption = f"{asks.question.rstrip('?')}: {listed([metric_title(m, frames.features) for m in asks.metrics])}."
    return Table(f"experiment-{result.planned.name}", caption, columns, rows, folded=len(rows) > 24, narrow=True)


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
    seeds = sorted({seed for member in planned.members for seed in loaded.run(member.run).seeds})
    numbers = sorted({facts.groups_of(loaded.run(m.run), m.setting) for m in planned.members})
    texts = [
        f"Asked by {asks.source}." if asks.source else "",
        f"Starts from {listed([run_label(loaded, run) for run in runs])}; varied: {'; '.join(varied) or 'nothing'}.",
        f"Training {'seed' if len(seeds) == 1 else 'seeds'} {setting_text(seeds)}. Each value "
        f"{'of a seed ' if len(seeds) > 1 else ''}is a mean over {' to '.join(map(str, {numbers[0]: 0, numbers[-1]: 0}))} "
        f"{'group' if numbers[-1] == 1 else 'groups'} of {counted(loaded.study.evaluation.group_size, 'image')}; the images of one number start from the same noise in every row.",
        f"What is trained for it alone is made by `{COMMAND}`." if planned.trains else "",
    ]
    return [text for text in texts if text]


def _values(material: Material, planned: Planned, axis: str) -> str:
    place = planned.axes.index(axis)
    values = dict.fromkeys(
        axis_value(material.loaded, planned.asks, axis, member.at[place]) for member in planned.members
    )
    return ", ".join(values)


def _picture(material: Material, result: Result) -> Picture | None:
    """The main metric, drawn as the experiment says; of images none is drawn that only its own machine has."""
    kind, known = result.planned.asks.picture, result.known()
    if kind == "table" or len(known) < 2 or not result.planned.axes:
        return None
    metric, features = result.main, material.frames.features
    line = material.cells.get(("real", "held-out", metric))
    real = line.value if line is not None else None
    label = f"{metric_short(metric, features)} ({direction(metric)} is better)"
    name, title = f"experiment-{result.planned.name}", capital(metric_title(metric, features))
    n = known[0][1].n
    bars = " Bars: the intervals of the table." if kind in ("line", "dots") else ""
    caption = f"{result.planned.asks.question} {title}, n = {n}.{bars}"
    axis = _x_axis(result, kind)
    others = [place for place in range(len(result.planned.axes)) if place != axis]
    drawing = plots.Drawing(name, result.titles[axis], label, caption, real)
    if kind == "images":
        loaded = material.loaded
        shown = [
            (row.name(), sample_images(material.frames, loaded.run(row.member.run), row.member.setting, STRIP))
            for row, _ in known
            if loaded.run(row.member.run).role != "ablation"
        ]
        return plots.strips(drawing, shown) if shown else None
    if kind == "line" and (counted_points := _against_evaluations(material, known, axis, others, result)):
        ticks = sorted({row.member.at[axis] for row, _ in known if _is_number(row.member.at[axis])})
        return plots.line(replace(drawing, x="network evaluations an image"), counted_points, True, ticks)
    numbered = [(row, cell) for row, cell in known if _is_number(row.member.at[axis])]
    if kind == "line" and 1 < len(numbered) < len(known):
        # What chooses its steps by a tolerance has no place among numbers of steps.
        left = listed([row.name() for row, _ in known if not _is_number(row.member.at[axis])])
        known, drawing = numbered, replace(drawing, caption=f"{caption} In the table alone: {left}.")
    numeric = all(_is_number(row.member.at[axis]) for row, _ in known)
    points = [_point(row, cell, axis, others, numeric and kind == "line", kind == "heat-map") for row, cell in known]
    if kind == "heat-map":
        return plots.heat_map(drawing, points, result.titles[others[0]])
    if kind == "line" and numeric:
        return plots.line(drawing, points, result.planned.axes[axis] == "steps")
    return plots.dots(drawing, points)


def _against_evaluations(
    material: Material, known: list[tuple[Row, Cell]], axis: int, others: list[int], result: Result
) -> list[plots.Point]:
    """Where samplers are compared by steps: their values against what they cost, as it was counted for all of them."""
    if result.planned.axes[axis] != "steps" or "sampler" not in result.planned.axes:
        return []
    asked = evaluations(material.frames)
    places = [(row.member.run, row.member.setting) for row, _ in known]
    if any(place not in asked for place in places):
        return []
    points = (_point(row, cell, axis, others, numeric=False, alone=False) for row, cell in known)
    return [replace(point, x=asked[place]) for place, point in zip(places, points, strict=True)]


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


def _point(row: Row, cell: Cell, axis: int, others: list[int], numeric: bool, alone: bool) -> plots.Point:
    x = row.member.at[axis] if numeric else row.labels[axis]
    series = row.labels[others[0]] if alone else ", ".join(row.names[place] for place in others)
    return plots.Point(x, series, cell.value, bounds(cell))


def timings(material: Material, clock: Timings) -> Chapter | None:
    """What the trainings of experiments cost where they ran."""
    rows = Rows()
    for entry in clock.ablations:
        machine = entry.get("machine") or {}
        who = [str(machine.get(name) or NOT_RECORDED) for name in ("cpu", "threads", "torch")]
        times = [recorded(entry.get(f"{name}_ms_per_step")) for name in ("train", "sample")]
        date, commit = (entry.get(name) or NOT_RECORDED for name in ("date", "commit"))
        trained = recorded(entry.get("train_seconds"))
        rows.add(entry["ablation"], entry["seed"], trained, *times, *who, date, short(commit))
    columns = headers(
        "Trained for an experiment | Seed | Training time (s) | Training step (ms) | Sampling step of a batch (ms) | "
        "Processor | Threads | PyTorch | Date | Commit"
    )
    notes = (
        f"As kept in {clock.ablations_file}: of the machines they ran on. Sampling: the median over the settings.",
    )
    what = "What the trainings of experiments cost, each on the machine that it names."
    return chapter_of(
        "experiments-times",
        "Experiments on their machines",
        Table("ablations-cost", what, columns, rows, notes) if rows else None,
    )
