"""Samplers in the report: what each is, how often it asked the network, and one that chooses its steps itself."""

import csv
import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import pytest
import yaml

from rediffuse.reporting.chapters import fidelity, quality, samples, setup, training
from rediffuse.reporting.experiments.cells import Cells, make_cells
from rediffuse.reporting.experiments.material import conclude
from rediffuse.reporting.read.frames import Frames, read_frames
from rediffuse.reporting.read.timings import read_timings
from rediffuse.reporting.render.table import Table
from tests.reporting.study_tree import PROJECT, StudyTree

SAMPLERS = {
    "ode-adaptive": {"tolerance": [0.01, 0.1], "fractional": False},
    "ancestral": {"steps": [5, 50], "step_temperature": 0.7},
    "dpm": {"kind": "dpm-solver-pp", "steps": [5], "order": 1, "spacing": "quadratic"},
    "near": {"kind": "ddim", "steps": [5], "eta": 1, "variations": 0.2},
}

# As a reader meets them.
ADAPTIVE = "Probability-flow ODE adaptive (fractional false)"
COOLED = "Ancestral (noise of steps × 0.7)"
SOLVER = "DPM-Solver++ 1S (quadratic spacing)"
NEAR = "DDIM (η = 1, variations 0.2)"


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> StudyTree:
    """A study with the samplers above; whatever chooses its steps asked 30 times."""
    root = tmp_path_factory.mktemp("samplers")
    study = yaml.safe_load((PROJECT / "studies" / "smoke.yaml").read_text())
    study["defaults"]["sampling"]["samplers"] = SAMPLERS
    study["runs"] = {"baseline": study["runs"]["baseline"]}
    study |= {"experiments": {}, "claims": []}
    path = Path(root, "study.yaml")
    path.write_text(yaml.safe_dump(study, sort_keys=False))
    return StudyTree(root / "project", path).everything()


@pytest.fixture(scope="module")
def frames(tree: StudyTree) -> Frames:
    return read_frames(tree.loaded, tree.root, tree.plan)


@pytest.fixture(scope="module")
def cells(frames: Frames) -> Cells:
    return make_cells(frames.measured())


def rows(table: Table | None) -> list[dict[str, str]]:
    assert table is not None
    return list(csv.DictReader(io.StringIO(table.csv())))


def test_each_sampler_is_told_with_the_options_that_were_set(frames: Frames):
    told = {row["Key"]: (row["Sampler"], row["η"], row["Other options"]) for row in rows(setup.samplers(frames))}
    assert told == {
        "ode-adaptive": (ADAPTIVE, "—", "fractional false"),
        "ancestral": (COOLED, "—", "step_temperature 0.7"),
        "dpm": (SOLVER, "—", "spacing quadratic, order 1"),
        "near": (NEAR, "1", "variations 0.2"),
    }


def test_settings_stand_in_the_tables_the_finest_first_those_that_choose_their_steps_last(frames: Frames, cells: Cells):
    assert [row["Steps"] for row in rows(fidelity.table(frames, cells))[:2]] == ["tol0.01", "tol0.1"]


def test_every_value_has_its_network_evaluations_beside_it(frames: Frames):
    found = {(row["Sampler"], row["Steps"]): row for row in rows(quality.quality(frames, ["frechet_distance"]))}
    assert found[ADAPTIVE, "tol0.1"]["Network evaluations"] == "30"
    assert found[NEAR, "5"]["Network evaluations"] == "5"


def test_quality_is_drawn_against_network_evaluations(frames: Frames, cells: Cells):
    counted = quality.evaluations(frames)
    assert counted["baseline", "ode-adaptive-tol0.01"] == 30
    assert counted["baseline", "ancestral-50"] == 50
    picture = quality.quality_by_sampler(frames, cells)
    assert "network" in getattr(picture, "caption", "")
    plt.close("all")


def test_the_first_figure_shows_every_pair_that_the_opening_compares(tmp_path: Path):
    study = yaml.safe_load((PROJECT / "studies" / "smoke.yaml").read_text())
    vary = study["experiments"]["comparison"]["vary"]
    vary["steps"] = [5, 10]  # of which the runs themselves have one
    vary["sampler"] = [*vary["sampler"], "plms"]  # which they have not
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(study, sort_keys=False))
    tree = StudyTree(tmp_path / "project", tmp_path / "study.yaml").everything()
    frames = read_frames(tree.loaded, tree.root, tree.plan)
    cells = make_cells(frames.measured())
    lines = quality._lines(frames, cells)
    assert quality.quality_by_sampler(frames, cells) is not None
    plt.close("all")
    for run in ("baseline", "improved"):
        assert {steps for _, _, steps in lines[run, "ancestral"]} == {5, 10, 50}
        for sampler in ("ddim", "plms"):
            assert {steps for _, _, steps in lines[run, sampler]} == {5, 10}


@pytest.mark.parametrize("lowest", [300, -5])
def test_every_value_lies_within_the_axes(frames: Frames, cells: Cells, monkeypatch: pytest.MonkeyPatch, lowest: float):
    # Far enough apart for a logarithmic axis, and above or below 0 at their lowest end.
    far = {
        key: replace(cell, value=400.0 * 2**n, low=lowest + n, high=500.0 * 2**n)
        for n, (key, cell) in enumerate((k, c) for k, c in cells.items() if k[2] == "frechet_distance")
    }
    monkeypatch.setattr(quality.picture, "finish", lambda figure, *words: figure)
    figure: Any = quality.quality_by_sampler(frames, far)
    drawn = [(axes.get_ylim(), float(y)) for axes in figure.axes for line in axes.lines for y in line.get_ydata()]
    assert len(drawn) > 10
    assert [(low, y, high) for (low, high), y in drawn if not low <= y <= high] == []
    plt.close("all")


def test_sheets_of_samples_and_times_name_a_tolerance(tree: StudyTree, frames: Frames, cells: Cells):
    clock = read_timings(tree.loaded, tree.plan, tree.root)
    assert samples.samples_by_steps(frames, cells, tree.loaded.run("baseline")) is not None
    assert quality.quality_against_seconds(frames, clock, cells) is not None
    table = training.sampling(conclude(frames), clock)
    assert "tol0.01" in [row["Steps"] for row in rows(table)]
    plt.close("all")
