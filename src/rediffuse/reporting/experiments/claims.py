"""The statements of the papers, put to the test."""

from collections import Counter
from dataclasses import dataclass
from typing import Any

from rediffuse.config import LoadedStudy
from rediffuse.config.study import Claim
from rediffuse.evaluation.metrics import metric_short
from rediffuse.reporting.experiments.cells import Cell, Cells, compare
from rediffuse.reporting.terms import cell_label
from rediffuse.reporting.values import NOT_RUN, counted, decimals, listed

HOLDS, FAILS, UNDECIDED = "holds", "does not hold", "undecided"
VERDICTS = (HOLDS, FAILS, UNDECIDED, NOT_RUN)


@dataclass(frozen=True)
class Verdict:
    """A claim, its two cells as far as they were run, what follows, why, and all of it as a sentence."""

    claim: Claim
    better: Cell | None
    worse: Cell | None
    verdict: str
    reason: str
    sentence: str


def judge(loaded: LoadedStudy, cells: Cells) -> list[Verdict]:
    """A verdict on every claim of the study, in its order."""
    return [_judge(loaded, claim, cells) for claim in loaded.study.claims]


def _judge(loaded: LoadedStudy, claim: Claim, cells: Cells) -> Verdict:
    names = [tuple(name.split("/", 1)) for name in (claim.better, claim.worse)]
    better, worse = (cells.get((run, setting, claim.metric)) for run, setting in names)
    if better is None or worse is None:
        absent = [name for name, cell in ((claim.better, better), (claim.worse, worse)) if cell is None]
        reason = f"no value for {listed(absent)}"
        return Verdict(claim, better, worse, NOT_RUN, reason, f"{NOT_RUN}: {reason}")
    comparison = compare(better, worse)
    verdict = {"better": HOLDS, "worse": FAILS}.get(comparison.outcome, UNDECIDED)
    left, right = (cell_label(loaded, run, setting) for run, setting in names)
    short = metric_short(claim.metric, loaded.study.evaluation.features)
    places = max(decimals(cell.value) for cell in (better, worse))
    values = f"{short} {better.value:.{places}f} ({left}) against {worse.value:.{places}f} ({right})"
    if verdict == HOLDS:
        reason = comparison.reason
    elif verdict == FAILS:
        reason = f"{comparison.reason}, the other way round"
    else:
        leaning = {"better": "lean towards the claim", "worse": "lean against the claim", "equal": "are equal"}
        reason = f"{comparison.reason}, the values {leaning[comparison.leaning]}"
    points = [label for label, cell in ((left, better), (right, worse)) if cell.low is None]
    if points and verdict != UNDECIDED:
        reason += f" ({listed(points)}: no interval, taken as a point)"
    return Verdict(claim, better, worse, verdict, reason, f"{verdict}: {values}; {reason}")


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
    return [
        {field: getattr(item.claim, field) for field in ("claim", "source", "metric")}
        | {side: _cell_json(getattr(item.claim, side), getattr(item, side)) for side in ("better", "worse")}
        | {field: getattr(item, field) for field in ("verdict", "reason", "sentence")}
        for item in verdicts
    ]


def _cell_json(name: str, cell: Cell | None) -> dict[str, Any]:
    if cell is None:
        return {"cell": name, "value": None}
    told = ("value", "low", "high", "n", "seeds", "interval", "files")
    return {"cell": name} | {field: getattr(cell, field) for field in told}
