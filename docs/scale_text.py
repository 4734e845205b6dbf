"""What the parts of docs/scale.md are written with: figures found, tables, paragraphs."""

import json
import textwrap
from collections.abc import Iterable
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).resolve().parents[1] / "benchmarks" / "scale" / "results"
WAYS = {
    "eager": "measured, as written",
    "compiled": "measured, compiled",
    "share of Ho et al.": "Ho et al.'s share of the peak",
}


def found(name: str) -> dict[str, Any]:
    """What a script has found."""
    return json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))


def table(header: Iterable[object], rows: Iterable[Iterable[object]]) -> str:
    """A Markdown table."""
    header = list(header)
    lines = [header, ["---"] * len(header), *map(list, rows)]
    return "\n" + "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines) + "\n"


def paragraph(*pieces: str) -> str:
    """Text in lines of the page's width."""
    return "\n" + textwrap.fill(" ".join(pieces), 120) + "\n"


def code(commit: str) -> str:
    """The commit of a measurement, and whether its files had changed since."""
    return f"commit {commit[:12]}{' with changes' if commit.endswith('+changes') else ''}"


def measured(about: dict[str, Any]) -> str:
    """By which command, where and when."""
    machine = about["machine"]
    on = machine["cpu"] if machine["device"] == "cpu" else machine["device"]
    return (
        f"\n    {about['command']}\n\n"
        f"{about['minutes']:.0f} minutes on {about['date']}, {on}, {machine['cores']} cores, "
        f"PyTorch {machine['torch']}, {code(about['commit'])}.\n"
    )


def short(value: float) -> str:
    """Three digits at most."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def by_way(one: dict[str, Any]) -> list[tuple[str, Any]]:
    """What stands there by way, in the order of WAYS."""
    return [(way, one[way]) for way in WAYS if way in one]
