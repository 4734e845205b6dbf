"""Verdicts on the claims of a study: from its files to claims.json, the report's table and the verb."""

import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from rediffuse.cli import main
from rediffuse.config import load_study
from rediffuse.evaluation.intervals import t_half_width
from rediffuse.files import read_json
from rediffuse.formats import write_json
from rediffuse.reporting import write_ablations
from rediffuse.reporting.chapters import claims as chapter
from rediffuse.reporting.experiments.cells import Cell, Cells, all_cells
from rediffuse.reporting.experiments.claims import claims_json, judge, tally
from rediffuse.reporting.experiments.material import conclude
from rediffuse.reporting.read.frames import read_frames
from rediffuse.reporting.read.trained import losses
from tests.reporting.made_cells import cell
from tests.reporting.study_tree import PROJECT, StudyTree


@pytest.mark.parametrize(
    ("better", "worse", "verdict"),
    [
        (cell(10), cell(20), "holds"),
        (cell(20), cell(10), "does not hold"),
        (cell(10), cell(11), "undecided"),
        (None, cell(10), "not run"),
        (cell(10), None, "not run"),
    ],
)
def test_verdict(empty_tree: StudyTree, better: Cell | None, worse: Cell | None, verdict: str) -> None:
    names = {("improved", "ancestral-5"): better, ("baseline", "ancestral-5"): worse}
    cells = {(*name, "frechet_distance"): found for name, found in names.items() if found is not None}
    assert judge(empty_tree.loaded, cells)[0].verdict == verdict


def test_the_claims_of_the_study_come_first_and_those_of_experiments_follow() -> None:
    loaded = load_study(PROJECT / "studies" / "digits.yaml")
    found = judge(loaded, {})
    own, asked = len(loaded.study.claims), [(n, one) for n, one in loaded.study.experiments.items() if one.claims]
    assert [(item.where, item.experiment) for item in found[:own]] == [(f"claims.{n}", None) for n in range(own)]
    places = [(f"experiments.{name}.claims.{n}", name) for name, one in asked for n in range(len(one.claims))]
    assert [(item.where, item.experiment) for item in found[own:]] == places


def test_the_tally_counts_verdicts(empty_tree: StudyTree) -> None:
    assert tally(judge(empty_tree.loaded, {})) == "Of 2 claims, 2 were not run."


def test_a_verdict_names_values_numbers_of_images_and_files(tree: StudyTree) -> None:
    (first, _) = claims_json(conclude(read_frames(tree.loaded, tree.root)).verdicts)
    # 75 + 900/5 of the improved model, three times as far above 75 of the baseline; ± 2 %.
    assert first["verdict"] == "holds"
    assert [(value["cell"], value["value"], value["n"]) for value in first["values"]] == [
        ("improved/ancestral-5", pytest.approx(255), 20),
        ("baseline/ancestral-5", pytest.approx(615), 20),
    ]
    assert (
        "255.0 [249.9, 260.1] (Improved DDPM with 5 steps of ancestral sampling, n = 20) against 615.0"
        in first["evidence"]
    )
    assert first["files"] == [f"runs/smoke/{run}/seed0/metrics/ancestral-5.json" for run in ("improved", "baseline")]


def test_a_claim_known_to_be_wrong_does_not_hold(tree: StudyTree) -> None:
    tree.set_distance("improved", "ancestral-5", 900.0)
    verdict = conclude(read_frames(tree.loaded, tree.root)).verdicts[0]
    assert verdict.verdict == "does not hold"
    assert verdict.reason.endswith("the other way round")


def trained(tree: StudyTree, name: str, *seeds: int) -> Cells:
    """The cells after a run of an experiment was trained and gathered, and its files are gone."""
    for seed in seeds:
        tree.run(tree.loaded.ablations[name], seed, scale=1 + seed / 10)
    write_ablations(tree.loaded, tree.plan, tree.root)
    return all_cells(read_frames(tree.loaded, tree.root, tree.plan))


def test_what_an_experiment_trained_has_cells_from_the_evidence(tree: StudyTree) -> None:
    found = trained(tree, "width-halved", 0)["width-halved", "ddim-5", "frechet_distance"]
    assert found.value == pytest.approx(75 + 200 / 5)
    assert found.seeds == (0,)
    assert len(found.parts[0].groups) == 2
    assert found.files == ("reports/smoke/evidence/ablations.json#width-halved/seed0",)


def test_evidence_of_other_overrides_is_that_of_another_run(tree: StudyTree) -> None:
    trained(tree, "width-halved", 0)
    path = tree.out / "evidence" / "ablations.json"
    [record] = read_json(path)
    write_json(path, [{**record, "overrides": {"network": {"channels": 2}}}])
    frames = read_frames(tree.loaded, tree.root, tree.plan)
    assert ("width-halved", "ddim-5", "frechet_distance") not in all_cells(frames)
    assert ("width-halved", 0) not in losses(frames)


