"""Where every number comes from: file, job, command, key, code; and of times, on whose machine and when."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rediffuse.pipeline.digests import Digests
from rediffuse.pipeline.plan import Job, Plan
from rediffuse.pipeline.receipts import read_receipt
from rediffuse.reporting.read.records import read_json
from rediffuse.reporting.render.terms import NOT_RECORDED

AS_MADE, ALTERED = "as made", "altered since"
SHORT = 12


@dataclass(frozen=True)
class Source:
    """One file that the report uses and the job that made it; what nothing tells is `NOT_RECORDED`.

    measured: of files of times, what their job's provenance says: commit, date, machine.
    """

    id: str
    path: str
    job: str
    command: str
    key: str
    code: str
    state: str
    measured: dict[str, Any] | None = None


@dataclass(frozen=True, eq=False)
class Pedigree:
    """The files of a study that exist, by path."""

    sources: dict[str, Source]

    def ids(self, paths: Iterable[str]) -> tuple[str, ...]:
        """Identifiers of files, each once, in order; files that do not exist have none."""
        return tuple(dict.fromkeys(self.sources[str(path)].id for path in paths if str(path) in self.sources))

    def with_ablations(self, entries: list[dict[str, Any]], path: str) -> "Pedigree":
        """This pedigree with a row for each ablation and seed of the evidence kept in `path`."""
        sources = dict(self.sources)
        for count, entry in enumerate(entries, start=1):
            place = ablation_place(path, entry)
            sources[place] = Source(
                id=f"A{count}",
                path=place,
                job=f"train/{entry['ablation']}/seed{entry['seed']}",
                command=entry.get("command") or NOT_RECORDED,
                key=(entry.get("keys") or {}).get("train") or NOT_RECORDED,
                code=NOT_RECORDED,
                state="kept as evidence",
            )
        return Pedigree(sources)


def ablation_place(path: str, entry: dict[str, Any]) -> str:
    """How an entry of the ablations' evidence is referred to."""
    return f"{path}#{entry['ablation']}/seed{entry['seed']}"


def read_pedigree(plan: Plan, root: Path) -> Pedigree:
    """Match every file of the main jobs that exists with the job that made it."""
    sources: dict[str, Source] = {}
    digests = Digests(root)
    made = times = 0
    for job in plan.jobs.values():
        if job.ablation or job.stage == "report":
            continue
        receipt = read_receipt(root / job.receipt)
        for path in job.outputs:
            if (root / path).is_file():
                made += 1
                recorded = (receipt or {}).get("outputs", {}).get(str(path))
                state = AS_MADE if digests.of(path) == recorded else ALTERED
                sources[str(path)] = _source(f"P{made}", path, job, receipt, state if recorded else NOT_RECORDED)
        if (measured := read_json(root / job.timing)) is not None:
            # Files of times count for themselves: whether they are there must not renumber the others.
            times += 1
            sources[str(job.timing)] = _source(f"T{times}", job.timing, job, receipt, NOT_RECORDED, measured)
    digests.save()
    return Pedigree(sources)


def _source(
    name: str,
    path: Path,
    job: Job,
    receipt: dict[str, Any] | None,
    state: str,
    measured: dict[str, Any] | None = None,
) -> Source:
    made = receipt or {}
    return Source(
        id=name,
        path=str(path),
        job=job.name,
        command=job.command,
        key=made.get("key", NOT_RECORDED),
        code=made.get("code", NOT_RECORDED),
        state=state,
        measured=measured,
    )
