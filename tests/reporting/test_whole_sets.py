"""One value of all images stands beside the groups, labelled with its n and what it is measured from."""

from rediffuse.files import read_json
from rediffuse.formats import write_json
from rediffuse.reporting.chapters.whole_sets import table
from rediffuse.reporting.read.frames import read_frames
from rediffuse.reporting.values import NOT_RUN, Estimate
from tests.reporting.study_tree import StudyTree


def test_every_setting_has_its_value_of_all_images(tree: StudyTree) -> None:
    found = table(read_frames(tree.loaded, tree.root, tree.plan))
    assert [column.title for column in found.columns][4:7] == ["n", "Fréchet distance", "IS formula"]
    by_name = {(row[0], row[2], row[3]): row for row in found.rows}
    held_out = next(row for row in found.rows if row[0] == "held-out real images")
    assert held_out[4:7] == (20, 0.75 * 90, Estimate(2.5, std=0.25))
    assert len(by_name) == len(found.rows)
    assert "from the statistics of 40 images of smoke (train), which models were trained on" in found.notes[0]


def test_a_setting_without_it_says_not_run(tree: StudyTree) -> None:
    path = tree.root / "runs" / tree.name / "real" / "noise.json"
    write_json(path, {key: value for key, value in read_json(path).items() if key != "whole"})
    assert table(read_frames(tree.loaded, tree.root, tree.plan)).rows[-1][4:7] == (NOT_RUN,) * 3


def test_a_study_without_any_has_no_table(empty_tree: StudyTree) -> None:
    assert table(read_frames(empty_tree.loaded, empty_tree.root, empty_tree.plan)) is None
