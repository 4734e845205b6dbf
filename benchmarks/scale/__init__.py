"""What the pipeline takes at a thousand runs, and a study at the papers' sizes: docs/scale.md is written from it."""

import datetime
import sys
import time
from pathlib import Path
from typing import Any

from rediffuse.formats import write_json
from rediffuse.machine import machine
from rediffuse.pipeline.work import commit

RESULTS = Path(__file__).parent / "results"


def record(name: str, script: str, results: Path, began: float, figures: dict[str, Any], device: str = "cpu") -> None:
    """Keep what a script has found, with its command, the machine, the day and the commit."""
    words = sys.argv[1:]
    if "--results" in words:  # where the figures went is no part of how they were found
        at = words.index("--results")
        del words[at : at + 2]
    about = {
        "command": " ".join(["python -m", f"benchmarks.scale.{script}", *words]),
        "commit": commit(RESULTS.parents[2]),
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "machine": machine(device, 1),
        "minutes": round((time.monotonic() - began) / 60, 1),
    }
    write_json(results / f"{name}.json", {"about": about, **figures})
