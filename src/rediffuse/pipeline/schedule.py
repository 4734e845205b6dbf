"""Which jobs Snakemake has to run: those of what is asked for that are stale, and those that the user forces.

Snakemake knows files and dates, and dates mean nothing after a clone, a copy or `dvc pull`. So receipts decide, and
Snakemake is told which files to make anew; nothing is written to tell it.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from rediffuse.pipeline.context import Context
from rediffuse.pipeline.plan import Job, Plan
from rediffuse.pipeline.receipts import reasons
from rediffuse.pipeline.stage import stages


@dataclass(frozen=True)
class Schedule:
    """names: of the jobs that run; forced: of those of them that begin anew whatever lies there;
    files: their receipts.
    """

    names: frozenset[str]
    forced: frozenset[str]
    files: frozenset[str]


def schedule(
    context: Context,
    targets: Iterable[str],
    forced: Iterable[str] = (),
    force_all: bool = False,
    force_targets: bool = False,
) -> Schedule:
    """What has to run for `targets` (rules or files; the report where there are none).

    Args:
        forced: rules or files of `--forcerun`: their jobs, and those made from them among what is asked for.
        force_all, force_targets: `--forceall`, `--force`.
    """
    plan = context.plan
    wanted = list(targets) or ["all"]
    asked = [job for target in wanted for job in jobs_of(plan, target)]
    named = [job for target in forced for job in jobs_of(plan, target)]
    needed = plan.upstream([*asked, *named])
    anew = plan.downstream({job.name for job in named}) & needed.keys()
    if force_targets:
        anew |= {job.name for job in asked}
    if force_all:
        anew |= needed.keys()
    why = reasons(plan, context.root)
    due = {name for name in needed if why[name] is not None or name in anew}
    return Schedule(frozenset(due), frozenset(anew), frozenset(str(needed[name].receipt) for name in due))


def jobs_of(plan: Plan, target: str) -> list[Job]:
    """The jobs that a rule stands for, or that makes a file; none of what is no target of ours."""
    if target == "measured":
        return plan.measured()
    if target == "ablations":
        return [job for job in plan.jobs.values() if job.ablation]
    for stage in stages().values():
        if target in (stage.name, stage.done):
            return plan.of_stage(stage.name)
    if target == "all":
        return plan.of_stage("report")
    by_rule = {job.file.replace("-", "_"): job for job in plan.jobs.values()}
    if target in by_rule:
        return [by_rule[target]]
    return [job for job in plan.jobs.values() if target in map(str, (job.receipt, *job.outputs, *job.loose))]
