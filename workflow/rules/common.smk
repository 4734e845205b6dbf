# The plan of the active study, and what the rules look up in it.

import sys
from pathlib import Path

from rediffuse.errors import UserError
from rediffuse.pipeline.receipts import lock, settle
from rediffuse.stages.context import Context
from snakemake.exceptions import WorkflowError

try:
    CONTEXT = Context.open("params.yaml")
    if workflow.is_main_process and not workflow.dryrun:
        # Snakemake's own lock outlives a killed process (the profile turns it off); this one cannot.
        LOCK = lock(Path("state/snakemake.lock"), "snakemake")
    if workflow.is_main_process:
        settle(CONTEXT.plan, Path())
except UserError as error:
    raise WorkflowError(str(error))

PLAN = CONTEXT.plan
STUDY = PLAN.study
HARDWARE = CONTEXT.loaded.study.hardware
REDIFFUSE = f"{sys.executable} -m rediffuse"
DATA = f"data/{CONTEXT.loaded.study.data.name}"
RUN = f"runs/{STUDY}/{{run}}/seed{{seed}}"
MODELS = CONTEXT.loaded
# What the folder of a run, and that of a one-pass model, may be called: both kinds leave files of the same names.
RUNS = "|".join([*MODELS.runs, *(f"ablations/{name}" for name in MODELS.ablations)])
GENERATORS = "|".join(MODELS.generators) or "-"  # a hyphen is no name
LOG = f"state/{STUDY}/logs"
BENCHMARK = f"state/{STUDY}/benchmarks"


wildcard_constraints:
    run="(ablations/)?[a-z0-9][a-z0-9-]*",
    seed="[0-9]+",


def run_of(wildcards):
    """The name of a run; the folder of an ablation says more than that."""
    return wildcards.run.rpartition("/")[2]


def job_of(stage, wildcards):
    return PLAN.find(stage, run_of(wildcards), int(wildcards.seed))


def key_of(stage):
    """The key file of a stage's job: the only input whose date counts (see rediffuse.pipeline.receipts.settle)."""

    def key_file(wildcards):
        job = job_of(stage, wildcards) if hasattr(wildcards, "run") else PLAN.find(stage)
        return str(job.key_file(STUDY))

    return key_file


def classifier_of(wildcards):
    """The receipt of the classifier that guides a run, for those that have one."""
    stage, run, seed = "classifier", run_of(wildcards), int(wildcards.seed)
    return str(PLAN.find(stage, run, seed).receipt) if PLAN.has(stage, run, seed) else []


def reference_of_training(wildcards):
    """The receipt of the reference, for runs whose samples are scored while they train."""
    run = MODELS.model(run_of(wildcards))
    return str(PLAN.find("reference").receipt) if run.during_training else []


def samples_of(wildcards):
    """The receipt of the job that sampled what is scored and examined: `sample`, or `draw` of a one-pass model."""
    return str(job_of("evaluate", wildcards).needs[0].receipt)


def receipts_of(stage, ablation=False):
    return [str(job.receipt) for job in PLAN.of_stage(stage, ablation)]
