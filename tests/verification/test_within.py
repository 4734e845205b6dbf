"""On another machine, where numbers move, a number that was edited in one place contradicts the others."""

import pytest

from rediffuse.reporting.render.table import Table, headers
from rediffuse.reporting.values import Estimate
from rediffuse.verification.judge import PAGE
from rediffuse.verification.within import contradictions


def report(value: float, count: int = 12_000) -> dict[str, bytes]:
    """A page with one table, and the files of it."""
    rows = [("DDPM", count, Estimate(value, value - 1, value + 1)), ("DCGAN", 50, Estimate(3.0, 2.0, 4.0))]
    table = Table("quality", "Quality.", headers("Run | Images | Distance"), rows)
    files = {f"tables/quality.{suffix}": text.encode() for suffix, text in table.files().items()}
    return {PAGE: f"# Report\n\n{table.markdown()}\nThe end.\n".encode(), **files}


SAID, MADE = report(412.5), report(398.5)


def test_a_report_whose_numbers_have_all_moved_does_not_contradict_itself():
    assert not list(contradictions(SAID, MADE))


@pytest.mark.parametrize(
    ("edited", "told"),
    [
        (PAGE, {PAGE}),
        ("tables/quality.md", {PAGE, "tables/quality.md"}),
        ("tables/quality.csv", {"tables/quality.md", "tables/quality.tex"}),
        ("tables/quality.tex", {"tables/quality.tex"}),
    ],
)
def test_a_number_edited_in_one_form_of_a_table_contradicts_the_others(edited: str, told: set[str]):
    said = {**SAID, edited: SAID[edited].replace(b"412.5", b"312.5", 1)}
    assert said[edited] != SAID[edited]
    assert {found.file for found in contradictions(said, MADE)} == told


def test_a_row_that_was_taken_out_of_one_form_is_noticed():
    rows = SAID["tables/quality.csv"].splitlines(keepends=True)
    said = {**SAID, "tables/quality.csv": b"".join(rows[:-1])}
    assert {found.why for found in contradictions(said, MADE)} == {"2 rows where tables/quality.csv has 1"}


def test_what_the_rebuild_says_in_two_ways_is_no_contradiction():
    other = {**MADE, PAGE: b"# Report without tables\n"}
    assert not list(contradictions({**SAID, PAGE: b"# Another\n"}, other))
