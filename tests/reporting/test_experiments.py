"""What the report says of an experiment: its rows, its answer, its picture; from made-up values."""

import dataclasses
import math
from pathlib import Path
from typing import Any

import pytest
import scipy.stats
import yaml

from rediffuse.reporting.chapters import experiments as chapter
from rediffuse.reporting.experiments.answers import _beside, _falls_off, _percent, answers
from rediffuse.reporting.experiments.beside import bases_of
from rediffuse.reporting.experiments.material import Material, conclude
from rediffuse.reporting.experiments.results import Result, result_of
from rediffuse.reporting.read.frames import read_frames
from rediffuse.reporting.render import plots
from rediffuse.reporting.render.picture import Picture, styled
from tests.reporting.made_cells import cell
from tests.reporting.made_experiments import experiments
from tests.reporting.study_tree import PROJECT, StudyTree


@pytest.fixture(scope="module")
def material(tmp_path_factory: pytest.TempPathFactory) -> Material:
    return experiments(tmp_path_factory.mktemp("experiments"))


def found(material: Material, name: str) -> Result:
    return result_of(material, material.loaded.experiments[name])


def said(material: Material, name: str) -> list[str]:
    return answers(material.frames, found(material, name))


def shown(material: Material, name: str) -> tuple[list[str], list[list[str]]]:
    """Titles and rows of its table, without where they come from."""
    table = chapter.table(material, found(material, name))
    return [c.title for c in table.columns][:-1], [[str(value) for value in row[:-1]] for row in table.rows]


def drawn(material: Material, name: str) -> Picture | None:
    with styled():
        return chapter._picture(material, found(material, name))


def test_rows_are_all_combinations_in_words(material):
    rows = found(material, "eta").rows
    assert [row.labels for row in rows] == [("0", "5"), ("0", "10"), ("1", "5"), ("1", "10")]
    assert rows[3].name() == "η = 1, 10 steps"


def test_the_answer_is_given_at_most_and_at_fewest_steps(material):
    assert said(material, "eta") == [
        "With 10 steps neither is clearly better: Fréchet distance 100.0, n = 20 (η = 0) against 101.0 (η = 1).",
        "With 5 steps η = 0 is best (Fréchet distance 200.0, n = 20), clearly better than η = 1.",
    ]


def test_the_fewest_steps_that_do_are_named_and_where_none_are(material, monkeypatch: pytest.MonkeyPatch):
    # With η = 0 and 1 the 5 steps are clearly worse than the 10; with η = 0.5 both have the same value.
    monkeypatch.setattr("rediffuse.reporting.experiments.answers.LEAST_STEPS", 2)
    assert said(material, "eta")[-1] == (
        "Already the next smaller number of steps is clearly worse than the most, or worse by more than 20 %."
    )
    assert said(material, "few")[-1] == (
        "Fewest steps down to which no value is clearly worse than that of the most, nor worse by more than 20 %: 5 of "
        "10 with η = 0.5; with η = 0 already the next smaller number is."
    )


def test_fewer_steps_that_only_wide_intervals_keep_from_being_clearly_worse_do_not_do():
    most = cell(100, 60)
    assert not _falls_off(cell(119, 60), most)
    assert _falls_off(cell(121, 60), most)
    assert _falls_off(cell(0.75, 0.6, metric="recall"), cell(0.95, 0.6, metric="recall"))  # 0.2 of 0.95: 21 %
    assert not _falls_off(cell(0.79, 0.6, metric="recall"), cell(0.95, 0.6, metric="recall"))  # 17 %
    assert not _falls_off(cell(5, 6, metric="kid"), cell(-0.03, 0.1, metric="kid"))


def test_what_chooses_its_steps_is_compared_with_every_number_of_them(material):
    assert said(material, "chosen") == [
        "Probability-flow ODE adaptive, tolerance 0.1 is best (Fréchet distance 90.00, n = 20), "
        "clearly better than all others."
    ]
    told = chapter._chosen(material, found(material, "chosen"))
    assert told.startswith("Network evaluations an image: 5 (DDIM, 5 steps), 10 (DDIM, 10 steps) and ")


def test_a_clear_change_below_one_per_cent_is_not_called_none():
    assert [_percent(1.004, how) for how in ("worse", "undecided")] == ["+0.4", "0"]
    assert _percent(0.75, "better") == "−25"


def test_a_caption_says_by_what_of_how_many_images_and_which_way_is_better(material):
    picture = drawn(material, "eta")
    assert picture is not None
    assert picture.caption == (
        "Fréchet distance in EfficientNet-Lite0 features by η and steps, n = 20. Lower is better. "
        "Bars: 95 % intervals, those of the table."
    )


def test_a_trained_way_stands_beside_the_run_that_it_starts_from(material):
    assert said(material, "width") == [
        "Against DDPM, unchanged (Fréchet distance 200.0, n = 20): clearly better: half the width (−25 %).",
        "Against Improved DDPM, unchanged (Fréchet distance 100.0, n = 20): clearly worse: half the width (+50 %).",
    ]


