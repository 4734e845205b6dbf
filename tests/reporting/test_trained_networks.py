"""What trained networks tell by themselves, in cells, claims, evidence and chapters."""

import numpy as np
import pytest
import scipy.stats
import yaml

from rediffuse.reporting import write_ablations
from rediffuse.reporting.chapters import loss_and_quality, prediction_errors, steadiness
from rediffuse.reporting.chapters.loss_and_quality import Pairs
from rediffuse.reporting.experiments.claims import judge
from rediffuse.reporting.experiments.material import Material, conclude
from rediffuse.reporting.experiments.results import result_of
from rediffuse.reporting.read.frames import read_frames
from rediffuse.reporting.render.picture import Picture, styled
from rediffuse.reporting.render.table import Table
from tests.reporting.study_tree import PROJECT, StudyTree

PAIR = {"source": "a test", "better": "improved/trained", "worse": "baseline/trained"}


@pytest.fixture(scope="module")
def material(tmp_path_factory: pytest.TempPathFactory) -> Material:
    """The smoke study, whose spread over seeds is asked for gradient noise too."""
    root = tmp_path_factory.mktemp("networks")
    study = yaml.safe_load((PROJECT / "studies" / "smoke.yaml").read_text())
    study["experiments"]["spread"]["metrics"] = ["frechet_distance", "gradient_noise", "parameters"]
    study["claims"] = [
        {"claim": "The improved network has quieter gradients", "metric": "gradient_noise", **PAIR},
        {"claim": "It is smaller", "metric": "parameters", **PAIR},
        {"claim": "It is no larger", "metric": "parameters", "same": [PAIR["better"], PAIR["worse"]], "within": 1}
        | {"source": "a test"},
    ]
    (root / "study.yaml").write_text(yaml.safe_dump(study))
    tree = StudyTree(root, root / "study.yaml").everything()
    for seed in (1, 2):
        tree.run(tree.loaded.ablations["improved-seeds"], seed)
    write_ablations(tree.loaded, tree.plan, tree.root)
    return conclude(read_frames(tree.loaded, tree.root, tree.plan), tree.plan)


def test_a_claim_of_networks_is_judged_and_what_is_exact_decides(material: Material):
    assert [verdict.verdict for verdict in material.verdicts[:3]] == ["holds", "does not hold", "holds"]


def test_what_was_measured_and_came_to_no_number_was_run_all_the_same(material: Material):
    cells = {
        place: cell for place, cell in material.cells.items() if place != ("improved", "trained", "gradient_noise")
    }
    first = judge(material.loaded, cells)[0]
    assert first.verdict == "undecided"
    assert first.reason == (
        "Gradient noise of Improved DDPM was measured, and has no upper end: the mean gradient, by which it is "
        "divided, cannot be told from 0 beside its noise"
    )


def test_a_linear_formula_is_bounded_by_a_noise_level_only_where_it_has_one(material: Material):
    one = prediction_errors.shown(material.frames)[0]
    # It errs by 1, and the formula by less from a ratio of 1 on.
    levels = ((10.0, 2.0), (1.0, 0.5), (0.1, 0.5))
    rows = [
        {"t": t, "snr": snr, "held-out": {"eps": 1.0, "eps_linear": linear}} for t, (snr, linear) in enumerate(levels)
    ]
    bounded, nowhere = (
        prediction_errors._words(material, [one._replace(record=one.record | {"by_t": part})])
        for part in (rows, rows[1:])
    )
    assert bounded.endswith("A linear formula errs less than DDPM (ε) at 2 of 3 times (all at SNR 1.0 or less).")
    assert nowhere.endswith("A linear formula errs less than DDPM (ε) at 2 of 2 times.")


def test_the_seeds_of_an_experiment_join_those_of_the_main_run(material: Material):
    cell = material.cells["improved-seeds", "trained", "gradient_noise"]
    assert cell.seeds == (0, 1, 2)
    assert cell.value == pytest.approx(5.1)
    exact = material.cells["improved-seeds", "trained", "parameters"]
    assert (exact.low, exact.value, exact.high) == (200_016,) * 3


def test_an_experiment_shows_the_value_of_the_run_whatever_the_sampler(material: Material):
    rows = result_of(material, material.loaded.experiments["spread"]).rows
    values = [row.cells["gradient_noise"].value for row in rows if row.cells["gradient_noise"]]
    assert values == [pytest.approx(5.1)]


