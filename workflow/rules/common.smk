# The plan of the active study, and which of its jobs have to run.

import functools
import os
import shlex
import signal
import sys
from pathlib import Path

from rediffuse.errors import UserError
from rediffuse.pipeline.context import Context
from rediffuse.pipeline.digests import Digests
from rediffuse.pipeline.lock import lock
from rediffuse.pipeline.resources import resources
from rediffuse.pipeline.schedule import schedule
from rediffuse.pipeline.snakemake import answer_from_a_thread, date_back
from rediffuse.pipeline.stage import stages
from snakemake.exceptions import WorkflowError

Digests.kept = False  # whether this is a dry run, which writes nothing, is not known yet
try:
    CONTEXT = Context.open("params.yaml")
except UserError as error:
    raise WorkflowError(str(error))

PLAN = CONTEXT.plan
HARDWARE = CONTEXT.loaded.study.hardware
REDIFFUSE = f"{shlex.quote(sys.executable)} -m rediffuse"
STATE = f"state/{PLAN.study}"

# The jobs of one machine take turns at its GPUs; by `--resources gpu=N` N of one process each share the first. On a
# cluster each asks for all the GPUs and cores that its study names: the machine that sends them there says nothing of
# the nodes.
resource_scopes:
    gpu="local",


# A cluster runs a Snakemake of its own for each job: it hears here which jobs begin anew, and none does so twice.
FORCED = "REDIFFUSE_FORCED"
if workflow.is_main_process or "SLURM_RESTART_COUNT" in os.environ:
    os.environ[FORCED] = ""

if not workflow.is_main_process:
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)  # the job hears it: its time is nearly over


onstart:
    answer_from_a_thread(signal.SIGTERM)
    if workflow.is_main_process:
        # Snakemake's own lock outlives a killed process (the profile turns it off); this one cannot.
        try:
            lock(Path("state/snakemake.lock"), "snakemake")
        except UserError as error:
            raise WorkflowError(str(error))
        date_back(job.receipt for job in PLAN.jobs.values())


def limit():
    """Say what this machine limits, once it is known where the jobs run; of a dry run only `jobs` of a profile tells."""
    if workflow.nodes is not None if workflow.dryrun else not workflow.local_exec:
        workflow.register_resource("_cores", None)
    elif "gpu" not in workflow.global_resources:
        workflow.register_resource("gpu", 1)


@functools.cache
def due():
    """What has to run. Receipts decide that: Snakemake is told once it knows what the user asks for, which is when it
    first asks a rule for its input, and sees to the order. No date of a file counts."""
    limit()
    Digests.kept = not workflow.dryrun
    settings = workflow.dag_settings
    decided = schedule(
        CONTEXT,
        targets=settings.targets,
        forced=settings.forcerun,
        force_all=settings.forceall,
        force_targets=settings.forcetargets,
    )
    workflow.dag.forcefiles.update(decided.files)
    os.environ[FORCED] = " ".join(decided.forced)
    return decided


def needs_of(job, made_anew):
    """The receipts of what a job is made from: of what is made anew before it, or of the rest, whose dates tell nothing."""

    def receipts(wildcards):
        # A job that is up to date stays so, even where a file that it was made from has to be made again.
        anew = due().names if workflow.is_main_process and job.name in due().names else frozenset()
        # It may read what a job further up makes anew, where those between are up to date.
        needs = PLAN.upstream(job.needs).values() if made_anew else job.needs
        return [str(need.receipt) for need in needs if (need.name in anew) == made_anew]

    return receipts


def command_of(job):
    """The command of a job: it is told to begin anew where the user asks for that."""

    def command(wildcards):
        forced = job.name in os.environ.get(FORCED, "").split()
        return f"{REDIFFUSE} {job.command.removeprefix('rediffuse ')} --later{' --force' if forced else ''}"

    return command


def receipts_of(stage, ablation=False):
    return [str(job.receipt) for job in PLAN.of_stage(stage, ablation)]
