"""The verdict on every claim."""

from rediffuse.config import ResolvedRun
from rediffuse.reporting.cells import Cell, Cells, compare, optional
from rediffuse.reporting.claims import Verdict
from rediffuse.reporting.frames import Frames
from rediffuse.reporting.pedigree import SHORT
from rediffuse.reporting.table import Anchor, Column, Estimate, Links, Table, Value
from rediffuse.reporting.terms import (
    NOT_ASKED,
    NOT_RECORDED,
    NOT_RUN,
    REAL_LINES,
    cell_label,
    compared_runs,
    direction,
    metric_short,
    metric_title,
    run_label,
    run_of_role,
    settings_in_order,
)


def claims(frames: Frames, verdicts: list[Verdict]) -> Table:
    """Each claim with its source, what was measured and what follows."""
    rows: list[tuple[Value, ...]] = []
    for item in verdicts:
        files = [path for cell in (item.better, item.worse) if cell is not None for path in cell.files]
        metric = metric_short(item.claim.metric, frames.features)
        names = [cell_label(frames.loaded, *name.split("/", 1)) for name in (item.claim.better, item.claim.worse)]
        links = Links(frames.pedigree.ids(files))
        rows.append((
            item.claim.claim, item.claim.source, metric, names[0], estimate(item.better), names[1],
            estimate(item.worse), item.verdict, item.reason, links,
        ))
    return Table(
        "claims",
        "Each claim: a metric of the cell said to be better against the same metric of the cell said to be worse.",
        (Column("Claim"), Column("Source"), Column("Metric"), Column("Said to be better"),
         Column("Its value", estimate=True), Column("Said to be worse"), Column("Value of that", estimate=True), Column("Verdict"), Column("Why"), FROM),
        tuple(rows),
        notes=(
            "holds: the intervals are apart in the claimed direction; does not hold: they are apart in the other; "
            "undecided: they overlap.",
        ),
        narrow=True,
    )

