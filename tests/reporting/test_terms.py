from pathlib import Path

import pytest

from rediffuse.config import load_study
from rediffuse.evaluation.metrics import metric_title
from rediffuse.reporting.experiments.cells import Cell
from rediffuse.reporting.experiments.comparison import by_variance, in_short
from rediffuse.reporting.read.frames import read_frames
from rediffuse.reporting.terms import (
    AS_REAL,
    BASELINE,
    IMPROVED,
    VARIETY,
    aim,
    axis_value,
    metrics_title,
    run_colours,
    run_label,
    run_seeds,
    setting_title,
    setting_words,
)
from rediffuse.reporting.values import number, spans
from tests.reporting.made_cells import cell
from tests.reporting.study_tree import PROJECT, StudyTree


def test_a_sampler_of_an_experiment_is_called_by_the_options_that_it_has_there(tmp_path: Path) -> None:
    study, smoke = tmp_path / "smoke.yaml", (PROJECT / "studies/smoke.yaml").read_text()
    study.write_text(
        smoke.replace("experiment_samplers: {ddim: {", "experiment_samplers: {ddim: {spacing: quadratic, ")
    )
    loaded = load_study(study)
    titles = {name: axis_value(loaded, asks, "sampler", "ddim") for name, asks in loaded.study.experiments.items()}
    trained = {"parts", "schedule"}  # by arms, and by an axis
    assert titles == {name: "DDIM (quadratic spacing)" if name in trained else "DDIM" for name in titles}


def test_only_inception_v3_gives_a_fid_and_an_inception_score() -> None:
    assert metric_title("frechet_distance", "inception-v3") == "FID"
    assert metric_title("inception_score", "inception-v3") == "Inception score"
    for features in ("efficientnet-lite0", "inception-v3-clean", "torchscript:net.pt"):
        assert "FID" not in metric_title("frechet_distance", features)
        assert "Inception score" not in metric_title("inception_score", features)


@pytest.mark.parametrize(
    ("value", "text"),
    [(3687.4, "3687"), (84.2149, "84.21"), (0.05, "0.05000"), (0.0, "0"), (7, "7"), (2e-6, "2.000e-06")],
)
def test_numbers_have_four_significant_digits(value: float, text: str) -> None:
    assert number(value) == text


def test_baseline_and_improved_keep_their_colours(empty_tree: StudyTree) -> None:
    colours = run_colours(empty_tree.loaded)
    assert (colours["baseline"], colours["improved"]) == (BASELINE, IMPROVED)
    assert len(set(colours.values())) == len(colours) == 5


@pytest.mark.parametrize(
    ("improved", "verdict"),
    [
        (
            (50, 50),
            (
                "Improved DDPM is clearly better in all 2 (most with 50 steps of ancestral sampling: 50 against 100), "
                "DDPM in none"
            ),
        ),
        (
            (50, 200),
            (
                "Improved DDPM is clearly better in 1 (with 50 steps of ancestral sampling: 50 against 100), "
                "DDPM in 1 (with 5"
            ),
        ),
        ((100, 100), "Improved DDPM is clearly better in none, DDPM in none; 2 are undecided"),
        ((100, 200), "is clearly better in none, DDPM in 1 (with 5 steps of DDIM: 100 against 200); 1 is undecided"),
    ],
)
def test_the_first_sentence_says_whether_the_improved_run_wins(
    empty_tree: StudyTree, improved: tuple[float, float], verdict: str
) -> None:
    values = {("improved", s): v for s, v in zip(("ancestral-50", "ddim-5"), improved, strict=True)}
    values |= {("baseline", "ancestral-50"): 100, ("baseline", "ddim-5"): 100}
    cells = {
        (run, setting, "frechet_distance"): Cell(
            run, setting, "frechet_distance", value, value - 5, value + 5, 8, (0,), "test", ()
        )
        for (run, setting), value in values.items()
    }
    sentence = in_short(read_frames(empty_tree.loaded, empty_tree.root, empty_tree.plan), cells)
    assert verdict in sentence
    wins = [int(value < 95) for value in improved]
    assert sentence.endswith(
        f"; 1 pair not run. Improved DDPM wins {wins[0]} of 1 by ancestral sampling "
        f"(variance learned-range against fixed-large) and {wins[1]} of 1 by DDIM."
    )


def test_the_opening_tells_the_baseline_with_another_variance_too() -> None:
    loaded = load_study(PROJECT / "studies/digits.yaml")
    pair = loaded.run("baseline"), loaded.run("improved")
    shared = ["ancestral-20", "ancestral-10", "ddim-20"]
    values = {("improved", "ancestral-20"): 100, ("improved", "ancestral-10"): 300, ("improved", "ddim-20"): 1}
    values |= {("baseline", f"ancestral-small-{steps}"): 200 for steps in (20, 10)}
    cells = {(*place, "frechet_distance"): cell(value) for place, value in values.items()}
    assert by_variance(pair, shared, cells, "frechet_distance") == (
        "Against DDPM with the variance fixed-small instead, at the same steps, Improved DDPM is clearly better in 1 "
        "(with 20 steps: 100 against 200), DDPM in 1 (with 10 steps: 200 against 300)."
    )
    assert by_variance(pair, ["ddim-20"], cells, "frechet_distance") == ""


def test_what_metrics_are_measured_with_is_said_once() -> None:
    told = metrics_title(("frechet_distance", "kid", "diversity"), "efficientnet-lite0")
    assert told == "Fréchet distance and kernel distance (KID formula) in EfficientNet-Lite0 features and diversity"


@pytest.mark.parametrize(
    ("setting", "title", "words"),
    [
        ("ddim-5", "DDIM, 5 steps", "5 steps of DDIM"),
        ("ancestral-50", "Ancestral, 50 steps", "50 steps of ancestral sampling"),
        ("classifier-1-5", "DDIM (classifier scale 1), 5 steps", "5 steps of DDIM (classifier scale 1)"),
    ],
)
def test_a_setting_is_called_what_people_call_it(empty_tree: StudyTree, setting: str, title: str, words: str) -> None:
    assert setting_title(empty_tree.loaded, "improved", setting) == title
    assert setting_words(empty_tree.loaded, "improved", setting) == words


def test_values_of_several_seeds_are_told_by_their_ends_and_alike_ones_once() -> None:
    found = [("DDPM", 0.31), ("VAE", 2.0), ("DDPM", 0.12), ("DDPM", 0.2), ("GAN", 1.001), ("GAN", 1.002)]
    assert spans(found, "{:.2f}".format) == {"DDPM": "0.12 to 0.31", "VAE": "2.00", "GAN": "1.00"}


def test_a_training_without_a_name_is_called_by_its_start_and_what_was_set(empty_tree: StudyTree) -> None:
    assert run_label(empty_tree.loaded, "improved-seeds") == "Improved DDPM"
    assert run_label(empty_tree.loaded, "baseline") == "DDPM"


def test_some_seeds_of_a_run_are_named_and_all_of_them_are_not(empty_tree: StudyTree) -> None:
    run = empty_tree.loaded.ablations["improved-seeds"]
    assert run_seeds(run, list(run.seeds)) == run.label
    assert run_seeds(run, [1]) == f"{run.label} (seed 1)"


def test_variety_is_best_as_real_images_have_it_and_quality_has_a_direction() -> None:
    assert aim("frechet_distance") == "lower is better"
    assert aim("recall") == "higher is better"
    assert {aim(metric) for metric in AS_REAL} == {"best as real images have it"}
    assert set(VARIETY) < set(AS_REAL)
