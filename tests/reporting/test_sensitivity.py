"""Which choices of a training matter: what the report concludes from the values of all experiments."""

from dataclasses import replace

import pytest

from rediffuse.reporting.chapters import sensitivity
from rediffuse.reporting.experiments.contrasts import Comparison
from rediffuse.reporting.experiments.material import Material
from rediffuse.reporting.render.picture import styled
from tests.reporting.made_experiments import experiments


@pytest.fixture(scope="module")
def material(tmp_path_factory: pytest.TempPathFactory) -> Material:
    return experiments(tmp_path_factory.mktemp("sensitivity"))


def test_every_experiment_that_trains_has_a_row_the_one_that_moves_most_first(material):
    found = sensitivity.choices(material)
    # Of values: half the width 150 of 200 and 150 of 100; noise 300 of 200 and half the width 150 in one experiment.
    assert [(choice.what, choice.least, choice.most) for choice in found] == [
        ("causes", 0.75, 1.5),
        ("width", 1.0, 1.5),
        ("multipliers", 1.0, 1.25),
        ("label dropout", 1.0, 1.25),
    ]


def test_the_sentence_names_how_many_matter_and_the_most(material):
    text = sensitivity.sentence(sensitivity.choices(material), "Fréchet distance")
    assert text == (
        "Of 4 choices of a training, 4 move the Fréchet distance clearly. "
        "The largest change: noise in the steps (causes; +50 %)."
    )


def test_a_choice_that_moves_nothing_for_sure_is_named_as_such(material):
    first, *_, last = sensitivity.choices(material)
    undecided = Comparison("undecided", "worse", "made up")
    unclear = replace(last, ways=tuple(replace(way, how=undecided) for way in last.ways))
    text = sensitivity.sentence([first, unclear], "distance")
    assert text.startswith("Of 2 choices of a training, 1 moves the distance clearly.")
    assert text.endswith("Not clearly: label dropout.")


def test_the_table_has_the_least_and_the_most_of_each(material):
    with styled():
        chapter = sensitivity.chapter(material)
    assert chapter is not None
    _, picture, table = chapter.items
    rows = {row[0]: [str(value) for value in row] for row in table.rows}
    assert rows["Causes"][3:6] == ["half the width", "-25.0", "clearly better"]
    assert rows["Causes"][6:9] == ["noise in the steps", "50.0", "clearly worse"]
    assert picture.name == "sensitivity"
