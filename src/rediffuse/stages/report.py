"""Stage `report`: what is on disk becomes tables, figures, verdicts and a page."""

from pathlib import Path
from typing import Any

from rediffuse.files import digest, sha256
from rediffuse.pipeline.context import Context
from rediffuse.pipeline.plan import Job
from rediffuse.pipeline.stage import ALL, Stage, Subject

FILES = ("report.md", "metrics.json", "claims.json", "tables", "figures")
TEMPLATES = Path(__file__).parent.parent / "reporting" / "render" / "templates"


def settings(subject: Subject) -> dict[str, Any]:
    """The whole study but its tracking, which only watches; what is known of metrics; the ablations; the templates; the
    documents' mistakes, where they are told.
    """
    from rediffuse.corrections.entries import FILE
    from rediffuse.corrections.registry import NUMBERS, WRONG
    from rediffuse.evaluation.metrics import facts

    corrections = {}
    if subject.loaded.study.corrections is not None:
        told = {"file": sha256(FILE), "numbers": list(NUMBERS), "mistakes": WRONG.facts()}
        corrections = {"corrections": told}
    templates = {path.name: sha256(path) for path in TEMPLATES.iterdir() if path.is_file()}
    return {
        "study": subject.loaded.study.model_dump(mode="json", exclude={"tracking"}),
        "metrics": facts(),
        "ablations": subject.outside.get("ablations"),
        "templates": digest(templates),
        **corrections,
    }


STAGE = Stage(
    "report",
    "Write tables, figures and the report from what is on disk, and sum them up.",
    doing="Writing the report",
    done="reported",
    scope="study",
    folder="reports/{study}",
    needs=ALL,
    settings=settings,
    files=lambda subject: FILES,
    loose=("report.html", "timings.md", "timings"),
    keeps=("report.md", "metrics.json", "claims.json", "tables/", "figures/"),
    computes=False,
    log="rediffuse.tracking.jobs:log_report",
    shown=("report.html", "report.rst", "Report"),
)


def run(job: Job, context: Context) -> None:
    """Write reports/<study>/ from metrics, histories, the evidence of ablations and, apart, times."""
    from rediffuse.pipeline.evidence import mend
    from rediffuse.reporting import build_report

    mend(context.root, context.plan.study)
    build_report(context.loaded, context.plan, context.root, context.root / job.folder)
