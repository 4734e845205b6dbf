"""What happens along the reverse steps, in the report: what it says follows from the files."""

import csv
import io

import pytest

from rediffuse.reporting.chapters import reverse_steps
from rediffuse.reporting.experiments.material import Material, conclude
from rediffuse.reporting.read.frames import read_frames
from rediffuse.reporting.render.blocks import Chapter
from rediffuse.reporting.render.picture import Picture, styled
from rediffuse.reporting.render.table import Table
from tests.reporting.study_tree import PROJECT, StudyTree


@pytest.fixture(scope="module")
def material(tmp_path_factory: pytest.TempPathFactory) -> Material:
    tree = StudyTree(tmp_path_factory.mktemp("ways"), PROJECT / "studies" / "smoke.yaml").everything()
    return conclude(read_frames(tree.loaded, tree.root, tree.plan), tree.plan)


@pytest.fixture(scope="module")
def chapter(material: Material) -> Chapter:
    with styled():
        found = reverse_steps.chapter(material)
    assert found is not None
    return found


def test_the_sentences_name_the_share_of_steps_and_the_farthest_spread(chapter: Chapter):
    words = chapter.items[0]
    assert isinstance(words, str)
    # Of distances 900, 400, 105, 100 after 0, 3, 6 and 9 of 10 steps the third is within a tenth of the last.
    assert "60 % (DDPM, Ancestral)" in words
    # x_t is 5 % too wide at the end, and right before.
    assert "+5.0 % (Improved DDPM, DDIM)" in words
    assert "not the best" not in words


def test_an_estimate_that_gets_worse_again_is_said(material: Material):
    found = reverse_steps.paths(material.frames)
    worse = [{**point, "distance": 70.0} if point["step"] == 6 else point for point in found[0].points]
    words = reverse_steps.words(material.frames, [found[0]._replace(points=worse)])
    assert "after 6 steps it was at 70.00, in the end it is at 100.0" in words
    assert "90 % (DDPM, Ancestral)" in words


def test_training_seeds_are_told_by_their_ends(material: Material):
    one = reverse_steps.paths(material.frames)[0]
    # Within a tenth of the last from the start on: 0 %.
    early = [{**point, "distance": 100.0} if "distance" in point else point for point in one.points]
    words = reverse_steps.words(material.frames, [one, one._replace(seed=1, points=early)])
    assert "0 to 60 % (DDPM, Ancestral). Ranges are over training seeds." in words


def test_the_table_has_every_point_and_the_sample_itself(chapter: Chapter):
    [table] = [item for item in chapter.items if isinstance(item, Table)]
    rows = list(csv.DictReader(io.StringIO(table.csv())))
    assert [(row["Run"], row["Sampler"]) for row in rows[::5]] == [
        ("DDPM", "Ancestral"),
        ("DDPM", "DDIM"),
        ("Improved DDPM", "Ancestral"),
        ("Improved DDPM", "DDIM"),
    ]
    assert [row["Fréchet distance of x₀"] for row in rows[:5]] == ["900.0", "400.0", "105.0", "100.0", "—"]


def test_there_are_two_pictures(chapter: Chapter):
    names = [item.name for item in chapter.items if isinstance(item, Picture)]
    assert names == ["reverse-steps", "reverse-steps-images"]


def test_a_study_that_does_not_look_has_no_such_chapter(empty_tree: StudyTree):
    frames = read_frames(empty_tree.loaded, empty_tree.root, empty_tree.plan)
    assert reverse_steps.chapter(conclude(frames)) is None
