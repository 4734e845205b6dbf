"""From files on disk to evidence, tables, figures, verdicts on claims, and a page.

Importing this package costs nothing: pandas, seaborn and matplotlib are imported when a report is built.
"""

from rediffuse.reporting.build import build_report
from rediffuse.reporting.read.evidence import (
    collect_ablations,
    collect_timings,
    write_ablations,
    write_evidence,
    write_timings,
)
from rediffuse.reporting.render.summary import terminal_summary

__all__ = [
    "build_report",
    "collect_ablations",
    "collect_timings",
    "terminal_summary",
    "write_ablations",
    "write_evidence",
    "write_timings",
]
