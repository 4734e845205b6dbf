"""What the report says of the loss along training."""

from dataclasses import replace

import pandas as pd
import pytest

from rediffuse.reporting.chapters import curves
from rediffuse.reporting.read.frames import HISTORY, Frames, read_frames
from tests.reporting.study_tree import StudyTree


@pytest.fixture
def frames(empty_tree: StudyTree) -> Frames:
    """A baseline whose loss falls to 0.08 and rises again, over 20 logged rows of 10 steps."""
    losses = [1.0, 0.5, 0.2, *[0.12] * 5, 0.09, 0.08, *[0.1] * 10]
    history = pd.DataFrame({"run": "baseline", "seed": 0, "step": range(10, 210, 10), "loss": losses, "file": "h.csv"})
    return replace(read_frames(empty_tree.loaded, empty_tree.root), history=history.reindex(columns=list(HISTORY)))


def test_the_loss_is_summed_up_as_document_d4_does(frames: Frames) -> None:
    table = curves.summary(frames)
    assert table is not None
    [row] = [dict(zip([c.title for c in table.columns], row, strict=True)) for row in table.rows]
    assert (row["First logged loss"], row["Fall (%)"]) == (1.0, pytest.approx(90))  # to 0.1, the mean of the last tenth
    assert (row["Least logged loss"], row["At step"], row["First below 0.1 at step"]) == (0.08, 100, 90)


def test_a_loss_that_never_falls_so_far_is_said_so(frames: Frames) -> None:
    table = curves.summary(replace(frames, history=frames.history[frames.history["step"] <= 80]))
    assert table is not None
    assert table.rows[0][-2] == "never"
