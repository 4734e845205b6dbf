"""How values become the text of a result file: unlike `files`, this decides its bytes."""

import csv
import io
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from rediffuse.files import write_atomically


def json_text(value: Any) -> str:
    """`value` as indented JSON with sorted keys and a last newline; ValueError for NaN and infinity."""
    return json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n"


def write_json(path: str | Path, value: Any) -> None:
    """Write `json_text(value)` to `path`, whole or not at all."""
    write_atomically(path, json_text(value))


def write_records(path: str | Path, records: Iterable[dict[str, Any]]) -> None:
    """Write records as a JSON list of one line each, whole or not at all:
    git then keeps of a new one that line alone.
    """
    lines = (
        json.dumps(one, separators=(",", ":"), sort_keys=True, ensure_ascii=False, allow_nan=False) for one in records
    )
    write_atomically(path, "[\n" + ",\n".join(lines) + "\n]\n")


def csv_text(rows: Iterable[dict[str, Any]]) -> str:
    """Rows as CSV; floats in the shortest form that reads back the same."""
    rows = list(rows)
    columns = list(dict.fromkeys(key for row in rows for key in row))
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, columns, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return buffer.getvalue()
