"""From files on disk to tables, figures, verdicts on claims, and a page; and to the kept record of ablations.

Importing this package costs nothing: pandas, seaborn and matplotlib are imported when a report is built.
"""

from rediffuse.reporting.build import build_report, judged, terminal_summary
from rediffuse.reporting.read.evidence import accept_kept, collect_ablations, write_ablations

__all__ = ["accept_kept", "build_report", "collect_ablations", "judged", "terminal_summary", "write_ablations"]
