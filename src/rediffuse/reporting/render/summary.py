"""The last thing seen in a terminal: the comparison, the claims, and where to look next."""

from pathlib import Path
from typing import TYPE_CHECKING

from rediffuse.config import LoadedStudy
from rediffuse.pipeline.plan import Plan

if TYPE_CHECKING:
    from rich.console import Group


def terminal_summary(loaded: LoadedStudy, plan: Plan, root: Path) -> "Group":
    """A table of the main metric by sampler and steps, the claims and where to look next, for rich to print."""
    from rich.console import Group, RenderableType
    from rich.markup import escape
    from rich.table import Table
    from rich.text import Text

    from rediffuse.reporting.chapters import tables
    from rediffuse.reporting.experiments.cells import make_cells
    from rediffuse.reporting.experiments.claims import judge, tally
    from rediffuse.reporting.read.frames import read_frames
    from rediffuse.reporting.render.table import Estimate, plain
    from rediffuse.reporting.render.terms import metric_title

    frames = read_frames(loaded, plan, root)
    cells = make_cells(frames.measured())
    definition = tables.comparison(frames, cells, "frechet_distance", folded=False)
    kept = [i for i, column in enumerate(definition.columns) if column.header not in ("From", "n")]
    n = loaded.study.evaluation.group_size
    title = metric_title("frechet_distance", frames.features)
    table = Table(pad_edge=False)
    for i in kept:
        table.add_column(escape(definition.columns[i].title), justify="right" if definition.numeric(i) else "left")
    for position, row in enumerate(definition.rows):
        # Intervals stay in the report: a terminal is narrow.
        shown = [row[i].parts()[0] if isinstance(row[i], Estimate) else plain(row[i]) for i in kept]  # type: ignore[union-attr]
        table.add_row(*(Text(text) for text in shown), style="dim" if position in definition.marked else "",
                      end_section=position == len(definition.rows) - 3)  # fmt: skip
    out = Path("reports", loaded.study.study)
    ahead = Table.grid(padding=(0, 2))
    ahead.add_column(overflow="fold")
    for command, what in (
        (str(out / "report.html"), "the report: figures, tables, claims, pedigree"),
        ("make ui", f"the runs in MLflow (or: mlflow ui --backend-store-uri {loaded.study.tracking.uri})"),
        ("dvc metrics show", "the same numbers, comparable between commits"),
    ):
        ahead.add_row(Text(command, style="bold"), Text(what))
    verdicts = judge(loaded, cells)
    judged = Table.grid(padding=(0, 2))
    for item in verdicts:
        judged.add_row(Text(f"  {item.verdict}"), Text(item.claim.claim))
    claims: list[RenderableType] = [Text(tally(verdicts)), judged, Text("")] if verdicts else []
    heading = Text(f"{loaded.study.study}: {title} of {n} images, lower is better", style="bold")
    return Group(heading, table, *claims, Text("Where to look next:"), ahead)
