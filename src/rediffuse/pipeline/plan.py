"""Every job of a study, made from the declarations of its stages.

A job's key is the digest of its settings, its code and the keys of the jobs it needs. Keys therefore follow from
`params.yaml`, the source, and the files outside the project that a study names: no result has to be read and nothing
run to know what is out of date.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rediffuse.config import LoadedStudy, ResolvedRun
from rediffuse.files import digest
from rediffuse.pipeline.code import code_digest, strings
from rediffuse.pipeline.outside import outside_digests
from rediffuse.pipeline.stage import Stage, Subject, stages
from rediffuse.runs import facts


@dataclass(frozen=True)
class Job:
    """One unit of work, executed by one command; paths are relative to the project's root.

    said: every string of its settings and of those of the jobs it needs; it chooses what counts of registries.
    """

    stage: str
    name: str
    command: str
    folder: Path
    receipt: Path
    outputs: tuple[Path, ...]
    loose: tuple[Path, ...]
    settings: dict[str, Any]
    needs: tuple["Job", ...]
    of_run: ResolvedRun | None = None
    of_seed: int | None = None
    said: frozenset[str] = field(init=False)
    code: str = field(init=False)
    key: str = field(init=False)

    def __post_init__(self) -> None:
        said = frozenset(strings(self.settings).union(*(need.said for need in self.needs)))
        code = code_digest(self.declaration.code, said)
        if "processes" in self.settings.get("hardware", {}):
            code = digest([code, code_digest(str(self.declaration.divided), said)])
        parts = {"settings": self.settings, "code": code, "needs": {job.name: job.key for job in self.needs}}
        for name, value in (("said", said), ("code", code), ("key", digest(parts))):
            object.__setattr__(self, name, value)

    @property
    def declaration(self) -> Stage:
        """Its stage."""
        return stages()[self.stage]

    @property
    def run(self) -> ResolvedRun:
        """Its run. Only jobs of runs have one."""
        assert self.of_run is not None
        return self.of_run

    @property
    def seed(self) -> int:
        """Its training seed. Only jobs of runs have one."""
        assert self.of_seed is not None
        return self.of_seed

    @property
    def processes(self) -> int:
        """How many processes share its work."""
        return 1 if self.of_run is None or self.declaration.divided is None else self.of_run.hardware.processes

    @property
    def ablation(self) -> bool:
        """Whether it belongs to an ablation."""
        return self.of_run is not None and self.of_run.role == "ablation"

    @property
    def timing(self) -> Path:
        """What was measured when it was made, by whom and when: beside the receipt, and no part of it."""
        return self.receipt.parent.parent / "timing" / self.receipt.name

    @property
    def file(self) -> str:
        """Its name as that of a file."""
        return self.name.replace("/", "-")

    def statement(self) -> dict[str, Any]:
        """What its receipt says of it, beside the digests of files."""
        return {
            "job": self.name,
            "key": self.key,
            "command": self.command,
            "code": self.code,
            "settings": self.settings,
            "needs": {need.name: need.key for need in self.needs},
        }

    @property
    def inputs(self) -> list[Path]:
        """The files that it is made from."""
        return [path for need in self.needs for path in need.outputs]

    def places(self) -> dict[str, Any]:
        """What a plan file says: the only thing beside its needs' receipts that DVC watches."""
        return {
            "says": self.statement(),
            "receipt": str(self.receipt),
            "inputs": [str(path) for path in self.inputs],
            "outputs": [str(path) for path in self.outputs],
        }


@dataclass(frozen=True)
class Plan:
    """All jobs of a study by name, those that others need first."""

    study: str
    jobs: dict[str, Job]

    def find(self, stage: str, run: str | None = None, seed: int | None = None) -> Job:
        """The job of a stage; for the stages of a run, of that run and seed."""
        return self.jobs[stage if run is None else f"{stage}/{run}/seed{seed}"]

    def has(self, stage: str, run: str, seed: int) -> bool:
        """Whether a run has this stage."""
        return f"{stage}/{run}/seed{seed}" in self.jobs

    def of_stage(self, stage: str, ablation: bool = False) -> list[Job]:
        """The jobs of a stage, of the main runs or of the ablations."""
        return [job for job in self.jobs.values() if job.stage == stage and job.ablation == ablation]

    def measured(self) -> list[Job]:
        """Every job that the report is made from."""
        return [job for job in self.jobs.values() if not job.ablation and job.stage != "report"]

    def upstream(self, jobs: Iterable[Job]) -> dict[str, Job]:
        """These jobs and all that they need, by name."""
        found: dict[str, Job] = {}
        waiting = list(jobs)
        while waiting:
            job = waiting.pop()
            if job.name not in found:
                found[job.name] = job
                waiting += job.needs
        return found

    def downstream(self, names: set[str]) -> set[str]:
        """Names of these jobs and of all that are made from them."""
        found = set(names)
        for name, job in self.jobs.items():
            if any(need.name in found for need in job.needs):
                found.add(name)
        return found


def places_of(loaded: LoadedStudy) -> dict[str, str]:
    """What the folders and files of a stage's declaration are filled in with."""
    study = loaded.study
    return {"study": study.study, "data": study.data.name, "features": study.evaluation.features}


def make_plan(loaded: LoadedStudy, root: Path = Path()) -> Plan:
    """The plan of a study; below `root` lie what it reads from outside, and the evidence of ablations.

    Raises:
        UserError: a file that the study names is absent or not the one that is meant.
    """
    outside = outside_digests(loaded, root)
    runs = [*loaded.runs.values(), *loaded.ablations.values()]
    jobs: dict[str, Job] = {}
    for stage in stages().values():
        if stage.scope == "run":
            subjects = [Subject(loaded, outside, run, seed) for run in runs if stage.has(run) for seed in run.seeds]
        else:
            subjects = [Subject(loaded, outside)]
        for subject in subjects:
            job = _job(stage, subject, jobs)
            jobs[job.name] = job
    return Plan(loaded.study.study, jobs)


def _job(stage: Stage, subject: Subject, jobs: dict[str, Job]) -> Job:
    run, seed, places = subject.of_run, subject.of_seed, places_of(subject.loaded)
    name, command = stage.name, f"rediffuse {stage.name}"
    if run is not None and seed is not None:
        name, command = f"{name}/{run.name}/seed{seed}", f"{command} {run.name} --seed {seed}"
        folder = facts.folder(run, seed)
    else:
        folder = Path(stage.folder.format(**places))
    needs = []
    for needed in stage.needs:
        if stage.scope != "run" and stages()[needed].scope == "run":
            needs += [job for job in jobs.values() if job.stage == needed and not job.ablation]
        elif run is None or stages()[needed].scope != "run":
            needs.append(jobs[needed])
        elif (own := jobs.get(f"{needed}/{run.name}/seed{seed}")) is not None:
            needs.append(own)
    return Job(
        stage=stage.name,
        name=name,
        command=command,
        folder=folder,
        receipt=Path(stage.receipt.format(**places)) if stage.receipt else folder / "receipts" / f"{stage.name}.json",
        outputs=tuple(folder / file.format(**places) for file in stage.files(subject)),
        loose=tuple(folder / file for file in stage.loose),
        settings=stage.settings(subject),
        needs=tuple(needs),
        of_run=run,
        of_seed=seed,
    )
