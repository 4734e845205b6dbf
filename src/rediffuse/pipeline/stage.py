"""The declaration of a stage: all that the plan, Snakemake, DVC, the command line and tracking know of it.

A stage is a file in `rediffuse/stages` that holds `STAGE = Stage(…)` and `run(job, context)`; nothing else has to be
written for it. Such a file is read for every plan, so it imports what computes inside `run`.
"""

import functools
import importlib
import pkgutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from graphlib import TopologicalSorter
from typing import Any, Literal

from rediffuse.config import LoadedStudy, ResolvedRun


@dataclass(frozen=True)
class Subject:
    """What a job is about: a study, and of the stages of runs a run and a training seed; what lies outside the project
    and is read counts by `outside` (SHA-256 by key of the study).
    """

    loaded: LoadedStudy
    outside: dict[str, str] = field(default_factory=dict)
    of_run: ResolvedRun | None = None
    of_seed: int | None = None

    @property
    def study(self) -> str:
        """Name of the study."""
        return self.loaded.study.study

    @property
    def run(self) -> ResolvedRun:
        """The run, for stages of runs."""
        assert self.of_run is not None
        return self.of_run

    @property
    def seed(self) -> int:
        """The training seed, for stages of runs."""
        assert self.of_seed is not None
        return self.of_seed


#: What needs every other stage says so.
ALL = ("*",)
#: Where the files of a run lie (`rediffuse.runs.facts.folder`; ablations lie apart).
RUN_FOLDER = "runs/{study}/{run}/seed{seed}"


def _no_settings(subject: Subject) -> dict[str, Any]:
    return {}


def _always(run: ResolvedRun) -> bool:
    return True


@dataclass(frozen=True)
class Stage:
    """One kind of job.

    name: of the stage, its module and its verb.
    summary: what its verb does, for the command line.
    doing, done: how a job is announced ("Training"), and the name of the target of all its jobs ("trained").
    scope: "study" has one job, "run" one a run and seed.
    needs: stages whose jobs come first: of the same run and seed, where they are of runs; `ALL` others.
    settings: what its result depends on, besides code and what it is made from.
    files: the files it makes, relative to its folder; for a run only those that this run has.
    keeps: what DVC keeps of these, the same for every run: files, and folders with a "/" at their end.
    folder: where they lie; like `files` and `keeps` with {study}, {data} and {features} to be filled in.
    receipt: its receipt, where that is not receipts/<name>.json in its folder.
    loose: files and folders it makes that its receipt leaves out, since they hold times: their digests lie with those.
    applies: whether a run has such a job.
    ablations: whether ablations have it, too.
    by_images: whether it works on one number of images at a time, where settings of a run differ in it
        (`rediffuse.runs.facts.by_images`); what it measures, it measures by setting.
    resumes: whether a job that was stopped goes on where it was.
    watched: whether MLflow looks on while it works.
    computes: whether it needs the GPU of a study that has one.
    minutes, memory_mb: what a cluster's scheduler is asked for where no earlier job of the kind tells better.
    first: jobs with a higher number start before others that could.
    alone: whether it has the study's GPU for itself where jobs go side by side, as what measures speed must.
    log: what writes a finished job to MLflow, as "module:function".
    divided: what does it where the study says `hardware.processes`, as "module:function": it is called with the job,
        its context, and a function of both that does the job in one process. Its code counts where the settings say the
        number, too, as it decides results then; where it does not, it makes the same bytes as one process.
    shown: (file, caption file in workflow/report, category) for `snakemake --report`.
    """

    name: str
    summary: str
    doing: str
    done: str
    scope: Literal["study", "run"]
    files: Callable[[Subject], Sequence[str]]
    keeps: tuple[str, ...]
    folder: str = RUN_FOLDER
    receipt: str = ""
    needs: tuple[str, ...] = ()
    settings: Callable[[Subject], dict[str, Any]] = _no_settings
    loose: tuple[str, ...] = ()
    applies: Callable[[ResolvedRun], bool] = _always
    ablations: bool = False
    by_images: bool = False
    resumes: bool = False
    watched: bool = False
    computes: bool = True
    minutes: int = 60
    memory_mb: int = 4000
    first: int = 0
    alone: bool = False
    log: str | None = None
    divided: str | None = None
    shown: tuple[str, str, str] | None = None

    @property
    def code(self) -> str:
        """Where its code begins, as "module:function"."""
        return f"rediffuse.stages.{self.name}:run"

    def has(self, run: ResolvedRun) -> bool:
        """Whether a run has a job of this stage."""
        return self.scope == "run" and self.applies(run) and (self.ablations or run.role != "ablation")


@functools.cache
def stages() -> dict[str, Stage]:
    """Every stage by name, those that others need first."""
    package = importlib.import_module("rediffuse.stages")
    found = {}
    for module in pkgutil.iter_modules(package.__path__):
        stage: Stage = importlib.import_module(f"rediffuse.stages.{module.name}").STAGE
        found[stage.name] = stage
    for name, stage in found.items():
        if stage.needs == ALL:
            found[name] = replace(stage, needs=tuple(sorted(found.keys() - {name})))
    order = TopologicalSorter({name: stage.needs for name, stage in sorted(found.items())}).static_order()
    return {name: found[name] for name in order}
