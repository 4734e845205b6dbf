# The plan of the active study, and which of its jobs have to run.

import sys
from pathlib import Path

from rediffuse.errors import UserError
from rediffuse.pipeline.context import Context
from rediffuse.pipeline.lock import lock
from rediffuse.pipeline.schedule import schedule
from rediffuse.pipeline.stage import stages
from snakemake.exceptions import WorkflowError

try:
    CONTEXT = Context.open("params.yaml")
    if workflow.is_main_process and not workflow.dryrun:
        # Snakemake's own lock outlives a killed process (the profile turns it off); this one cannot.
        LOCK = lock(Path("state/snakemake.lock"), "snakemake")
except UserError as error:
    raise WorkflowError(str(error))

PLAN = CONTEXT.plan
HARDWARE = CONTEXT.loaded.study.hardware
REDIFFUSE = f"{sys.executable} -m rediffuse"
STATE = f"state/{PLAN.study}"
FORCED = frozenset()

if workflow.is_main_process:
    # Receipts decide what is out of date; Snakemake is told, and sees to the order. No date of a file counts.
    settings = workflow.dag_settings
    due = schedule(
        CONTEXT,
        targets=settings.targets,
        forced=settings.forcerun,
        force_all=settings.forceall,
        force_targets=settings.forcetargets,
    )
    FORCED = due.forced
    settings.forcerun = frozenset({*settings.forcerun, *due.files})


def option_of(job):
    """What the command of a job is told besides its job: to begin anew, where the user asks for that."""
    return "--force" if job.name in FORCED else ""


def receipts_of(stage, ablation=False):
    return [str(job.receipt) for job in PLAN.of_stage(stage, ablation)]
