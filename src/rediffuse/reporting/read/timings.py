"""The times that machines took, each with the commit, the date and the machine that took it.

Nothing here reaches the deterministic part of a report: it is read from `timing/`, which no digest covers.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from rediffuse.config import LoadedStudy, ResolvedRun
from rediffuse.pipeline import receipts
from rediffuse.pipeline.evidence import times_file
from rediffuse.pipeline.plan import Job, Plan
from rediffuse.reporting.read.files import read_json
from rediffuse.reporting.read.pedigree import read_receipt
from rediffuse.reporting.values import NOT_RECORDED, Links

WHO = ("run", "seed", "machine", "file")
TOOK = ("seconds", "steps", "batch_size", "ms_per_step", "images_per_second", "parameters_trained", "resumed_from")
TRAINING = (*WHO, *TOOK)
SAMPLING = (*WHO, "setting", "seconds", "ms_per_step", "ms_per_image", "images", "batch_size", "nfe")


@dataclass(frozen=True)
class Taken:
    """A file of times: the job that it is of, and who took them when."""

    id: str
    path: str
    job: str
    run: str | None
    seed: int | None
    stage: str
    command: str
    key: str
    commit: str
    date: str
    machine: dict[str, Any]
    environment: dict[str, Any]
    seconds: float | None

    def value(self, name: str) -> Any:
        """A fact of the machine or of the environment, None where neither tells it."""
        return self.machine.get(name, self.environment.get(name))


@dataclass(frozen=True, eq=False)
class Timings:
    """The times of a study's main jobs.

    training: a row for each run and seed; sampling: one for each setting, too; cost: what timing/cost.json says of the
    networks; ablations: times of finished ablations, wherever they ran; taken: the files by path.
    """

    training: pd.DataFrame
    sampling: pd.DataFrame
    cost: dict[str, Any] | None
    ablations: list[dict[str, Any]]
    ablations_file: str
    taken: dict[str, Taken]

    def links(self, paths: Iterable[str]) -> Links:
        """References to files of times, each once, in order."""
        return Links(tuple(dict.fromkeys(self.taken[str(path)].id for path in paths if str(path) in self.taken)))

    def watching(self, run: str, seed: int) -> float | None:
        """Seconds that drawing and scoring samples along a training took; None if unknown."""
        found = (t for t in self.taken.values() if (t.run, t.seed, t.stage) == (run, seed, "follow"))
        return next((one.seconds for one in found), None)


def read_timings(loaded: LoadedStudy, plan: Plan, root: Path) -> Timings:
    """The times that belong to the results on disk; a job without any has no row. UserError names a damaged file."""
    taken: dict[str, Taken] = {}
    training: list[dict[str, Any]] = []
    sampling: list[dict[str, Any]] = []
    cost = None
    for job in plan.measured():
        record = read_timing(job, root)
        if record is None:
            continue
        one = _taken(f"T{len(taken) + 1}", job, record)
        taken[one.path] = one
        who = {"run": one.run, "seed": one.seed, "machine": one.machine, "file": one.path}
        if job.stage == "cost":
            cost = {**record, "file": one.path}
        elif job.stage == "train":
            resumed = record.get("resumed_from")
            row = {**dict.fromkeys(TRAINING), **record, **who}
            training.append({**row, "resumed_from": "no" if resumed is None else str(resumed)})
        elif job.stage == "sample":
            for setting, measured in (record.get("settings") or {}).items():
                sampling.append({**dict.fromkeys(SAMPLING), **measured, **who, "setting": setting})
    kept = times_file(loaded.study.study)
    return Timings(
        training=pd.DataFrame(training, columns=list(TRAINING)),
        sampling=pd.DataFrame(sampling, columns=list(SAMPLING)),
        cost=cost,
        ablations=read_json(root / kept) or [],
        ablations_file=str(kept),
        taken=taken,
    )


def read_timing(job: Job, root: Path) -> dict[str, Any] | None:
    """Times of a job, None when there are none or they are not of the results on disk."""
    record, receipt = receipts.read_timing(job, root), read_receipt(root / job.receipt)
    belongs = record and (receipt is None or record.get("key") == receipt.get("key"))
    return record if belongs else None


def computed_on(machine: dict[str, Any]) -> str | None:
    """The name of the GPU that networks ran on, else of the processor; None where neither is recorded."""
    device = machine.get("device")
    return machine.get("cpu") if device in (None, "cpu") else str(device)


def _taken(identifier: str, job: Job, record: dict[str, Any]) -> Taken:
    return Taken(
        id=identifier,
        path=str(job.timing),
        job=job.name,
        run=None if job.of_run is None else job.of_run.name,
        seed=job.of_seed,
        stage=job.stage,
        command=job.command,
        key=record.get("key") or NOT_RECORDED,
        commit=record.get("commit") or NOT_RECORDED,
        date=record.get("date") or NOT_RECORDED,
        machine=record.get("machine") or {},
        environment=record.get("environment") or {},
        seconds=record.get("seconds"),
    )


def by_setting(clock: Timings, run: ResolvedRun, seed: int) -> dict[str, dict[str, Any]]:
    """The times of sampling of a run and seed by setting."""
    rows = clock.sampling[(clock.sampling["run"] == run.name) & (clock.sampling["seed"] == seed)]
    return {str(row["setting"]): {str(name): value for name, value in row.items()} for row in rows.to_dict("records")}
