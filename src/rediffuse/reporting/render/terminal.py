"""The last thing seen in a terminal: the comparison, the claims, and where to look next."""

from pathlib import Path

from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table as Printed
from rich.text import Text

from rediffuse.config import LoadedStudy
from rediffuse.reporting.experiments.claims import Verdict, tally
from rediffuse.reporting.experiments.forms import FAILS, HOLDS, UNDECIDED
from rediffuse.reporting.render.table import Table, plain
from rediffuse.reporting.values import Estimate


def summary(loaded: LoadedStudy, answer: str, tables: list[Table], verdicts: list[Verdict]) -> Group:
    """The answer in a sentence, tables, the claims and where to look next, for rich to print."""
    out = Path("reports", loaded.study.study)
    ahead = Printed.grid(padding=(0, 2))
    ahead.add_column(overflow="fold")
    for command, what in (
        (str(out / "report.html"), "the report: figures, tables, claims, pedigree, times"),
        ("make ui", f"the runs in MLflow (or: mlflow ui --backend-store-uri {loaded.study.tracking.uri})"),
        ("dvc metrics show", "the same numbers, comparable between commits"),
    ):
        ahead.add_row(Text(command, style="bold"), Text(what))
    judged = Printed.grid(padding=(0, 2))
    for item in verdicts:
        judged.add_row(Text(f"  {item.verdict}"), Text(item.claim.claim))
    claims: list[RenderableType] = [Text(tally(verdicts)), judged, Text("")] if verdicts else []
    heading = Text(f"{loaded.study.study}: {answer}", style="bold")
    return Group(heading, *map(_printed, tables), *claims, Text("Where to look next:"), ahead)


def _printed(definition: Table) -> Printed:
    """A table without its references; intervals stay in the report, as a terminal is narrow."""
    kept = [i for i, column in enumerate(definition.columns) if column.header not in ("From", "n")]
    table = Printed(pad_edge=False)
    for i in kept:
        table.add_column(escape(definition.columns[i].title), justify="right" if definition.numeric(i) else "left")
    for row in definition.rows:
        shown = [value.parts()[0] if isinstance(value := row[i], Estimate) else plain(value) for i in kept]
        table.add_row(*map(Text, shown))
    return table


def claims_table(verdicts: list[Verdict]) -> Group:
    """Each claim with its verdict and what it rests on, for rich to print."""
    colours = {HOLDS: "green", FAILS: "red", UNDECIDED: "yellow"}
    table = Printed("Verdict", "Claim", "Evidence", pad_edge=False)
    for item in verdicts:
        evidence = "; ".join(text for text in (item.evidence, item.why) if text)
        table.add_row(
            Text(item.verdict, style=colours.get(item.verdict, "dim")), Text(item.claim.claim), Text(evidence)
        )
    return Group(table, Text(tally(verdicts))) if verdicts else Group(Text(tally(verdicts)))
