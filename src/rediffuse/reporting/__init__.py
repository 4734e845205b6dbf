"""From files on disk to tables, figures, verdicts on claims, and a page.

read: files become frames. experiments: frames become cells and verdicts. chapters: these become paragraphs, tables and
figures, topic by topic. render: those become Markdown, HTML, CSV and LaTeX. Importing this package costs nothing:
pandas, seaborn and matplotlib are imported when a report is built.
"""

from rediffuse.reporting.build import build_report
from rediffuse.reporting.read.evidence import write_ablations
from rediffuse.reporting.render.summary import terminal_summary

__all__ = ["build_report", "terminal_summary", "write_ablations"]
