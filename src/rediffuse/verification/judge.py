"""Every number and file of a report against what was made anew: equal, within a tolerance, different, or absent.

On a machine like that of the report only rounding may differ: a millionth, or one in the last of at least four printed
digits. On another one, numbers of trainings may move as far as the study's replicate noise says
(`noise`); what was stated and not computed, keys of settings and code among it, must be the same there too.
"""

import io
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from enum import StrEnum
from math import inf, isclose
from pathlib import PurePosixPath
from typing import Any

from rediffuse.reporting.experiments.forms import FAILS, HOLDS, UNDECIDED
from rediffuse.reporting.values import counted, whole
from rediffuse.verification.noise import LOSS, Noise, standard_error
from rediffuse.verification.parts import COUNTED, Part, Printed, parts_of

#: Two floats are the same number up to this difference in proportion to the larger, or by this much near zero.
RELATIVE, ABSOLUTE = 1e-6, 1e-12
#: Levels of 255 by which a pixel may differ.
PIXELS = 2
#: Tables that say what was asked for, by which settings and code: the same on every machine, but for rows that a
#: network has computed, whose last bits make another digest.
STATED: dict[str, tuple[str, ...]] = {
    "settings": (),
    "configurations": (),
    "runs": (),
    "data": ("SHA-256 of the reference",),
    "pedigree": (),
}
METRICS, EVIDENCE = "metrics.json", "evidence/ablations.json"
PAGE, PEDIGREE = "report.md", "tables/pedigree.csv"
#: Files that hold times, what a verification wrote, and receipts, whose digests are those of the files themselves.
NOT_COMPARED = (
    "timings",
    "timing",
    "receipts",
    "timings.md",
    "report.html",
    "verified.json",
    "verify.json",
    "verify.html",
)


class State(StrEnum):
    """What became of a number or file, from best to worst."""

    EQUAL = "equal"
    WITHIN = "within"
    UNJUDGED = "unjudged"
    DIFFERENT = "different"
    ABSENT = "absent"


WORST = list(State)
#: What is said of a number that moved no further than noise does.
MOVED = "may move by"
IN_WORDS = {
    State.EQUAL: "equal bytes",
    State.WITHIN: "within tolerance",
    State.UNJUDGED: "not judged",
    State.DIFFERENT: "different",
    State.ABSENT: "absent",
}


@dataclass(frozen=True)
class Finding:
    """A number or text that is not the same, with both versions as text."""

    file: str
    place: str
    said: str
    made: str
    state: State
    why: str = ""


@dataclass
class FileResult:
    """What became of one file: its state is that of its worst part."""

    path: str
    state: State
    numbers: Counter[State] = field(default_factory=Counter)
    findings: list[Finding] = field(default_factory=list)

    def add(self, finding: Finding) -> None:
        """A part that is not the same. Those of which there is nothing to tell are counted only."""
        self.state = max(self.state, finding.state, key=WORST.index)
        if finding.state in (State.DIFFERENT, State.ABSENT) or finding.why.startswith(MOVED):
            self.findings.append(finding)


