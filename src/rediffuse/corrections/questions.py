"""What the documents ask, read from `questions.yaml` beside this file."""

import functools
from pathlib import Path
from typing import Annotated, Literal

import yaml
from pydantic import Field, model_validator

from rediffuse.options import Options, Words

FILE = Path(__file__).with_name("questions.yaml")


class Question(Options):
    """What a document asks, in our words, and what answers it.

    experiment: one by this name, of the study that is reported, or of `study` alone; of several names the first that
    the study has. chapter: of the report, by its title. page: of this project.
    """

    document: Literal["D0", "D1", "D2", "D3", "D4"]
    place: Words
    asks: Words
    experiment: str | tuple[str, ...] | None = None
    study: str | None = None
    chapter: Words | None = None
    page: Annotated[str, Field(pattern=r"^(docs|reports/[\w-]+)/[\w-]+\.md$")] | None = None

    @property
    def experiments(self) -> tuple[str, ...]:
        """The names of `experiment`."""
        return (self.experiment,) if isinstance(self.experiment, str) else self.experiment or ()

    @model_validator(mode="after")
    def _one(self) -> "Question":
        if sum(kind is not None for kind in (self.experiment, self.chapter, self.page)) != 1:
            raise ValueError("a question is answered by one of experiment, chapter or page")
        return self


@functools.cache
def questions() -> tuple[Question, ...]:
    """Every question, in the order of the file."""
    read = yaml.safe_load(FILE.read_text(encoding="utf-8"))
    return tuple(Question(document=document, **one) for document, found in read.items() for one in found)