def test_further_seeds_of_a_main_run_are_pooled_with_its_own(tree: StudyTree) -> None:
    cells = trained(tree, "improved-seeds", 1, 2)
    found = cells["improved-seeds", "ddim-5", "frechet_distance"]
    # 75 + 200·(1 + seed/10)/5 for the seeds 0, 1 and 2.
    assert [part.value for part in found.parts] == pytest.approx([115, 119, 123])
    assert (found.value, found.seeds) == (pytest.approx(119), (0, 1, 2))
    assert found.half == pytest.approx(t_half_width([115, 119, 123]))
    # What stands under the main run's own name is that of its own seeds, as all that it is compared with.
    assert cells["improved", "ddim-5", "frechet_distance"].seeds == (0,)


def test_further_seeds_that_were_not_run_have_no_cell_of_their_own(tree: StudyTree) -> None:
    cells = all_cells(read_frames(tree.loaded, tree.root, tree.plan))
    assert ("improved-seeds", "ddim-5", "frechet_distance") not in cells


def test_losses_are_known_of_main_and_of_trained_runs(tree: StudyTree) -> None:
    trained(tree, "width-halved", 0)
    found = losses(read_frames(tree.loaded, tree.root, tree.plan))
    for run in ("baseline", "width-halved"):
        lines = (tree.folder(run) / "history.csv").read_text().splitlines()
        head = lines[0].split(",")
        wanted = [[float(line.split(",")[head.index(name)]) for name in ("step", "loss")] for line in lines[1:]]
        assert [list(row) for row in found[run, 0].rows] == wanted


def test_the_table_says_who_claims_what(tree: StudyTree) -> None:
    frames = read_frames(tree.loaded, tree.root, tree.plan)
    shown = chapter.table(frames, conclude(frames).verdicts)
    rows = [dict(zip([column.title for column in shown.columns], row, strict=True)) for row in shown.rows]
    assert [row["Claimed by"] for row in rows] == ["comparison", "stochasticity"]
    assert [str(row["Verdict"]) for row in rows] == ["✓ holds", "✓ holds"]


def said(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], root: Path, *words: str) -> str:
    monkeypatch.chdir(root)
    study = str(PROJECT / "studies" / "smoke.yaml")
    monkeypatch.setattr(sys, "argv", ["rediffuse", "claims", "--study", study, *words])
    with pytest.raises(SystemExit) as ended:
        main()
    assert not ended.value.code
    return capsys.readouterr().out


def test_the_verb_prints_each_claim_with_its_verdict(
    tree: StudyTree, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    text = " ".join(said(monkeypatch, capsys, tree.root).split())
    assert "Of 2 claims, 2 hold." in text
    assert "255.0 [249.9, 260.1]" in text
    found = json.loads(said(monkeypatch, capsys, tree.root, "--json"))
    assert found == json.loads(json.dumps(claims_json(conclude(read_frames(tree.loaded, tree.root)).verdicts)))


def test_the_verb_says_what_was_not_run(
    empty_tree: StudyTree, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    text = said(monkeypatch, capsys, empty_tree.root)
    assert "Of 2 claims, 2 were not run." in text
    assert not list(empty_tree.root.iterdir())


def test_a_claim_is_told_with_the_values_that_it_compares(tree: StudyTree) -> None:
    verdict = conclude(read_frames(tree.loaded, tree.root)).verdicts[0]
    told = verdict.told("efficientnet-lite0")
    assert told.startswith(f"Holds: {verdict.claim.claim}. Fréchet distance 255.0 [249.9, 260.1] against 615.0 [")
    assert "]; the difference in the claim's favour over 2 groups from the same noise is 360.0 [" in told


def test_cells_are_called_in_a_reason_what_the_report_calls_them(tmp_path: Path) -> None:
    study = yaml.safe_load((PROJECT / "studies" / "smoke.yaml").read_text())
    steps = ["baseline/ancestral-50", "baseline/ddim-5", "baseline/ancestral-5"]
    study["claims"] = [{"claim": "Fewer steps are better", "source": "a test", "trend": "falling", "cells": steps}]
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(study))
    found = {("baseline", name.split("/")[1]): value for name, value in zip(steps, (100, 100, 200), strict=True)}
    cells = {
        (*place, "frechet_distance"): replace(cell(value, n=20), run=place[0], setting=place[1])
        for place, value in found.items()
    }
    verdict = judge(load_study(tmp_path / "study.yaml"), cells)[0]
    assert verdict.reason.startswith(
        "from DDPM with 5 steps of DDIM to DDPM with 5 steps of ancestral sampling it is clearly rising"
    )
