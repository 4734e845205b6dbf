"""A study of seconds in a clone of its own, with its report committed: built once, then copied and sabotaged."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from rediffuse.pipeline.context import Context
from rediffuse.pipeline.plan import Job, Plan
from rediffuse.pipeline.work import work
from rediffuse.verification import run
from rediffuse.verification.case import Case, Request
from rediffuse.verification.run import Outcome, verify
from rediffuse.verification.scratch import Scratch
from tests.pipeline.conftest import Clone, new_clone

STUDY = """\
study: tiny
title: A study of seconds
data: {name: smoke}
hardware: {device: cpu, threads: 1}
evaluation: {features: efficientnet-lite0, group_size: 8, groups: 2, batch_size: 16, likelihood_images: 2}
restoration: {images: 8, steps: 2, resamples: 1, frames: 2}
tracking: {enabled: false}
seeds: [0]
defaults:
  network: {channels: 4, multipliers: [1], blocks: 1, attention: [], groups: 2, middle_attention: false}
  diffusion: {timesteps: 25}
  training: {steps: 6, batch_size: 8, learning_rate: 1e-3, warmup: 2, log_every: 2, ema_decay: 0.5, checkpoint_every: 3}
  sampling: {images: 16, batch_size: 16, samplers: {ancestral: {steps: [5]}}}
runs:
  baseline: {role: baseline}
"""


def do(context: Context, jobs: list[Job]) -> None:
    """Do jobs in this process, which has loaded already what each process of a build must load anew."""
    names = context.plan.upstream(jobs)
    for job in context.plan.jobs.values():
        if job.name in names:
            work(context, job, later=True)


@pytest.fixture(scope="session")
def reported(tmp_path_factory: pytest.TempPathFactory) -> Clone:
    """The clone with the tiny study as the active one, built, and its report committed; to be left as it is."""
    clone = new_clone(tmp_path_factory.mktemp("reported") / "project")
    for path in (clone.folder / "studies").glob("*.yaml"):
        path.unlink()
    (clone.folder / "studies" / "tiny.yaml").write_text(STUDY)
    (clone.folder / "params.yaml").write_text(STUDY)
    (clone.folder / "README.md").write_text("Before <!-- verified tiny --><!-- /verified --> after\n")
    context = Context.open(clone.folder / "params.yaml", clone.folder)
    do(context, list(context.plan.jobs.values()))
    clone.run("git add -A && git commit -qm 'the report'")
    return clone


@pytest.fixture
def project(reported: Clone, tmp_path: Path) -> Clone:
    """A copy of it, to be changed."""
    return reported.copy(tmp_path / "project")


@pytest.fixture
def begun(project: Clone) -> Callable[..., None]:
    """Leave what a killed verification leaves: the scratch folder of a request, with all that was built before."""

    def leave(**asked: object) -> None:
        case = Case.of(Request(**asked), project.folder)  # type: ignore[arg-type]
        case.begin()
        for name in ("data/smoke", "runs", "reports/tiny"):
            shutil.copytree(project.folder / name, case.scratch.project / name, dirs_exist_ok=True)

    return leave


@pytest.fixture
def verified(project: Clone, begun: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Outcome]:
    """The outcome of a verification that goes on from what was built before, its jobs being done in this process."""

    def in_this_process(scratch: Scratch, plan: Plan, jobs: list[Job], *rest: object) -> int:
        do(Context.open(scratch.project / "params.yaml", scratch.project), list(jobs))
        return len(jobs)

    def planned_in_this_process(scratch: Scratch, study: str, *options: str) -> dict[str, object]:
        file = options[-1] if options else scratch.project / "params.yaml"
        return {name: job.statement() for name, job in Context.open(file, scratch.project).plan.jobs.items()}

    def of(**asked: object) -> Outcome:
        monkeypatch.setattr(run, "rebuild", in_this_process)
        monkeypatch.setattr(run, "plan_of", planned_in_this_process)
        begun(**asked)
        return verify(Request(**asked), project.folder)  # type: ignore[arg-type]

    return of
