"""Over all experiments: which choices of a training matter, how the loss fell, and which questions are answered."""

from dataclasses import replace

import pytest

from rediffuse.reporting.chapters import questions, sensitivity, training_curves
from rediffuse.reporting.experiments.contrasts import Comparison
from rediffuse.reporting.experiments.material import Material
from rediffuse.reporting.experiments.results import result_of
from rediffuse.reporting.read.trained import losses
from rediffuse.reporting.render.picture import styled
from tests.reporting.made_experiments import experiments


@pytest.fixture(scope="module")
def material(tmp_path_factory: pytest.TempPathFactory) -> Material:
    return experiments(tmp_path_factory.mktemp("sensitivity"))


def test_every_experiment_that_trains_has_a_row_the_one_that_moves_most_first(material):
    found = sensitivity.choices(material)
    # Of values: half the width 150 of 200 and 150 of 100; noise 300 of 200 and half the width 150 in one experiment.
    assert [(choice.what, round(choice.least, 3), round(choice.most, 3)) for choice in found] == [
        ("causes", 0.75, 1.5),
        ("width", 1.0, 1.5),
        ("held", 1.0, 1.467),
        ("multipliers", 1.0, 1.25),
        ("label dropout", 1.0, 1.25),
    ]


def test_the_sentence_names_how_many_matter_and_the_most(material):
    text = sensitivity.sentence(sensitivity.choices(material), "Fréchet distance")
    assert text == (
        "Of 5 choices of a training, all 5 move the Fréchet distance clearly. "
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
    assert rows["What of causes?"][3:6] == ["half the width", "-25.0", "clearly better"]
    assert rows["What of causes?"][6:9] == ["noise in the steps", "50.0", "clearly worse"]
    assert rows["What of scales?"][3:9] == ["multipliers = [1, 1]", "25.0", "clearly worse", "—", "—", "—"]
    assert picture.name == "sensitivity"


def test_the_curve_of_each_training_is_what_it_logged(material, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(training_curves, "finish", lambda figure, *rest: figure)
    with styled():
        figure = training_curves.curves(material, result_of(material, material.loaded.experiments["scales"]))
    drawn = [list(zip(line.get_xdata(), line.get_ydata(), strict=True)) for line in figure.axes[0].lines]
    logged = losses(material.frames)
    assert drawn == [list(logged["baseline", 0].rows), list(logged["scales-1-1", 0].rows)]
    names = [text.get_text() for text in figure.legends[0].get_texts()]
    assert names == ["multipliers = [1, 2]", "multipliers = [1, 1]"]


def test_a_question_is_answered_by_what_the_report_has(material):
    found = questions.table(material, {"Samples"})
    under = {row[3] for row in found.rows}
    pages = {"docs/sampling.md", "docs/diagnose.md", "reports/digits/timings.md"}
    assert under == {"“Samples”", *(f"{page} of the project" for page in pages)}
    by = {note.partition(", not by this one: ")[0]: note for note in found.notes}
    assert list(by) == [
        "Asked by another study",
        *(f"Asked by the study {s}" for s in ("d3-lab", "digits-full", "mnist")),
    ]
    assert "D0, section 3.1;" in by["Asked by another study"]
    assert by["Asked by the study d3-lab"].count("D3, section 4") == 1
