"""Rows of numbers as CSV."""

import csv
import io
from collections.abc import Iterable
from typing import Any


def to_csv(rows: Iterable[dict[str, Any]]) -> str:
    """Rows as CSV; floats in the shortest form that reads back the same."""
    rows = list(rows)
    columns = list(dict.fromkeys(key for row in rows for key in row))
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, columns, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return buffer.getvalue()
