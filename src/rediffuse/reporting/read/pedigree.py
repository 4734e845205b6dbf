"""Where every number comes from: file, job, command, key, code."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rediffuse.errors import UserError
from rediffuse.pipeline.digests import Digests
from rediffuse.pipeline.plan import Plan
from rediffuse.reporting.read.files import read_json
from rediffuse.reporting.values import NOT_RECORDED, Links

AS_MADE, ALTERED = "as made", "altered since"


@dataclass(frozen=True)
class Source:
    """One file that the report uses and the job that made it; what no receipt tells is `NOT_RECORDED`."""

    id: str
    path: str
    job: str
    command: str
    key: str
    code: str
    state: str


@dataclass(frozen=True, eq=False)
class Pedigree:
    """The files of a study that exist, by path."""

    sources: dict[str, Source]

    def links(self, paths: Iterable[str]) -> Links:
        """References to files, each once, in order; files that do not exist have none."""
        return Links(tuple(dict.fromkeys(self.sources[str(path)].id for path in paths if str(path) in self.sources)))

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
    """Match each output of the study's main jobs with its receipt, in the order of the plan."""
    sources: dict[str, Source] = {}
    digests = Digests(root)
    for job in plan.measured():
        receipt = read_receipt(root / job.receipt) or {}
        told = {name: receipt.get(name, NOT_RECORDED) for name in ("job", "command", "key", "code")}
        for path in map(str, job.outputs):
            if (root / path).is_file():
                recorded = receipt.get("outputs", {}).get(path)
                state = NOT_RECORDED if recorded is None else AS_MADE if digests.of(Path(path)) == recorded else ALTERED
                sources[path] = Source(id=f"P{len(sources) + 1}", path=path, state=state, **told)
    digests.save()
    return Pedigree(sources)


def read_receipt(path: Path) -> dict[str, Any] | None:
    """Content of a receipt, None when there is none."""
    try:
        receipt = read_json(path)
    except UserError:
        receipt = ()
    if receipt is not None and not isinstance(receipt, dict):
        raise UserError(f"{path}: is not a receipt; run `dvc repro` to make it again")
    return receipt
