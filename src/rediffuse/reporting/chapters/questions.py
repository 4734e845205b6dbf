"""What the documents ask, and where it is answered."""

from rediffuse.corrections.questions import Question, questions
from rediffuse.reporting.experiments.answers import answers
from rediffuse.reporting.experiments.material import Material
from rediffuse.reporting.experiments.results import result_of
from rediffuse.reporting.render.blocks import Chapter, chapter_of
from rediffuse.reporting.render.table import Rows, Table, headers
from rediffuse.reporting.terms import capital
from rediffuse.reporting.values import counted, listed

#: A study of fewer experiments than this is about something else.
FEWEST = 10


def answered(material: Material, one: Question) -> tuple[str, str] | None:
    """Where a question is answered, and what the answer comes to; None where this study does not ask it."""
    if one.page is not None:
        return f"{one.page} of the project", "A command, not a number."
    if one.chapter is not None:
        return f"“{one.chapter}”", "See there."
    planned = material.loaded.experiments.get(one.experiment or "")
    if planned is None or one.study not in (None, material.loaded.study.study):
        return None
    first, *_ = answers(material.frames, result_of(material, planned))
    return f"“{planned.asks.question}”", first


def table(material: Material) -> Table:
    """A row for each question that this study answers."""
    rows, left = Rows(), []
    for one in questions():
        found = answered(material, one)
        if found is None:
            left.append(one)
        else:
            rows.add(one.document, capital(one.place), one.asks, *found)
    elsewhere = [f"{one.document}, {one.place} ({one.study or 'another study'})" for one in left]
    notes = (f"Not asked by this study: {listed(elsewhere)}.",) if left else ()
    columns = headers("Document | Where | Asks, in our words | Answered under | In short")
    return Table("questions", "What the documents ask, and where it is answered.", columns, rows, notes, narrow=True)


def chapter(material: Material) -> Chapter | None:
    """All questions, in a study that is about the documents."""
    if len(material.loaded.experiments) < FEWEST:
        return None
    found = table(material)
    text = (
        f"The documents ask, announce or leave open {counted(len(questions()), 'thing')} that a pipeline can answer; "
        f"{len(found.rows)} of them are answered here."
    )
    return chapter_of("questions", "What do the documents ask?", text, found)
