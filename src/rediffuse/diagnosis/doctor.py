"""A whole diagnosis: every check in the order of causes."""

import math
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

from rediffuse.diagnosis.case import FINDING, Case, Outcome, not_checked
from rediffuse.diagnosis.checks import CHECKS, Check
from rediffuse.diagnosis.subject import Subject


@dataclass(frozen=True, eq=False)
class Diagnosis:
    """What was found of a subject, check by check in the order of causes."""

    case: Case
    outcomes: dict[str, Outcome]

    @property
    def findings(self) -> list[Check]:
        """The checks that found something, the cause before what it explains; the first names the root."""
        found = [(outcome.consequence, name) for name, outcome in self.outcomes.items() if outcome.verdict == FINDING]
        return [CHECKS[name] for _, name in sorted(found, key=lambda pair: pair[0])]

    def record(self) -> dict[str, Any]:
        """As JSON has it: the same for the same weights and images, whatever machine and time."""
        case = self.case
        return {
            "subject": case.subject.name,
            "notes": list(case.subject.notes),
            "images": len(case.training.images),
            "held_out": 0 if case.held_out is None else len(case.held_out.images),
            "steps": case.steps,
            "root": self.findings[0].name if self.findings else None,
            "findings": [check.name for check in self.findings],
            "checks": {
                name: {**_plain(asdict(outcome)), "limit": CHECKS[name].limit, "reason": CHECKS[name].reason}
                | ({"do": CHECKS[name].remedy} if outcome.verdict == FINDING else {})
                for name, outcome in self.outcomes.items()
            },
        }


def _plain(value: Any) -> Any:
    """A value without NaN and infinity, which JSON does not know."""
    if isinstance(value, dict):
        return {key: _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def examined(case: Case, on_progress: Callable[[int, int, str], object] | None = None) -> Iterator[tuple[str, Outcome]]:
    """The outcome of each check by name, in the order of causes; `on_progress` is called with checks done, checks in
    all and the next one's title.
    """
    lost = None
    for place, check in enumerate(CHECKS.values()):
        if on_progress is not None:
            on_progress(place, len(CHECKS), check.title)
        if lost:
            yield check.name, not_checked(lost)
            continue
        outcome = check.code(case)
        if check.name == "numbers" and outcome.verdict == FINDING:
            lost = "there is no output to look at"
        yield check.name, outcome


def diagnose(
    subject: Subject,
    *,
    images: int = 64,
    steps: int = 20,
    on_progress: Callable[[int, int, str], object] | None = None,
) -> Diagnosis:
    """Check everything that can be checked, with so many real images noised, and as many drawn by DDIM in `steps`."""
    case = Case(subject, images, steps)
    return Diagnosis(case, dict(examined(case, on_progress)))
