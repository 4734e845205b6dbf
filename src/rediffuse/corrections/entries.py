"""The list of mistakes, read from `corrections.yaml` beside this file."""

import functools
from pathlib import Path
from typing import Annotated, Literal

import yaml
from pydantic import Field, model_validator

from rediffuse.options import Options, Words

FILE = Path(__file__).with_name("corrections.yaml")
#: The documents, as the report introduces them.
DOCUMENTS = {
    "D0": "a graduation-training report",
    "D1": "a draft of a thesis",
    "D2": "a course project",
    "D3": "a short lab report",
    "D4": "a chapter of a textbook",
}


class Evidence(Options):
    """One thing that shows what is right.

    number: of `NUMBERS`, told by the template `shows`. damage: a wrong sampler of `WRONG`, run by the study. test: of
    the project, as pytest names it. claim: one that the study judges, by its words. experiment: one of the study.
    measure: a metric of the baseline.
    """

    number: str | None = None
    shows: Words | None = None
    damage: str | None = None
    test: Annotated[str, Field(pattern=r"^tests/[\w/]+\.py::test_\w+$")] | None = None
    claim: Words | None = None
    experiment: str | None = None
    measure: str | None = None

    @model_validator(mode="after")
    def _one(self) -> "Evidence":
        kinds = [self.number, self.damage, self.test, self.claim, self.experiment, self.measure]
        if sum(kind is not None for kind in kinds) != 1 or (self.number is None) != (self.shows is None):
            raise ValueError("evidence is one of number (with shows), damage, test, claim, experiment or measure")
        return self


class Entry(Options):
    """A mistake: where it stands, what it says in our words, what is right and by which source, and the evidence."""

    id: Annotated[str, Field(pattern=r"^d[0-4](-[a-z0-9]+)+$")]
    document: Literal["D0", "D1", "D2", "D3", "D4"]
    place: Words
    says: Words
    right: Words
    source: Words
    evidence: Annotated[tuple[Evidence, ...], Field(min_length=1)]


@functools.cache
def entries() -> tuple[Entry, ...]:
    """Every entry, in the order of the file."""
    read = yaml.safe_load(FILE.read_text(encoding="utf-8"))
    return tuple(
        Entry(document=document, **{**one, "evidence": tuple(Evidence(**each) for each in one["evidence"])})
        for document, found in read.items()
        for one in found
    )
