"""What the notes of the table of fidelity say."""

import pytest

from rediffuse.reporting.chapters.fidelity import _together


@pytest.mark.parametrize(
    ("intervals", "said"),
    [
        (set(), ""),
        ({"over 4 groups"}, "over 4 groups"),
        ({"over 10 groups", "over 3 groups", "over 4 groups"}, "over 3, 4 or 10 groups"),
        ({"over 10 groups", "over 3 groups", "over 3 seeds"}, "over 3 or 10 groups; over 3 seeds"),
        ({"exact", "over 3 groups"}, "exact; over 3 groups"),
    ],
)
def test_intervals_that_differ_in_their_number_alone_are_told_once(intervals: set[str], said: str) -> None:
    assert _together(intervals) == said
