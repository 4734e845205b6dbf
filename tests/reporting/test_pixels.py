"""Metrics of pixels: computed by the report of what asks for them, and the only ones of variations of one image."""

from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from rediffuse.config import load_study
from rediffuse.config.yaml12 import read_yaml
from rediffuse.errors import UserError
from rediffuse.evaluation.distances import pixel_diversity
from rediffuse.evaluation.intervals import grouped
from rediffuse.reporting.experiments.cells import all_cells
from rediffuse.reporting.read.frames import read_frames
from tests.reporting.study_tree import PROJECT, StudyTree

SMOKE = PROJECT / "studies" / "smoke.yaml"
SETTING = "ddim-variations-0.1-5"


def pairs(images: np.ndarray) -> float:
    """D4's measure, one pair after the other."""
    return float(np.mean([np.linalg.norm((a / 255.0 - b / 255.0).ravel()) for a, b in combinations(images, 2)]))


def test_it_is_the_mean_distance_over_all_pairs():
    images = np.random.default_rng(1).integers(0, 256, (7, 3, 4, 4), dtype=np.uint8)
    assert pixel_diversity(images) == pytest.approx(pairs(images), rel=1e-12)


def test_what_an_experiment_asks_for_is_measured_on_the_samples_in_the_groups_of_the_other_metrics(tmp_path: Path):
    tree = StudyTree(tmp_path, SMOKE)
    tree.run(tree.loaded.run("baseline"), 0)
    cells = all_cells(read_frames(tree.loaded, tree.root, tree.plan))
    with np.load(tree.folder("baseline") / "samples" / f"{SETTING}.npz") as samples:
        images = samples["images"]
    wanted = grouped([pairs(images[:20]), pairs(images[20:40])], 20)
    cell = cells["baseline", SETTING, "pixel_diversity"]
    assert (cell.value, cell.low, cell.high, cell.n) == pytest.approx((wanted.value, wanted.low, wanted.high, 20))
    # Nobody asks it of the others.
    assert ("baseline", "ddim-5", "pixel_diversity") not in cells


@pytest.mark.parametrize(
    ("metrics", "claim", "said"),
    [
        (
            ["frechet_distance"],
            None,
            "experiments.variations.metrics: there is no frechet_distance of baseline/ddim-var",
        ),
        (["diversity"], "kid", "has no kid in this study"),
    ],
)
def test_variations_of_one_image_have_no_metric_of_quality(
    metrics: list[str], claim: str | None, said: str, tmp_path: Path
):
    study: dict[str, Any] = read_yaml(SMOKE)
    asked = study["experiments"]["variations"]
    asked["metrics"] = metrics
    if claim:
        cells = {"better": "baseline/ddim-variations-1-5", "worse": f"baseline/{SETTING}"}
        asked["claims"] = [{"claim": "They are better", "source": "nobody", "metric": claim, **cells}]
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(study))
    with pytest.raises(UserError) as refused:
        load_study(tmp_path / "study.yaml")
    assert said in str(refused.value)
