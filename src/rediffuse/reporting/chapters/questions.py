"""What the documents ask, and where it is answered."""

from collections.abc import Container

from rediffuse.corrections.questions import Question, questions
from rediffuse.reporting.experiments.claims import tally
from rediffuse.reporting.experiments.material import Material
from rediffuse.reporting.render.blocks import Chapter, chapter_of
from rediffuse.reporting.render.table import Rows, Table, headers
from rediffuse.reporting.terms import capital
from rediffuse.reporting.values import NOT_ASKED, counted

#: A study of fewer experiments than this is about something else.
FEWEST = 10


def answered(material: Material, titles: Container[str], one: Question) -> tuple[str, str] | None:
    """Under which title a question is answered, and what became of its claims;
    None where this study does not ask it.
    """
    if one.page is not None:
        return f"{one.page} of the project", NOT_ASKED
    if one.chapter is not None:
        return (f"“{one.chapter}”", NOT_ASKED) if one.chapter in titles else None
    asked = (material.loaded.experiments.get(name) for name in one.experiments)
    planned = next((found for found in asked if found is not None), None)
    if planned is None or one.study not in (None, material.loaded.study.study):
        return None
    verdicts = [verdict for verdict in material.verdicts if verdict.experiment == planned.name]
    return f"“{planned.asks.question}”", tally(verdicts) if verdicts else NOT_ASKED


def table(material: Material, titles: Container[str]) -> Table:
    """A row for each question that this study answers."""
    rows, left = Rows(), []
    for one in questions():
        found = answered(material, titles, one)
        if found is None:
            left.append(one)
        else:
            rows.add(one.document, capital(one.place), one.asks, *found)
    elsewhere: dict[str, list[str]] = {}
    for one in left:
        study = f"the study {one.study}" if one.study else "another study"
        elsewhere.setdefault(study, []).append(f"{one.document}, {one.place}")
    notes = tuple(
        f"Asked by {study}, not by this one: {'; '.join(dict.fromkeys(places))}." for study, places in elsewhere.items()
    )
    columns = headers("Document | Where | Asks, in our words | Answered under | Claims")
    return Table("questions", "What the documents ask, and where it is answered.", columns, rows, notes)


def chapter(material: Material, titles: Container[str]) -> Chapter | None:
    """All questions, in a study that is about the documents; `titles`: of the chapters that its report has."""
    if len(material.loaded.experiments) < FEWEST:
        return None
    found = table(material, titles)
    text = (
        f"The documents ask, announce or leave open {counted(len(questions()), 'thing')} that a pipeline can answer; "
        f"{len(found.rows)} of them are answered here."
    )
    return chapter_of("questions", "What do the documents ask?", text, found)
