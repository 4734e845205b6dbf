"""The chapter of the documents' mistakes."""

import numpy as np
import pytest

from rediffuse.corrections.entries import DOCUMENTS, entries
from rediffuse.evaluation.intervals import grouped
from rediffuse.formats import write_json
from rediffuse.reporting.chapters import corrections, tried_mistakes
from rediffuse.reporting.experiments.material import conclude
from rediffuse.reporting.read.frames import read_frames
from tests.reporting.study_tree import StudyTree


def tried(tree: StudyTree, wrong: list[float], right: list[float]) -> list[tried_mistakes.Trial]:
    """What a record of one mistake says, its groups as given."""
    scores = {
        name: {"steps": 10, "std": 0.5, "frechet_distance": grouped(values, 8).to_dict()}
        for name, values in (("sigma-is-beta", wrong), ("beta-10", right))
    }
    rows = [{"wrong": "sigma-is-beta", "right": "beta-10"}]
    write_json(tree.folder("baseline") / "corrections" / "scores.json", {"rows": rows, "scores": scores})
    return tried_mistakes.trials(read_frames(tree.loaded, tree.root))


@pytest.mark.parametrize(
    ("wrong", "right", "verdict"),
    [
        ([300, 310, 320, 330], [100, 112, 119, 131], "worse"),  # groups move together: the pairs differ by about 200
        ([100, 200, 300, 400], [120, 190, 310, 395], "no difference seen"),
        ([100, 110, 120, 130], [300, 312, 319, 331], "better"),
        ([300], [100], "no difference seen"),  # of one group nothing is known
    ],
)
def test_the_verdict_is_that_of_the_paired_difference(empty_tree: StudyTree, wrong, right, verdict):
    [one] = tried(empty_tree, wrong, right)
    assert one.verdict.text == verdict
    assert one.difference[0] == pytest.approx(np.mean(wrong) - np.mean(right))


def test_every_entry_has_its_row_and_its_evidence_in_words(empty_tree: StudyTree):
    found = tried(empty_tree, [300, 310, 320, 330], [100, 112, 119, 131])
    material = conclude(read_frames(empty_tree.loaded, empty_tree.root))
    rows = {name: corrections.table(material, found, name).rows for name in DOCUMENTS}
    assert sum(map(len, rows.values())) == len(entries())
    [sigma] = [row for row in rows["D4"] if row[1] == "The σ of a sampling step is β"]
    assert "worse, Fréchet distance 315.0 [294.5, 335.5] against 115.5" in sigma[4]
    assert all(row[4] for found in rows.values() for row in found)
