"""Each mistake of the documents in a row: what it says, what is right, and the evidence."""

import functools
import re

from rediffuse.corrections.entries import DOCUMENTS, Entry, Evidence, entries
from rediffuse.corrections.numbers import Numbers
from rediffuse.corrections.registry import NUMBERS
from rediffuse.evaluation.metrics import metric_short
from rediffuse.registry import load
from rediffuse.reporting.chapters.tried_mistakes import Trial, trials
from rediffuse.reporting.experiments.cells import estimate, made_of
from rediffuse.reporting.experiments.material import Material
from rediffuse.reporting.render.blocks import Chapter, Folded, chapter_of
from rediffuse.reporting.render.table import Rows, Table, headers
from rediffuse.reporting.terms import capital, cell_label
from rediffuse.reporting.values import NOT_RUN, counted, listed
from rediffuse.runs import facts


@functools.cache
def numbers(name: str) -> Numbers:
    """The numbers of that name, worked out once."""
    return load(NUMBERS[name].code)()


def told(material: Material, tried: list[Trial], evidence: Evidence) -> tuple[str, tuple[str, ...]]:
    """A piece of evidence in a sentence, and the files it rests on."""
    loaded = material.loaded
    if evidence.number is not None and evidence.shows is not None:
        return evidence.shows.format(**numbers(evidence.number)), ()
    if evidence.test is not None:
        name = re.sub(r".*::test_(d\d_)?", "", evidence.test)
        return f"Test: {name.replace('_', ' ')}", ()
    if evidence.damage is not None:
        mine = [one for one in tried if one.variant.name == evidence.damage]
        short = metric_short("frechet_distance", material.frames.features)
        texts = [
            f"Tried: {one.verdict.text}, {short} {one.wrong} against {one.right} (n = {one.n}), difference {one.shown}"
            for one in mine
        ]
        return ". ".join(texts) or f"Tried: {NOT_RUN}", tuple(one.found.file for one in mine)
    if evidence.claim is not None:
        found = [(place, one) for place, one in enumerate(material.verdicts, 1) if one.claim.claim == evidence.claim]
        if not found:
            return f"Claim “{evidence.claim}”: not asked by this study", ()
        place, verdict = found[0]
        return f"Claim C{place}, “{evidence.claim}”: {verdict.verdict}", verdict.files
    if evidence.experiment is not None:
        planned = loaded.experiments.get(evidence.experiment)
        asked = "not asked by this study" if planned is None else f"“{planned.asks.question}”"
        return f"Experiment {evidence.experiment}: {asked}", ()
    assert evidence.measure is not None
    run = next(run for run in loaded.runs.values() if run.role == "baseline")
    setting = facts.shown_setting(run)[0]
    cell = material.cells.get((run.name, setting, evidence.measure))
    value = f"{estimate(cell)}{'' if cell is None else made_of(cell)}"
    short = metric_short(evidence.measure, material.frames.features)
    return f"{short} of {cell_label(loaded, run.name, setting)}: {value}", () if cell is None else cell.files


def table(material: Material, tried: list[Trial], document: str) -> Table:
    """The mistakes of a document."""
    rows = Rows()
    for one in _of(document):
        texts, files = zip(*(told(material, tried, each) for each in one.evidence), strict=True)
        every = [file for found in files for file in found]
        links = material.frames.pedigree.links(every)
        rows.add(capital(one.place), one.says, one.right, capital(one.source), ". ".join(texts), links)
    columns = headers("Where | It says | Right is | Source | Evidence here | From")
    caption = f"Mistakes of {document}, {DOCUMENTS[document]}, in our words."
    return Table(f"mistakes-{document.lower()}", caption, columns, rows, narrow=True)


def tests() -> Table:
    """The tests that hold what is right, as pytest names them."""
    rows = Rows()
    for one in entries():
        for evidence in one.evidence:
            if evidence.test is not None:
                rows.add(f"{one.document}, {one.place}", evidence.test)
    caption = "The tests named above, as `pytest` takes them."
    return Table("mistakes-tests", caption, headers("Where | `Test`"), rows)


def _of(document: str) -> list[Entry]:
    return [one for one in entries() if one.document == document]


def chapter(material: Material) -> Chapter | None:
    """All of them, where the study asks for them."""
    if material.loaded.study.corrections is None:
        return None
    tried = trials(material.frames)
    introduced = listed([f"{name} is {what}" for name, what in DOCUMENTS.items()])
    text = (
        f"This project began with five documents: {introduced}. They hold {counted(len(entries()), 'mistake')} that we "
        "know of. Each stands below with what is right, the source that says so, and evidence: a number computed for "
        "this report, an experiment or claim of this study, a mistake tried on its networks, or a test of the project."
    )
    tables = [table(material, tried, document) for document in DOCUMENTS]
    return chapter_of("corrections", "Every mistake, and what is right", text, *tables, Folded("The tests", (tests(),)))
