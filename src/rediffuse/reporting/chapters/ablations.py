"""Each run beside variants of it that change one thing."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeAlias
from rediffuse.config.facts import HEADLINE_METRICS
from rediffuse.reporting import (
    ablation,
    colours,
    compute,
    compute_resolution,
    during_training,
    fidelity,
    figures,
    figures_more,
    grids,
    guidance,
    memorisation,
    mode_coverage,
    one_pass,
    one_pass_figures,
    restoration,
    sample_count,
    sentences,
    tables,
    tables_cost,
    tables_setup,
)
from rediffuse.reporting.ablation import CurrentKeys
from rediffuse.reporting.cells import Cells
from rediffuse.reporting.claims import Verdict, tally
from rediffuse.reporting.frames import Frames
from rediffuse.reporting.style import Picture, styled
from rediffuse.reporting.table import Table
from rediffuse.reporting.terms import NOT_RUN, counted, listed, metric_title, run_of_role
import json
from collections.abc import Mapping
from typing import Any
import numpy as np
from rediffuse.config import LoadedStudy, ResolvedRun
from rediffuse.reporting.cells import Cells, optional
from rediffuse.reporting.frames import Frames, metric_rows
from rediffuse.reporting.pedigree import ablation_place
from rediffuse.reporting.table import Column, Estimate, Links, Table, Value
from rediffuse.reporting.tables import FROM, estimate
from rediffuse.reporting.tables_cost import final_loss, of_run
from rediffuse.reporting.tables_setup import flat_settings
from rediffuse.reporting.terms import (
    NOT_ASKED,
    NOT_RECORDED,
    NOT_RUN,
    counted,
    listed,
    metric_short,
    metric_title,
    setting_text,
)
import matplotlib.pyplot as plt
from matplotlib.lines import Line2D
from rediffuse.errors import UserError
from rediffuse.reporting.ablation import METRIC, Variant, ablation_settings
from rediffuse.reporting.style import DASHES, MARKERS, WIDTH, Picture, finish, outside_legend, plain_log
from rediffuse.reporting.table import Estimate
from rediffuse.reporting.terms import NOT_ASKED, OTHER, metric_short, metric_title, run_colours


def _ablations(frames: Frames, cells: Cells, metrics: list[str], current_keys: CurrentKeys | None) -> list[Item]:
    if not frames.loaded.ablations:
        return []
    rows = ablation.variants(frames, cells, current_keys)
    asked = [row for row in rows if row.name in frames.loaded.ablations]
    missing = [row.name for row in asked if row.state == NOT_RUN]
    text = f"{counted(len(asked) - len(missing), 'ablation')} of {len(asked)} run."
    if missing:
        text += f" Not run: {listed(missing)}; `{ablation.COMMAND}` runs them."
    stale = [row.name for row in asked if "other settings" in row.state]
    if stale:
        text += f" Made with other settings or code than today's: {listed(stale)}."
    details = ablation.details_table(frames, metrics) if frames.ablations else None
    questions = Bullets(tuple(ablation.answers(frames, rows)))
    return [text, questions, ablation.ablation_table(frames, rows), figures_more.ablation_dots(frames, rows), details]


def ablation_table(frames: Frames, rows: list[Variant]) -> Table:
    """Each run and its ablations in the main metric."""
    short, sampled = metric_short(METRIC, frames.features), ablation_settings(frames.loaded)
    # A setting that no main run has cannot be read against one: its values stand in the text and among the details.
    settings = [
        s for s in sampled if any(s in (n for n, _, _ in run.settings()) for run in frames.loaded.runs.values())
    ]
    settings = settings or sampled
    columns = (
        Column("Run or ablation"), Column("Change"), Column("Seeds"), Column("Parameters"),
        Column("Loss at the end", estimate=True), Column("Training step", "ms", estimate=True), Column("Sampling step of a batch", "ms", estimate=True),
        *(Column(f"{short}, {setting}", estimate=True) for setting in settings), Column("State"), FROM,
    )
    cells: list[tuple[Value, ...]] = [
        (row.name, row.change, setting_text(row.seeds), row.parameters, row.loss, row.step_ms, row.sample_ms,
         *(row.values[setting] for setting in settings), row.state, Links(frames.pedigree.ids(row.places)))
        for row in rows
    ]
    title = metric_title(METRIC, frames.features)
    notes = [
        f"Values are the {title} (lower is better) from {frames.loaded.study.evaluation.group_size} images. With one "
        "seed the "
        "brackets hold the interval over groups of samples; with several, ± is the standard deviation over training "
        "seeds."
        if title != "FID"
        else "With one seed the brackets hold the interval over groups of samples; with several, ± is the standard deviation.",
        f"Ablations are run by `{COMMAND}`; what was not run says so. Times are of the machines they ran on; a row of dashes was sampled in other ways, see the list above.",
    ]
    gone = sorted({e["ablation"] for e in frames.ablations} - set(frames.loaded.ablations))
    if gone:
        notes.append(f"The evidence also holds {listed(gone)}, which the study no longer has.")
    marked = frozenset(i for i, row in enumerate(rows) if row.question == NOT_ASKED)
    return Table(
        "ablations",
        "Each run beside variants of it that change one thing.",
        columns,
        tuple(cells),
        tuple(notes),
        marked,
        narrow=True,
    )


def details_table(frames: Frames, metrics: list[str]) -> Table:
    """Every value of every finished ablation, seed by seed."""
    rows: list[tuple[Value, ...]] = []
    for entry in frames.ablations:
        for setting, record in entry["metrics"].items():
            found = {row["metric"]: row for row in metric_rows(record)}
            values: list[Value] = []
            for metric in metrics:
                row = found.get(metric)
                known = row is not None and row["value"] is not None
                values.append(Estimate(row["value"], row["low"], row["high"]) if row and known else NOT_RECORDED)
            n: Value = next((row["n"] for row in found.values()), NOT_RECORDED)
            links = Links(frames.pedigree.ids([ablation_place(frames.ablations_file, entry)]))
            rows.append(
                (entry["ablation"], entry["seed"], setting, record.get("features", NOT_RECORDED), *values, n, links)
            )
    metric_columns = (Column(metric_short(metric, frames.features), estimate=True) for metric in metrics)
    columns = (
        Column("Ablation"),
        Column("Seed"),
        Column("Sampler and steps"),
        Column("Features"),
        *metric_columns,
        Column("n"),
        FROM,
    )
    return Table(
        "ablations-details", "Every value of the finished ablations, seed by seed.", columns, tuple(rows), folded=True
    )


def ablation_dots(frames: Frames, rows: list[Variant]) -> Picture | None:
    """The main metric of each run and its ablations, a panel for each run."""
    settings = ablation_settings(frames.loaded)
    drawn = [row for row in rows if any(isinstance(value, Estimate) for value in row.values.values())]
    bases = [
        base for base in frames.loaded.runs if any(row.base == base and row.question != NOT_ASKED for row in drawn)
    ]
    if not bases:
        return None
    counts = [sum(row.base == base for row in drawn) for base in bases]
    figure, grid = plt.subplots(
        len(bases), 1, figsize=(WIDTH, 1.3 * len(bases) + 0.5 * sum(counts) + 0.6), sharex=True, squeeze=False,
        gridspec_kw={"height_ratios": [count + 0.6 for count in counts]},
    )
    shades = [("#333333", "#888888", "#BBBBBB")[i % 3] for i in range(len(settings))]
    positive = True
    for axes, base in zip(grid[:, 0], bases, strict=True):
        names = [row for row in drawn if row.base == base]
        for place, row in enumerate(names):
            present = [(i, row.values[s]) for i, s in enumerate(settings) if isinstance(row.values[s], Estimate)]
            for position, (index, value) in enumerate(present):
                assert isinstance(value, Estimate)
                own = row.question == NOT_ASKED
                colour = run_colours(frames.loaded)[base] if own else shades[index]
                low, high = value.ends()
                positive = positive and low > 0
                y = place + min(0.22, 0.8 / len(present)) * (position - (len(present) - 1) / 2)
                axes.plot([low, high], [y, y], color=colour, linewidth=1.4, solid_capstyle="butt")
                axes.plot(
                    value.value, y, marker=MARKERS[index % len(MARKERS)], color=colour, linestyle="none", markersize=7
                )
        axes.set_yticks(range(len(names)), [row.name for row in names])
        axes.set_ylim(len(names) - 0.5, -0.5)
        axes.set_title(f"{frames.loaded.runs[base].label} and its ablations")
    if positive:
        grid[-1, 0].set_xscale("log")
        plain_log(grid[-1, 0], "x")
    grid[-1, 0].set_xlabel(f"{metric_short(METRIC, frames.features)} (lower is better, no unit)")
    handles = [Line2D([], [], marker=MARKERS[i % len(MARKERS)], color=shades[i], linestyle="none", label=s)
               for i, s in enumerate(settings)]
    outside_legend(figure, handles)
    title = metric_title(METRIC, frames.features)
    return finish(
        figure, "ablations",
        f"{title[:1].upper()}{title[1:]} of each run (in its colour) and "
        "of its ablations. Bars: the interval over groups of samples, or ± one standard deviation over training seeds.",
        "Dots of the main metric for each run and ablation, by sampler and number of steps.",
    )