def test_of_several_ways_the_one_that_changes_most_is_named_also_where_only_sampling_differs(material):
    assert said(material, "causes") == [
        "Against DDPM (Fréchet distance 200.0, n = 20): clearly better: half the width (−25 %); "
        "clearly worse: a faster training (+10 %) and noise in the steps (+50 %). "
        "What changes it most: noise in the steps (+50 %)."
    ]


def test_of_several_ways_the_one_that_is_clear_is_said_to_be_alone(material):
    [base] = bases_of(material.loaded, found(material, "causes"))
    undecided = dataclasses.replace(base.ways[0].how, outcome="undecided")
    ways = [base.ways[0], *(dataclasses.replace(way, how=undecided) for way in base.ways[1:])]
    told = _beside(dataclasses.replace(base, ways=tuple(ways)), "Fréchet distance")
    assert told.endswith(f"Of the 3 changes this one alone is clear: {ways[0].name} (−25 %).")


def test_ways_are_held_against_the_arm_that_the_study_names(material):
    # 220 of 150; the run itself, 200, is no arm.
    assert said(material, "held") == [
        "Against half the width (Fréchet distance 150.0, n = 20): clearly worse: a faster training (+47 %)."
    ]


def test_a_trained_way_is_compared_whatever_the_run_calls_the_same_sampling(material):
    # Guidance 1 is `guided` in the run, and goes by the sampler's own name in what was trained.
    assert said(material, "labels") == [
        "Against label dropout = 0.1 (Fréchet distance 80.00, n = 20): clearly worse: label dropout = 0.2 (+25 %)."
    ]


def test_a_list_is_told_from_the_next(material):
    assert said(material, "scales") == [
        "Against multipliers = [1, 2] (Fréchet distance 200.0, n = 20): clearly worse: multipliers = [1, 1] (+25 %)."
    ]
    assert "varied: multipliers ([1, 2], [1, 1])." in chapter._how(material, found(material, "scales"))[1]


def test_one_value_is_told_with_its_interval(material):
    half = scipy.stats.t.ppf(0.975, 2) * 10 / math.sqrt(3)
    assert said(material, "spread") == [
        f"Fréchet distance 110.0, from {110 - half:.2f} to {110 + half:.1f} "
        "(95 % t-interval over 3 training seeds; 3 training seeds, n = 20)."
    ]


def test_what_was_not_run_is_named_with_what_makes_it(material):
    alone, absent = said(material, "missing")
    assert alone.startswith("Blocks = 1: Fréchet distance 200.0, from 196.0 to 204.0 ")
    assert absent == "Not run: DDPM (blocks 2); `snakemake --cores 8 ablations`, then `dvc repro`, makes it."


def test_what_a_run_cannot_have_is_a_dash_and_not_missing(material):
    titles, rows = shown(material, "mixed")
    assert titles == ["Run", "Fréchet distance (lower is better)", "Class accuracy (higher is better)", "n"]
    assert [row[2] for row in rows] == ["—", "not run"]


def test_a_state_says_how_many_seeds_are_there(material):
    titles, rows = shown(material, "partly")
    assert titles[-2:] == ["n", "State"]
    assert [row[-2:] for row in rows] == [["—", "not run"], ["20", "1 of 2 seeds"]]


def test_seeds_stand_in_the_table_where_there_are_several(material):
    titles, rows = shown(material, "spread")
    assert titles[-2:] == ["n", "Seeds"]
    assert [row[-1] for row in rows] == ["0, 1, 2"]


def test_all_complete_has_no_column_of_states(material):
    titles, rows = shown(material, "scales")
    assert titles == ["Multipliers", "Fréchet distance (lower is better)", "Parameters", "Loss at the end", "n"]
    assert [row[0] for row in rows] == ["[1, 2]", "[1, 1]"]


def test_what_was_made_under_other_keys_says_so(material):
    stale = dataclasses.replace(material, keys={})
    _, rows = shown(stale, "scales")
    assert [row[-1] for row in rows] == ["complete", "made with other settings or code"]


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("eta", "Lines of Fréchet distance (lower is better) against steps."),
        ("map", "A map of Fréchet distance (lower is better) by η and steps."),
        ("look", "Strips of images, one for each steps."),
        ("scales", "Dots of Fréchet distance (lower is better), one row for each multipliers."),
    ],
)
def test_an_experiment_is_drawn_as_it_says(material, name: str, kind: str):
    picture = drawn(material, name)
    assert picture is not None
    assert picture.alt == kind


@pytest.mark.parametrize("name", ["numbers", "one", "missing"])
def test_a_table_alone_and_a_single_value_are_not_drawn(material, name: str):
    assert drawn(material, name) is None


def test_a_sampler_that_chooses_its_steps_stands_at_what_it_cost(material):
    assert [row.name() for row in found(material, "chosen").rows] == [
        "DDIM, 5 steps",
        "DDIM, 10 steps",
        "Probability-flow ODE adaptive, tolerance 0.1",
    ]
    picture = drawn(material, "chosen")
    assert picture is not None
    assert picture.alt.startswith("Lines of")
    assert "network evaluations an image" in picture.alt


