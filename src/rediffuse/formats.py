"""How results are written down; what infrastructure keeps for itself is written by `rediffuse.files`."""

import csv
import io
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from rediffuse.files import write_atomically


def json_text(value: Any) -> str:
    """`value` as indented JSON with sorted keys; NaN and infinity are refused."""
    return json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n"


def write_json(path: str | Path, value: Any) -> None:
    """Write `value` as `json_text` has it."""
    write_atomically(path, json_text(value))


def csv_text(rows: Iterable[dict[str, Any]]) -> str:
    """Rows as CSV; floats in the shortest form that reads back the same."""
    rows = list(rows)
    columns = list(dict.fromkeys(key for row in rows for key in row))
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, columns, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return buffer.getvalue()
