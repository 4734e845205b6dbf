"""Stage `report`: what is on disk becomes tables, figures, verdicts and a page."""

import sys

from rich.console import Console

from rediffuse.errors import UserError
from rediffuse.files import write_json
from rediffuse.pipeline.digests import Digests
from rediffuse.pipeline.plan import evidence_file
from rediffuse.pipeline.receipts import why_stale
from rediffuse.reporting import build_report, collect_ablations, terminal_summary, write_timings
from rediffuse.stages.context import Context, working
from rediffuse.tracking import log_report, open_tracker


def report(context: Context) -> None:
    """Write reports/<study>/ from metrics, histories, timings and the evidence of ablations."""
    job = context.plan.find("report")
    out = context.root / "reports" / context.plan.study
    with working(context, job):
        write_timings(context.loaded, context.root, out)
        keys = {
            (run.name, seed, stage): context.plan.find(stage, run.name, seed).key
            for run in context.loaded.ablations.values()
            for seed in run.seeds
            for stage in ("train", "sample", "evaluate")
        }
        build_report(context.loaded, context.root, out, current_keys=keys)
    with open_tracker(context) as tracker:
        if tracker is not None:
            log_report(tracker, context)


def summarise(context: Context) -> None:
    """Print the comparison, the verdicts and where to look next."""
    # A log has no width of its own, and the customary 80 columns would break the table's lines.
    console = Console() if sys.stdout.isatty() else Console(width=120)
    console.print(terminal_summary(context.loaded, context.root))


def gather_ablations(context: Context) -> None:
    """Write the results of finished ablations to reports/<study>/evidence/ablations.json.

    Raises:
        UserError: no ablation is finished.
    """
    digests = Digests(context.root)
    stale = [job.name for job in context.plan.of_stage("evaluate", ablation=True) if why_stale(job, digests)]
    records = collect_ablations(context.loaded, context.root)
    if not records:
        raise UserError("no ablation is finished; run `snakemake --cores 8 ablations`")
    write_json(context.root / evidence_file(context.plan.study), records)
    waiting = f"; not finished: {', '.join(stale)}" if stale else ""
    print(f"{len(records)} ablations gathered{waiting}\nnext: `dvc repro` writes them into the report", file=sys.stderr)