@dataclass(frozen=True)
class Judge:
    """How parts are judged.

    elsewhere: whether the rebuild was on another kind of machine; noise: what numbers may then move by, None where the
    study measures none; threads: whether its number of threads was changed on purpose, which keys and settings tell;
    kept: whether the evidence of ablations was taken as it is; exact: whether all unrounded numbers have the same
    bytes: then nothing was rounded otherwise, and what is printed or drawn must be the same, too.
    """

    elsewhere: bool
    noise: Noise | None = None
    threads: bool = False
    kept: bool = False
    exact: bool = False

    def file(self, path: str, said: bytes | None, made: bytes | None) -> FileResult:
        """One file of the report; None where it is not there."""
        if said is None or made is None:
            state = State.ABSENT if made is None else State.DIFFERENT
            why = "the rebuild does not make it" if made is None else "the report lacks it"
            gone = Finding(path, "", "", "", state, why)
            return FileResult(path, state, _count(path, said or b"", state), [gone])
        if path == EVIDENCE and self.kept and (count := _count(path, said, State.UNJUDGED)):
            return FileResult(path, State.UNJUDGED, count)
        if said == made:
            return FileResult(path, State.EQUAL, _count(path, said, State.EQUAL))
        if path.endswith(".png"):
            return self._picture(path, said, made)
        result = FileResult(path, State.WITHIN)
        table = _intervals(path, made) if self.elsewhere else {}
        try:
            for part in parts_of(path, said, made):
                self._part(result, part, table)
                if not _counted(path) and WORST.index(result.state) > WORST.index(State.WITHIN):
                    break  # drawn from numbers that are judged one by one
        except (ValueError, RecursionError):
            result.add(Finding(path, "", "", "", State.DIFFERENT, "is damaged"))
        return result

    def _part(self, result: FileResult, part: Part, table: dict[tuple[str, ...], float]) -> None:
        state, why = State.EQUAL, ""
        if not _same(part.said, part.made):
            state, why = self.difference(result.path, part, table)
            result.add(Finding(result.path, part.place, _text(part.said), _text(part.made), state, why))
        if _counted(result.path) and any(_value(one) is not None for one in (part.said, part.made)):
            result.numbers[state] += 1

    def difference(self, path: str, part: Part, table: dict[tuple[str, ...], float]) -> tuple[State, str]:
        """What a part is that is not the same in both versions, and why."""
        if (rounding := self._rounding(part.said, part.made)) is not None:
            return State.WITHIN, rounding
        gone = State.ABSENT if part.made is None else State.DIFFERENT
        return self._elsewhere(path, part, table, gone) if self.elsewhere else (gone, "")

    def _rounding(self, said: Any, made: Any) -> str | None:
        """Why two numbers are the same but for rounding, None where they are not."""
        old, new = _value(said), _value(made)
        if old is None or new is None or (isinstance(said, int) and isinstance(made, int)):
            return None
        if isinstance(said, Printed) and isinstance(made, Printed):
            if self.exact:
                return None
            if said.rounded and isclose(said.step, made.step) and abs(old - new) < 1.5 * said.step:
                return "last digit"
        return "rounding" if isclose(old, new, rel_tol=RELATIVE, abs_tol=ABSOLUTE) else None

    def _elsewhere(self, path: str, part: Part, table: dict[tuple[str, ...], float], gone: State) -> tuple[State, str]:
        computed = STATED.get(PurePosixPath(path).stem)
        stated = computed is not None and not any(row in f"{part.place} {part.said}" for row in computed)
        if stated or (path == EVIDENCE and "keys" in part.key):
            return (State.UNJUDGED, "threads differ") if self.threads else (gone, "the same on every machine")
        if path == "claims.json" and part.key[-1:] == ("verdict",) and part.made is not None:
            undecided = UNDECIDED in (part.said, part.made) and {HOLDS, FAILS} & {str(part.said), str(part.made)}
            return (State.WITHIN, "undecided in one of the two") if undecided else (gone, "")
        if path == METRICS and (part.said is None or part.made is None):
            return gone, ""
        reach = self._reach(path, part, table)
        if reach is None:
            return State.UNJUDGED, "no measure of its noise"
        said, made = (_value(one) for one in (part.said, part.made))
        inside = said is not None and made is not None and abs(said - made) <= reach < inf
        return (State.WITHIN if inside else State.DIFFERENT), f"{MOVED} {reach:.3g}"

    def _reach(self, path: str, part: Part, table: dict[tuple[str, ...], float]) -> float | None:
        """How far a number may move on another processor; None where that is not known."""
        both, key = [abs(v) for v in (_value(part.said), _value(part.made)) if v is not None], part.key
        if self.noise is None or not both:
            return None
        size = min(both) or max(both)  # one that was edited must not widen its own interval
        if path == METRICS and len(key) == 3:
            return self.noise.reach(*key, size)
        if path == EVIDENCE and key[-1:] == (LOSS,):
            return self.noise.reach("", "", LOSS, size)
        if (error := table.get(key)) is not None:
            metric = key[-2] if path == EVIDENCE else ""
            return self.noise.of(metric, size, error)
        return None

    def _picture(self, path: str, said: bytes, made: bytes) -> FileResult:
        """A figure: the same up to the last levels of its pixels; elsewhere it is not judged by itself."""
        import numpy as np
        from PIL import Image

        try:
            old, new = (np.asarray(Image.open(io.BytesIO(one)).convert("RGBA"), dtype=np.int16) for one in (said, made))
        except Exception:  # the decoder has many words for what is damaged
            return FileResult(
                path, State.DIFFERENT, findings=[Finding(path, "", "", "", State.DIFFERENT, "is damaged")]
            )
        if old.shape == new.shape and np.abs(old - new).max() <= (0 if self.exact else PIXELS):
            return FileResult(path, State.WITHIN)
        state = State.UNJUDGED if self.elsewhere else State.DIFFERENT
        changed = "" if old.shape != new.shape else counted(int((old != new).any(2).sum()), "pixel")
        moved = f"{changed} of {whole(old[..., 0].size)}" if changed else "another size"
        return FileResult(path, state, findings=[Finding(path, "", "", moved, state)])


def compared(path: str) -> bool:
    """Whether a file of a report's folder is compared."""
    return path.partition("/")[0] not in NOT_COMPARED


def _counted(path: str) -> bool:
    return PurePosixPath(path).suffix in COUNTED or path == PAGE


def _same(said: Any, made: Any) -> bool:
    return type(said) is type(made) and said == made


def _value(one: Any) -> float | None:
    if isinstance(one, Printed):
        return one.value
    return float(one) if isinstance(one, int | float) and not isinstance(one, bool) else None


def _text(one: Any) -> str:
    return "" if one is None else one.text if isinstance(one, Printed) else str(one)[:200]


def _count(path: str, content: bytes, state: State) -> Counter[State]:
    """All numbers of a file in one state."""
    try:
        there = [part for part in parts_of(path, content, content) if _counted(path) and _value(part.said) is not None]
    except (ValueError, RecursionError):
        return Counter()
    return Counter({state: len(there)}) if there else Counter()


def _intervals(path: str, made: bytes) -> dict[tuple[str, ...], float]:
    """Standard errors of the numbers of a file that states intervals, by the key of the part: of a table those with
    columns "low" and "high", of the evidence those of estimates.
    """
    try:
        parts = {part.key: part.made for part in parts_of(path, made, made)}
    except ValueError:
        return {}
    found: dict[tuple[str, ...], float] = {}
    if path == EVIDENCE:
        groups = defaultdict(list)
        for key, value in parts.items():
            if key[-2:-1] == ("groups",):
                groups[key[:-2]].append(value)
        for key in parts:
            if key[-1] == "value" and (error := standard_error({"groups": groups[key[:-1]]})) is not None:
                found[key] = error
    elif path.endswith(".csv"):
        for row, column in parts:
            name = column.removesuffix(")").rpartition(" (")[0] if column.endswith(")") else column
            low, high = (_value(parts.get((row, f"{name} {end}"))) for end in ("low", "high"))
            if low is not None and high is not None:
                found[row, column] = (high - low) / 4  # about two standard errors each way
    return found
