"""The chapters on schedules and weightings, against NumPy's own arithmetic."""

import csv
import io
import math
from pathlib import Path

import numpy as np
import pytest
import yaml

from rediffuse.reporting.chapters import schedules
from rediffuse.reporting.experiments.material import Material, conclude
from rediffuse.reporting.read.frames import read_frames
from rediffuse.reporting.render.blocks import Chapter
from rediffuse.reporting.render.table import Table
from tests.reporting.study_tree import PROJECT, StudyTree


@pytest.fixture(scope="module")
def material(tmp_path_factory: pytest.TempPathFactory) -> Material:
    """The smoke study with D4's T of 1000 and an ablation of its own schedule: nothing of it needs to have run."""
    study = yaml.safe_load((PROJECT / "studies" / "smoke.yaml").read_text())
    study["defaults"]["diffusion"]["timesteps"] = 1000
    study["experiments"]["gentler"] = {
        "question": "?",
        "arms": {"gentler": {"diffusion": {"schedule": "d4-quadratic"}}},
    }
    path: Path = tmp_path_factory.mktemp("study") / "smoke.yaml"
    path.write_text(yaml.safe_dump(study, sort_keys=False))
    tree = StudyTree(tmp_path_factory.mktemp("tree"), path)
    return conclude(read_frames(tree.loaded, tree.root, tree.plan), tree.plan)


def rows(chapter: Chapter | None, name: str) -> list[dict[str, str]]:
    assert chapter is not None
    table = next(item for item in chapter.items if isinstance(item, Table) and item.name == name)
    return list(csv.DictReader(io.StringIO(table.csv())))


def alphas_bar(schedule: str) -> np.ndarray:
    if schedule == "linear":
        return np.cumprod(1 - np.linspace(1e-4, 0.02, 1000))
    f = [math.cos((t / 1000 + 0.008) / 1.008 * math.pi / 2) ** 2 for t in range(1001)]
    return np.cumprod([1 - min(1 - f[t + 1] / f[t], 0.999) for t in range(1000)])


@pytest.mark.parametrize("schedule", ["linear", "cosine"])
def test_signal_and_snr_are_shown_at_the_five_times_of_document_d4(material: Material, schedule: str) -> None:
    kept = alphas_bar(schedule)[[0, 250, 500, 750, 999]]
    for name, expected in (("schedule-signal", np.sqrt(kept)), ("schedule-snr", kept / (1 - kept))):
        row = next(row for row in rows(schedules.chapter(material), name) if row["Schedule"] == schedule)
        shown = [float(row[f"t = {place}"]) for place in ("0", "T/4", "T/2", "3T/4", "T − 1")]
        np.testing.assert_allclose(shown, expected, rtol=6e-4)  # four digits
        assert row["T"] == "1000"


def test_every_schedule_of_the_registry_has_a_row_and_those_of_the_runs_say_whose_they_are(material: Material) -> None:
    found = {row["Schedule"]: row["Runs or ablations"] for row in rows(schedules.chapter(material), "schedule-snr")}
    assert found == {
        "linear": "DDPM",
        "cosine": "Improved DDPM",
        "d4-quadratic": "gentler",
        **dict.fromkeys(("quadratic", "sigmoid", "piecewise", "d4-piecewise"), "—"),
    }


@pytest.mark.parametrize("schedule", ["linear", "cosine"])
def test_the_weightings_are_told_by_least_largest_mean_and_deviation(material: Material, schedule: str) -> None:
    ab = alphas_bar(schedule)
    before = np.concatenate([[1.0], ab[:-1]])
    alpha, snr = ab / before, ab / (1 - ab)
    beta = 1 - alpha
    posterior = beta * (1 - before) / (1 - ab)
    posterior[0] = posterior[1]
    expected = {
        "none and snr": np.ones(1000),
        "inverse-snr": 1 / (1 + snr),
        "min-snr": np.minimum(snr, 5) / snr,
        "importance, σ² = β": beta**2 / (2 * beta * alpha * (1 - ab)),
        "importance, σ² = β̃": beta**2 / (2 * posterior * alpha * (1 - ab)),
        "none, x₀ predicted": 1 / snr,
        "none, v predicted": 1 + 1 / snr,
        "none, μ predicted": (np.sqrt(before) * beta / (1 - ab)) ** 2 / snr,
    }
    found = [row for row in rows(schedules.weightings(material), "weightings") if row["Schedule"] == schedule]
    assert [row["Weighting"] for row in found] == list(expected)
    for row, weight in zip(found, expected.values(), strict=True):
        shown = [float(row[name]) for name in ("Least", "Largest", "Mean", "Standard deviation")]
        # Four digits; ᾱ of the last cosine steps loses some where 1 − β is small.
        np.testing.assert_allclose(shown, [weight.min(), weight.max(), weight.mean(), weight.std()], rtol=6e-4)


def test_the_first_sentence_says_what_is_left_halfway(material: Material) -> None:
    # √ᾱ at t = 500: 0.28 with Ho's schedule, 0.70 with IDDPM's.
    chapter = schedules.chapter(material)
    assert chapter is not None
    assert "0.28 with the linear schedule (DDPM) and 0.70 with the cosine schedule" in str(chapter.items[0])
