"""What the documents ask: every exercise is there, and every answer that is named exists."""

import re
from pathlib import Path

import pytest
import yaml

from rediffuse.config import load_study
from rediffuse.corrections.questions import Question, questions

ROOT = Path(__file__).resolve().parents[2]
#: The exercises of D4, by their numbers; 3.1 is a question to think about.
EXERCISES = {"3.1", "3.2", "3.3", "3.4", "3.5.1", "3.5.2", "3.5.3", "3.6.1", "3.6.2", "3.6.3", "3.7"}


def test_every_exercise_of_the_textbook_is_among_them():
    places = [one.place for one in questions() if one.document == "D4"]
    assert {found[1] for place in places if (found := re.fullmatch(r"exercise ([\d.]+)", place))} == EXERCISES


@pytest.mark.parametrize("one", questions(), ids=lambda one: f"{one.document} {one.place}: {one.asks}")
def test_what_answers_a_question_exists(one: Question):
    if one.page is not None:
        assert (ROOT / one.page).is_file()
    if one.experiments:
        studies = [one.study] if one.study else ["digits-full", "digits"]
        asked = [yaml.safe_load((ROOT / "studies" / f"{name}.yaml").read_text())["experiments"] for name in studies]
        assert all(any(name in of for of in asked) for name in one.experiments)
    if one.chapter is not None:
        reports = [(ROOT / "reports" / study / "report.md").read_text() for study in ("digits", "digits-full")]
        assert any(f"\n### {one.chapter}\n" in report for report in reports)


def test_the_default_study_is_shipped_with_answers_to_most():
    asked = load_study(ROOT / "studies" / "digits.yaml").experiments
    found = [
        one
        for one in questions()
        if not one.experiments or (one.study is None and not asked.keys().isdisjoint(one.experiments))
    ]
    assert len(found) > len(questions()) / 2