@pytest.fixture
def axes(monkeypatch: pytest.MonkeyPatch):
    """Draw, and look at the axes instead of the bytes."""
    monkeypatch.setattr(plots, "finish", lambda figure, *rest, **more: figure)
    monkeypatch.setattr(plots, "outside_legend", lambda *rest, **more: None)

    def looked(kind: Any, points: list[plots.Point], *rest: Any) -> Any:
        with styled():
            figure = kind(plots.Drawing("name", "x", "caption", (plots.Panel("y", points, 1.0),)), *rest)
            figure.canvas.draw()
        return figure.axes

    return looked


def points(numbers: list[float], series: int, value: float = 10.0) -> list[plots.Point]:
    return [plots.Point(n, (str(s),), value * n, (9 * n, 11 * n)) for s in range(series) for n in numbers]


@pytest.mark.parametrize("numbers", [[5, 10, 20], [0, 0.1, 1], [1e-4, 1e-3, 1e-2]])
def test_many_series_stay_near_the_number_that_they_are_at(axes, numbers: list[float]):
    (found, *_) = axes(plots.line, points(numbers, 21), numbers == [5, 10, 20])
    drawn = [line.get_xdata() for line in found.lines if len(line.get_xdata()) == 3]
    assert len(drawn) >= 21
    for row in drawn:
        nearest = [min(numbers, key=lambda n, x=x: abs(n - x)) for x in row]
        assert nearest == numbers


def test_numbers_that_go_far_stand_on_a_logarithmic_axis(axes):
    assert axes(plots.line, points([1e-4, 1e-3, 1e-2], 1), False)[0].get_xscale() == "log"
    assert axes(plots.line, points([0, 0.5, 100], 1), False)[0].get_xscale() == "linear"


def test_values_below_0_are_drawn_on_a_linear_axis(axes):
    below = [plots.Point(n, ("a",), -0.01 * n, (-0.02 * n, 0.0)) for n in (5, 10)]
    assert axes(plots.line, below, True)[0].get_yscale() == "linear"
    assert axes(plots.dots, below)[0].get_xscale() == "linear"
    assert axes(plots.heat_map, below, "z")


def test_no_two_of_twenty_series_of_dots_look_alike():
    looks = plots._looks([(str(place),) for place in range(20)]).values()
    assert len({(look["color"], look["marker"]) for look in looks}) == 20


def test_what_comes_back_in_every_run_has_its_colour_by_the_run_and_its_marker_by_the_sampler():
    looks = plots._looks([(run, sampler) for run in ("one", "two") for sampler in ("a", "b", "c")])
    assert len({looks["one", sampler]["color"] for sampler in "abc"}) == 1
    assert looks["one", "b"]["marker"] == looks["two", "b"]["marker"]
    assert len({(look["color"], look["marker"]) for look in looks.values()}) == 6


def test_each_seed_has_its_tick(axes):
    one = [plots.Point("a", ("s",), 2.0, (1.0, 3.0), seeds=(1.5, 2.0, 2.5)), plots.Point("b", ("s",), 1.0, (0.5, 1.5))]
    (found,) = axes(plots.dots, one)
    assert [1.5, 2.0, 2.5] in [list(line.get_xdata()) for line in found.lines]


def test_the_scale_of_a_map_has_plain_numbers(axes):
    far = [plots.Point(str(n), (str(m),), 10.0 ** (n + m), (1, 1)) for n in range(2) for m in range(2)]
    texts = [label.get_text() for label in axes(plots.heat_map, far, "z")[1].get_yticklabels()]
    assert "10" in texts
    assert not any("$" in text for text in texts)


def test_long_names_are_set_in_lines(axes):
    name = "a very long name that says all that was changed in the network and in its training"
    (found,) = axes(plots.dots, [plots.Point(name, ("a",), 1.0, (0.5, 1.5)), plots.Point("b", ("a",), 2.0, (1.5, 2.5))])
    lines = found.get_yticklabels()[0].get_text().splitlines()
    assert " ".join(lines) == name
    assert max(map(len, lines)) <= 36


def test_samplers_are_drawn_against_what_they_cost(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    study = yaml.safe_load((PROJECT / "studies" / "smoke.yaml").read_text())
    vary = {"sampler": ["ddim", "ode-heun"], "steps": [5, 10]}
    study |= {"experiments": {"cost": {"question": "?", "vary": vary, "picture": "line"}}, "claims": []}
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(study, sort_keys=False))
    tree = StudyTree(tmp_path / "project", tmp_path / "study.yaml").everything()
    material = conclude(read_frames(tree.loaded, tree.root, tree.plan), tree.plan)
    drawn = []
    monkeypatch.setattr(chapter.plots, "line", lambda drawing, *rest: drawn.append((drawing, rest)))
    chapter.chapters(material, "parts")
    [(drawing, rest)] = drawn
    [panel] = drawing.panels
    assert drawing.x == "network evaluations an image"
    # DDIM asks once a step; Heun's method twice, once in the last: 2·5 − 1 and 2·10 − 1.
    assert [point.x for point in panel.points] == [5, 10, 9, 19]
    assert rest == (True, [5, 10])
