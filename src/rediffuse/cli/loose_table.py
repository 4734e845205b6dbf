"""The printed form of an evaluation without a study."""

from typing import Any

from rich.console import Console
from rich.table import Table

from rediffuse.evaluation.metrics import metric_short
from rediffuse.reporting.terms import feature_title
from rediffuse.reporting.values import number


def print_scores(record: dict[str, Any], console: Console | None = None) -> None:
    """Print a record of `evaluate_images` as a table, with its notes below."""
    console = console or Console()

    def line(text: str) -> None:
        console.print(text, soft_wrap=True, markup=False, highlight=False)

    line(f"{record['samples']['path']} against {record['reference']['path']}")
    line(f"features: {feature_title(record['features'])}, {record['resize']}")
    table = Table("metric", "value", "95 % interval", "n", box=None, pad_edge=False)
    for column in table.columns[1:]:
        column.justify = "right"
    missing = []
    for name, estimate in record["metrics"].items():
        title, groups = metric_short(name, record["features"]), len(estimate["groups"])
        if "unavailable" in estimate:
            missing.append(f"{title}: not available, {estimate['unavailable']}")
            continue
        low, high = estimate["low"], estimate["high"]
        interval = "one group" if low is None else f"{number(low)} to {number(high)}"
        count = f"{groups} x {estimate['n']}" if groups > 1 else str(estimate["n"])
        table.add_row(title, number(estimate["value"]), interval, count)
    for name, value in record["whole"]["metrics"].items():
        parts = f", mean of {value['splits']} parts" if "splits" in value else ""
        spread = f"{number(value['std'])} over parts" if "splits" in value else "none"
        title = f"{metric_short(name, record['features'])}, all at once{parts}"
        table.add_row(title, number(value["value"]), spread, str(value["n"]))
    console.print(table)
    for text in missing:
        line(text)
    for side in ("samples", "reference"):
        for conversion in record[side].get("conversions", ()):
            line(f"{side}: {conversion}")
    known = record["reference"]
    line(
        f"distances are from {known['count'] or 'an unknown number of'} images of {known['dataset']} ({known['split']})"
    )
    for note in record["notes"]:
        line(f"note: {note}")
