"""The documents' mistakes on a trained network: every distance is that of its images, in pairs from the same noise."""

import json

import numpy as np
import pytest

from rediffuse.corrections.registry import variants_of
from rediffuse.pipeline.context import Context
from tests.stages.conftest import do, judge_of, open_study
from tests.stages.test_during_training import FOLDER, study

IMAGES, GROUPS = 8, 2


@pytest.fixture(scope="module")
def context(tmp_path_factory: pytest.TempPathFactory) -> Context:
    content = study() | {"corrections": {"images": IMAGES, "steps": 3, "many_steps": 4}}
    context = open_study(tmp_path_factory.mktemp("study"), content)
    for stage in ("prepare", "reference"):
        do(context, stage)
    for stage in ("train", "corrections"):
        do(context, stage, "improved")
    return context


def test_each_distance_is_that_of_the_groups_of_its_images(context: Context):
    record = json.loads((context.root / FOLDER / "corrections" / "scores.json").read_text())
    assert {(row["wrong"], row["right"]) for row in record["rows"]} == {
        ("range-swapped", "as-trained-3"),
        ("lower-clip", "as-trained-3"),
    }
    judge = judge_of(context)
    with np.load(context.root / FOLDER / "corrections" / "images.npz") as images:
        assert set(images.files) == set(record["scores"])
        for name, score in record["scores"].items():
            parts = images[name].reshape(GROUPS, IMAGES // GROUPS, *images[name].shape[1:])
            wanted = [judge.values(part)["frechet_distance"] for part in parts]
            assert score["frechet_distance"]["groups"] == pytest.approx(wanted, rel=1e-6)


def test_each_network_is_given_the_mistakes_that_fit_it_and_only_where_the_study_asks(context: Context):
    fixed = {one.name for one in variants_of(context.loaded.run("baseline"))}
    assert {"alpha-bar-prev", "schedule-rebuilt"} < fixed
    assert not fixed & {"range-swapped", "lower-clip"}
    plan = context.plan
    assert plan.has("corrections", "baseline", 0)
    assert not plan.has("corrections", "vae", 0)
    silent = context.loaded.run("baseline").replace(corrections=None)
    assert variants_of(silent) == ()