def test_only_runs_whose_experiment_asks_are_probed(material: Material):
    asked = {name for name, run in {**material.loaded.runs, **material.loaded.ablations}.items() if run.probed}
    assert asked == {"baseline", "improved", "improved-seeds"}


def test_the_steadier_recipe_is_named_in_one_sentence(material: Material):
    # 10 ± 1 against 5.0, 5.1 and 5.2 over three seeds.
    assert steadiness.sentence(material).startswith("Improved DDPM trains more steadily than DDPM by the noise")


def test_the_questions_of_d3_are_answered_with_the_numbers_of_the_network(material: Material):
    (one, *_) = prediction_errors.shown(material.frames)
    why, what_for = prediction_errors.questions(one)
    rows = one.record["by_t"]
    t, eps = (np.array([row[key] if key == "t" else row["held-out"][key] for row in rows]) for key in ("t", "eps"))
    mean = np.trapezoid(eps, t) / t[-1]
    assert f"the loss stops falling long before 0, as D3 saw: the mean over t is {mean:.4f} on 8 held-out" in why
    assert "2.0 times as much" in what_for


def test_a_network_that_is_hardly_trained_shows_neither_a_floor_of_the_loss_nor_what_t_is_for(material: Material):
    (one, *_) = prediction_errors.shown(material.frames)
    rows = [
        {**row, "held-out": {**row["held-out"], "eps": 4 * row["held-out"]["eps_linear"], "eps_mistold": 1.61}}
        for row in one.record["by_t"]
    ]
    why, what_for = prediction_errors.questions(one._replace(record={**one.record, "by_t": rows}))
    assert "most of the error is the network's own, which errs 4.0 times as much as a linear formula" in why
    assert "hardly more: this network makes little of its t" in what_for


@pytest.mark.parametrize(("times", "own"), [(1.8, False), (2.2, True)])
def test_most_of_an_error_is_the_networks_own_from_twice_that_of_a_formula_on(
    material: Material, times: float, own: bool
):
    (one, *_) = prediction_errors.shown(material.frames)
    rows = [
        {**row, "held-out": {**row["held-out"], "eps": times * row["held-out"]["eps_linear"]}}
        for row in one.record["by_t"]
    ]
    why, _ = prediction_errors.questions(one._replace(record={**one.record, "by_t": rows}))
    assert ("most of the error is the network's own" in why) is own


def test_a_mean_that_one_steep_stretch_makes_is_called_too_much(material: Material):
    (one, *_) = prediction_errors.shown(material.frames)
    assert prediction_errors._steep(material, [one]) == ""
    rows = [
        {**row, "held-out": {**row["held-out"], "eps": 80.0 if row["t"] == 0 else 0.1}} for row in one.record["by_t"]
    ]
    # A trapezoid of (80 + 0.1)/2 over the first stretch, rectangles of 0.1 over the rest.
    t = [row["t"] for row in rows]
    first, rest = (t[1] - t[0]) * 40.05, (t[-1] - t[1]) * 0.1
    told = prediction_errors._steep(material, [one._replace(record={**one.record, "by_t": rows})])
    assert told.startswith(f"({100 * first / (first + rest):.0f} % of that of DDPM (ε) lies between t = 0 and {t[1]}")
    assert "falls from 80.00 to 0.1000" in told


def test_the_table_of_errors_has_five_times_of_each_network(material: Material):
    with styled():
        chapter = prediction_errors.chapter(material)
    assert chapter is not None
    (table,) = [item for item in chapter.items if isinstance(item, Table)]
    assert [row[2] for row in table.rows if row[0] == "DDPM"] == [0, 12, 25, 37, 49]
    assert any(isinstance(item, Picture) for item in chapter.items)


def test_the_correlation_is_spearmans_and_its_interval_holds_it():
    random = np.random.default_rng(0)
    x = random.normal(size=12)
    y = x + random.normal(size=12)
    found = Pairs("", "", tuple(x), tuple(y), ()).rho()
    assert found.value == pytest.approx(scipy.stats.spearmanr(x, y).statistic)
    assert found.low < found.value < found.high
    assert Pairs("", "", (1.0, 2.0, 3.0, 4.0, 5.0), (1.0, 4.0, 9.0, 16.0, 25.0), ()).rho().low == pytest.approx(1)


def test_too_few_networks_say_nothing_of_loss_and_quality(material: Material):
    # Two main runs and two seeds more are four.
    assert loss_and_quality.across(material) is None
