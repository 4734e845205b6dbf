"""Baseline against improved, by sampler and number of steps."""

from rediffuse.config import ResolvedRun
from rediffuse.evaluation.metrics import metric_title
from rediffuse.reporting.experiments.cells import Cell, Cells, estimate
from rediffuse.reporting.experiments.comparison import (
    best_settings,
    beyond_real,
    exceptions,
    headline,
    real_line,
)
from rediffuse.reporting.experiments.contrasts import compare
from rediffuse.reporting.experiments.material import Material
from rediffuse.reporting.read.frames import Frames
from rediffuse.reporting.render.blocks import Chapter, Item, chapter_of
from rediffuse.reporting.render.table import Rows, Table, headers, metric_titles
from rediffuse.reporting.terms import (
    MAIN,
    REAL_LINES,
    capital,
    compared_runs,
    direction,
    headline_metrics,
    key_title,
    run_of_role,
    settings_in_order,
    unique_label,
)
from rediffuse.reporting.values import NOT_ASKED, NOT_RUN, Value
from rediffuse.runs import facts

INTERVAL_NOTE = (
    "Brackets hold the interval of the value: {interval}. One over groups says how far new samples of the same trained "
    "network would move the value, one over training seeds how far training again would."
)


def reference_lines(frames: Frames, cells: Cells, metrics: list[str]) -> Table:
    """What held-out real images and noise score at the same n."""
    features = frames.features
    rows = Rows()
    for name, title in REAL_LINES.items():
        found = [cells.get(("real", name, metric)) for metric in metrics]
        known = next((cell for cell in found if cell is not None), None)
        quality = frames.quality[(frames.quality["run"] == "real") & (frames.quality["setting"] == name)]
        groups: Value = int(quality["groups"].iloc[0]) if len(quality) else NOT_RUN
        files = known.files if known else ()
        values = (estimate(cell) for cell in found)
        rows.add(title, *values, known.n if known else NOT_RUN, groups, frames.pedigree.links(files))
    columns = headers("Images", metric_titles(metrics, features), "n | Groups | From")
    caption = (
        "What real images that no network has seen score, and what noise scores, against the same reference and from "
        "as many images as every sampled value."
    )
    return Table("reference-lines", caption, columns, rows, notes=("A value from a single group has no interval.",))


def comparison(frames: Frames, cells: Cells, metric: str, folded: bool) -> Table:
    """The runs side by side in one metric at every sampler and step count, and which of the two main runs is better."""
    loaded, features = frames.loaded, frames.features
    runs = compared_runs(loaded)
    baseline, improved = run_of_role(loaded, "baseline"), run_of_role(loaded, "improved")
    rows = Rows()
    for setting, key, steps in settings_in_order(loaded):
        found = {run.name: cells.get((run.name, setting, metric)) for run in runs}
        values = [estimate(found[run.name], _asks(run, setting)) for run in runs]
        row: list[Value] = [key_title(loaded, key), steps, *values]
        if baseline and improved:
            row.append(_winner(baseline, improved, found, setting))
        there = [cell for cell in found.values() if cell is not None]
        row.append(there[0].n if there else NOT_RUN)
        rows.add(*row, frames.pedigree.links(path for cell in there for path in cell.files))
    for name, title in REAL_LINES.items():
        line = cells.get(("real", name, metric))
        filler: list[Value] = [NOT_ASKED] if baseline and improved else []
        links = frames.pedigree.links(line.files if line else ())
        rows.add(title, NOT_ASKED, *[estimate(line)] * len(runs), *filler, line.n if line else NOT_RUN, links)
    names = [unique_label(loaded, run) for run in runs] + (["Better"] if baseline and improved else [])
    title = metric_title(metric, features)
    caption = f"{capital(title)} ({direction(metric)} is better) of every run, by sampler and number of steps."
    columns, marked = headers("Sampler | Steps", names, "n | From"), frozenset((len(rows) - 2, len(rows) - 1))
    note = "The last two rows are lines to read the others against: the same in every column."
    notes = (_interval_note(cells, metric), note)
    return Table(f"comparison-{metric.replace('_', '-')}", caption, columns, rows, notes, marked, folded)


def _winner(baseline: ResolvedRun, improved: ResolvedRun, found: dict[str, Cell | None], setting: str) -> str:
    if not (_asks(baseline, setting) and _asks(improved, setting)):
        return NOT_ASKED
    ours, theirs = found[improved.name], found[baseline.name]
    if ours is None or theirs is None:
        return NOT_RUN
    outcome = compare(ours, theirs)
    names = {"better": improved.label, "worse": baseline.label, "equal": "neither"}
    leaning = names[outcome.leaning]
    return leaning if outcome.outcome != "undecided" else f"undecided (leans to {leaning})"


def _asks(run: ResolvedRun, setting: str) -> bool:
    return any(name == setting for name, _, _ in facts.own_settings(run))


def _interval_note(cells: Cells, metric: str) -> str:
    found = [c for c in cells.values() if c.metric == metric and c.run != "real" and c.low is not None]
    kinds = dict.fromkeys(cell.interval for cell in found)
    return INTERVAL_NOTE.format(interval="; ".join(kinds)) if kinds else "No value has an interval."


def chapter(material: Material) -> Chapter | None:
    """The main metric, its picture and its exceptions; then the others."""
    frames, cells = material.frames, material.cells
    told = (
        headline(frames, cells) + exceptions(frames, cells),
        best_settings(frames, cells) + real_line(frames, cells),
    )
    items: list[Item] = [*map(" ".join, told), comparison(frames, cells, MAIN, folded=False)]
    metrics = headline_metrics(frames.loaded)
    for metric in metrics[1:]:
        items += [" ".join(headline(frames, cells, metric)), comparison(frames, cells, metric, folded=True)]
    items += [" ".join(beyond_real(frames, cells)), reference_lines(frames, cells, metrics)]
    return chapter_of("comparison", "Baseline against improved", *items)
