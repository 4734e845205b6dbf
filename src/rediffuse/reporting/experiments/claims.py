"""The statements of the papers, put to the test (`forms` says how)."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rediffuse.config import LoadedStudy
from rediffuse.config.experiment import Claim
from rediffuse.evaluation.metrics import metric_short
from rediffuse.reporting.experiments.cells import Cell, Cells, is_numberless, made_of, written
from rediffuse.reporting.experiments.forms import FAILS, FORMS, HOLDS, UNDECIDED, Finding, loss
from rediffuse.reporting.read.trained import Losses
from rediffuse.reporting.terms import capital, cell_label, run_label
from rediffuse.reporting.values import NOT_RUN, counted, listed, number

#: Why `gradient_noise` may have no number.
SIGNALLESS = "the mean gradient, by which it is divided, cannot be told from 0 beside its noise"
#: Forms that hold one cell against another.
AGAINST = ("pair", "as_good")
VERDICTS = (HOLDS, FAILS, UNDECIDED, NOT_RUN)


@dataclass(frozen=True)
class Verdict:
    """A claim and what follows from what was run.

    where: its place in the study. cells: those that it names, in its order, None where one was not run. evidence: what
    was found, in a line. reason: why the verdict, decided_by: what would decide an undecided one. files: what it rests
    on.
    """

    where: str
    claim: Claim
    cells: dict[str, Cell | None]
    verdict: str
    evidence: str
    reason: str
    decided_by: str
    files: tuple[str, ...]

    @property
    def experiment(self) -> str | None:
        """The experiment that makes the claim, None for the study itself."""
        kind, name, *_ = self.where.split(".")
        return name if kind == "experiments" else None

    @property
    def why(self) -> str:
        """The reason, and what would decide it."""
        return self.reason + (f"; {self.decided_by}" if self.decided_by else "")

    def told(self, features: str) -> str:
        """Verdict, claim, the values and what follows from them, where its experiment says how they were made."""
        known = [cell for cell in self.cells.values() if cell is not None]
        values, why = "", capital(self.why)
        if len(known) == len(self.cells) > 1:
            shown = (
                " against ".join(map(written, known))
                if self.claim.form in AGAINST
                else listed([number(cell.value) for cell in known])
            )
            values, why = f"{metric_short(self.claim.metric, features)} {shown}; ", self.why
        return f"{capital(self.verdict)}: {self.claim.claim.rstrip('.')}. {values}{why}."

    @property
    def sentence(self) -> str:
        """All of it in a line."""
        return f"{self.verdict}: {self.evidence}{'; ' if self.evidence else ''}{self.why}"


def judge(loaded: LoadedStudy, cells: Cells, losses: Mapping[tuple[str, int], Losses] | None = None) -> list[Verdict]:
    """A verdict on every claim of the study and of its experiments, in that order;
    losses: of trainings, by run and seed.
    """
    return [
        _judge_loss(loaded, where, claim, losses or {})
        if claim.form == "loss"
        else _judge_cells(loaded, where, claim, cells)
        for where, claim in loaded.claims().items()
    ]


def _judge_cells(loaded: LoadedStudy, where: str, claim: Claim, cells: Cells) -> Verdict:
    named = {name: cells.get((*_split(name), claim.metric)) for name in claim.named()}
    there = {name: cell for name, cell in named.items() if cell is not None}
    short = metric_short(claim.metric, loaded.study.evaluation.features)
    if absent := [name for name in named if name not in there]:
        labels = listed([cell_label(loaded, *_split(name)) for name in absent])
        found = (
            Finding(UNDECIDED, f"{short} of {labels} was measured, and has no upper end: {SIGNALLESS}")
            if all(is_numberless(cells, *_split(name), claim.metric) for name in absent)
            else Finding(NOT_RUN, f"no value for {labels}")
        )
    else:
        found = FORMS[claim.form](claim, list(there.values()))
        for name in sorted(there, key=len, reverse=True):  # as a claim names cells, no reader does
            found = found._replace(reason=found.reason.replace(name, cell_label(loaded, *_split(name))))
    points = [cell_label(loaded, *_split(name)) for name, cell in there.items() if cell.low is None]
    if found.verdict in (HOLDS, FAILS) and points and len(points) < len(there):
        found = found._replace(reason=f"{found.reason} ({listed(points)}: no interval, taken as a point)")
    values = [f"{written(cell)} ({cell_label(loaded, *_split(name))}{made_of(cell)})" for name, cell in there.items()]
    evidence = f"{short} {(' against ' if claim.form in AGAINST else ', ').join(values)}" if values else ""
    files = tuple(dict.fromkeys(file for cell in there.values() for file in cell.files))
    return Verdict(where, claim, named, found.verdict, evidence, found.reason, found.decided_by, files)


def _judge_loss(loaded: LoadedStudy, where: str, claim: Claim, losses: Mapping[tuple[str, int], Losses]) -> Verdict:
    assert claim.run is not None
    curves = {seed: losses.get((claim.run, seed)) for seed in loaded.run(claim.run).seeds}
    there = {seed: curve for seed, curve in curves.items() if curve is not None and curve.rows}
    files = tuple(curve.file for curve in there.values())
    if absent := [f"{claim.run}/seed{seed}" for seed in curves if seed not in there]:
        return Verdict(where, claim, {}, NOT_RUN, "", f"no losses of {listed(absent)}", "", files)
    least = min(value for curve in there.values() for _, value in curve.rows)
    evidence = f"logged loss of {run_label(loaded, claim.run)}, least {least:.4g} ({counted(len(there), 'seed')})"
    found = loss(claim, there)
    return Verdict(where, claim, {}, found.verdict, evidence, found.reason, found.decided_by, files)


def _split(name: str) -> tuple[str, str]:
    run, setting = name.split("/", 1)
    return run, setting


def tally(verdicts: list[Verdict]) -> str:
    """One sentence that counts the verdicts."""
    if not verdicts:
        return "The study makes no claims."
    counts = Counter(verdict.verdict for verdict in verdicts)
    words = {HOLDS: ("holds", "hold"), FAILS: ("does not hold", "do not hold")}
    words |= {UNDECIDED: ("is undecided", "are undecided"), NOT_RUN: ("was not run", "were not run")}
    parts = [f"{counts[kind]} {words[kind][counts[kind] != 1]}" for kind in VERDICTS if counts[kind]]
    return f"Of {counted(len(verdicts), 'claim')}, {listed(parts)}."


def claims_json(verdicts: list[Verdict]) -> list[dict[str, Any]]:
    """The content of claims.json."""
    told = ("where", "verdict", "evidence", "reason", "decided_by", "sentence")
    return [
        item.claim.model_dump(mode="json", exclude_none=True)
        | {name: getattr(item, name) for name in told}
        | {"form": item.claim.form, "files": list(item.files)}
        | {"values": [_cell_json(name, cell) for name, cell in item.cells.items()]}
        for item in verdicts
    ]


def _cell_json(name: str, cell: Cell | None) -> dict[str, Any]:
    if cell is None:
        return {"cell": name, "value": None}
    told = ("value", "low", "high", "n", "seeds", "interval", "files")
    return {"cell": name} | {field: getattr(cell, field) for field in told}
