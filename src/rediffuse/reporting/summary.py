"""The last thing seen in a terminal: the comparison, the claims, and where to look next."""

from pathlib import Path
from typing import TYPE_CHECKING

from rediffuse.config import LoadedStudy

if TYPE_CHECKING:
    from rich.console import RenderableType


def terminal_summary(loaded: LoadedStudy, root: Path, out: Path | None = None) -> "RenderableType":
    """A table of the main metric by sampler and steps, the claims' verdicts and where to look next, for rich to print."""
    from rich.console import Group
    from rich.markup import escape
    from rich.table import Table
    from rich.text import Text

    from rediffuse.reporting import tables
    from rediffuse.reporting.cells import make_cells
    from rediffuse.reporting.claims import judge, tally
    from rediffuse.reporting.frames import read_frames
    from rediffuse.reporting.table import Estimate, plain
    from rediffuse.reporting.terms import metric_title

    frames = read_frames(loaded, root)
    cells = make_cells(frames.quality)
    definition = tables.comparison(frames, cells, "frechet_distance", folded=False)
    kept = [i for i, column in enumerate(definition.columns) if column.header not in ("From", "n")]
    n = loaded.study.evaluation.group_size
    title = metric_title("frechet_distance", frames.features)
    table = Table(title=f"{loaded.study.study}: {title} of {n} images, lower is better", title_justify="left", pad_edge=False)
    for i in kept:
        table.add_column(escape(definition.columns[i].title), justify="right" if definition.numeric(i) else "left")
    for position, row in enumerate(definition.rows):
        # Intervals stay in the report: a terminal is narrow.
        shown = [row[i].parts()[0] if isinstance(row[i], Estimate) else plain(row[i]) for i in kept]  # type: ignore[union-attr]
        table.add_row(*(Text(text) for text in shown), style="dim" if position in definition.marked else "",
                      end_section=position == len(definition.rows) - 3)  # fmt: skip
    out = out or Path("reports", loaded.study.study)
    ahead = Table.grid(padding=(0, 2))
    for command, what in (
        (str(out / "report.html"), "the report: figures, tables, claims, pedigree"),
        ("make ui", f"the runs in MLflow (or: mlflow ui --backend-store-uri {loaded.study.tracking.uri})"),
        ("dvc metrics show", "the same numbers, comparable between commits"),
    ):
        ahead.add_row(Text(command, style="bold"), Text(what))
    verdicts = judge(loaded, cells)
    lines = [Text(f"  {item.verdict:<14}{item.claim.claim}") for item in verdicts]
    claims = [Text(tally(verdicts)), *lines, Text("")] if verdicts else []
    return Group(table, Text(""), *claims, Text("Where to look next:"), ahead)
