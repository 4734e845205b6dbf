"""The printed form of an evaluation without a study."""

import math
from typing import Any

from rich.console import Console
from rich.table import Table

from rediffuse.reporting.terms import metric_title, number


def print_scores(record: dict[str, Any], console: Console | None = None) -> None:
    """Print a record of `evaluate_images` as a table, with its notes below."""
    console = console or Console()
    console.print(f"{record['samples']['path']} against {record['reference']['path']}", soft_wrap=True)
    table = Table("metric", "value", "95 % interval", "n", box=None, pad_edge=False)
    for column in table.columns[1:]:
        column.justify = "right"
    for name, estimate in record["metrics"].items():
        if "unavailable" in estimate:
            table.add_row(metric_title(name, record["features"]), "—", estimate["unavailable"], str(estimate["n"]))
            continue
        interval = "—"
        if estimate["low"] is not None:
            interval = f"{_number(estimate['low'])} to {_number(estimate['high'])}"
        count = f"{len(estimate['groups'])} x {estimate['n']}" if len(estimate["groups"]) > 1 else str(estimate["n"])
        table.add_row(metric_title(name, record["features"]), _number(estimate["value"]), interval, count)
    console.print(table)
    for conversion in record["samples"]["conversions"]:
        console.print(f"samples: {conversion}", soft_wrap=True, markup=False, highlight=False)
    for note in record["notes"]:
        console.print(f"note: {note}", soft_wrap=True, markup=False, highlight=False)


def _number(value: float) -> str:
    return number(value) if math.isfinite(value) else str(value)
