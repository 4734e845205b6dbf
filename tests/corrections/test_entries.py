"""The list of mistakes: all are there, and every piece of evidence exists."""

import ast
import re
from pathlib import Path

import pytest

from rediffuse.config import load_study
from rediffuse.corrections.entries import DOCUMENTS, entries
from rediffuse.corrections.registry import NUMBERS, WRONG
from rediffuse.evaluation.metrics import METRICS

ROOT = Path(__file__).resolve().parents[2]
#: The mistakes that were known when the list was begun.
KNOWN = [
    "d0-resolution",
    "d0-gan",
    "d0-converged",
    "d0-parameters",
    "d0-quality",
    "d0-evaluation",
    "d1-hardware",
    "d1-variance",
    "d1-tanh",
    "d1-dropout",
    "d1-score",
    "d1-table5",
    "d1-figure1",
    "d2-gaussian",
    "d2-likelihood",
    "d2-step",
    "d2-optimiser",
    "d3-previous",
    "d3-sigma",
    "d3-hundred",
    "d3-trend",
    "d4-sigma",
    "d4-importance",
    "d4-lower-clip",
    "d4-quadratic",
    "d4-range-ends",
    "d4-range-output",
    "d4-log-zero",
    "d4-wrap",
    "d4-noise-off",
    "d4-stale-noise",
    "d4-previous-above-0",
    "d4-rebuilt",
    "d4-cut",
    "d4-energy",
    "d4-pure-noise",
    "d4-eta-best",
    "d4-inception",
    "d4-sizes",
]
FOUND_SECOND = [
    "d0-software",
    "d0-attention",
    "d1-source",
    "d2-attention",
    "d2-memory-batch",
    "d2-memory-skips",
    "d4-never-set",
    "d4-eta",
    "d4-eta-fast",
    "d4-std",
    "d4-per-step",
    "d4-one-schedule",
]


def test_all_known_mistakes_are_listed_once_and_more_of_every_document():
    ids = [one.id for one in entries()]
    assert len(ids) == len(set(ids))
    assert (len(KNOWN), len(FOUND_SECOND)) == (39, 12)
    assert {*KNOWN, *FOUND_SECOND} < set(ids)
    own = set(ids) - {*KNOWN, *FOUND_SECOND}
    assert {one[:2].upper() for one in own} == set(DOCUMENTS)
    assert all(one.id.startswith(one.document.lower()) for one in entries())


def test_every_entry_names_its_place_and_its_source():
    place = re.compile(r"(sections?|figures?|tables?|equations?|exercises?|chapters?|abstract)\b", re.IGNORECASE)
    assert [one.id for one in entries() if not place.match(one.place)] == []
    assert [one.id for one in entries() if len(one.source) < 5] == []


def functions_of(file: str) -> set[str]:
    """The functions at the top of a file that pytest collects."""
    tree = ast.parse((ROOT / file).read_text())
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


def test_every_test_that_is_named_exists():
    named = {each.test for one in entries() for each in one.evidence if each.test}
    assert [name for name in sorted(named) if name.split("::")[1] not in functions_of(name.split("::")[0])] == []


def test_all_other_evidence_exists_in_the_default_study():
    loaded = load_study(ROOT / "studies" / "digits.yaml")
    claims = {claim.claim for claim in loaded.claims().values()}
    known = {"number": NUMBERS, "damage": WRONG, "claim": claims, "experiment": loaded.experiments, "measure": METRICS}
    for one in entries():
        for each in one.evidence:
            for kind, names in known.items():
                assert getattr(each, kind) in (None, *names), one.id


@pytest.mark.parametrize(("kind", "names"), [("damage", WRONG), ("number", NUMBERS)])
def test_nothing_is_run_or_computed_that_no_entry_tells(kind, names):
    assert {getattr(each, kind) for one in entries() for each in one.evidence} - {None} == set(names)
