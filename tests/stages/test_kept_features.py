"""Features of thousands of images are kept part by part: a job that is stopped goes on after the last whole part."""

import math
from pathlib import Path

import numpy as np
import pytest

from rediffuse.evaluation.features import FeatureOptions
from rediffuse.evaluation.torchscript import TorchScriptNetwork
from rediffuse.pipeline.context import Context
from rediffuse.runs import judge as judges
from rediffuse.runs.judge import Judge
from tests.stages.conftest import Counting, do, with_own_network

IMAGES = np.random.default_rng(0).integers(0, 256, (2500, 1, 8, 8), dtype=np.uint8)


@pytest.fixture
def context(tmp_path: Path) -> Context:
    return with_own_network(tmp_path)


def judge(context: Context, state: Path | None, most: float = math.inf) -> tuple[Judge, Counting]:
    made = Judge(context.loaded, context.root, context.made_by, state)
    rows = TorchScriptNetwork(context.root / "rows.pt", FeatureOptions(), name="torchscript")
    made.network = network = Counting(rows, most)
    return made, network


def test_after_a_stop_only_what_is_missing_is_looked_at(context: Context, tmp_path: Path):
    state = tmp_path / "kept"
    first, stopped = judge(context, state, most=2000)
    with pytest.raises(KeyboardInterrupt):
        first.features(IMAGES, None)
    again, network = judge(context, state)
    found = again.features(IMAGES, None)
    assert network.shown == 2500 - stopped.shown < 500
    whole, network = judge(context, None)
    assert np.array_equal(found.features, whole.features(IMAGES, None).features)
    assert network.shown == 2500


def test_a_damaged_part_and_other_images_are_looked_at_anew(context: Context, tmp_path: Path):
    state = tmp_path / "kept"
    judge(context, state)[0].features(IMAGES, None)
    for path in state.iterdir():
        path.write_bytes(path.read_bytes()[:-100])
    again, network = judge(context, state)
    again.features(IMAGES, None)
    assert network.shown == 2500
    other, network = judge(context, state)
    other.features(255 - IMAGES, None)
    assert network.shown == 2500


def test_a_finished_evaluation_keeps_none(context: Context, monkeypatch: pytest.MonkeyPatch):
    for stage in ("train", "sample"):
        do(context, stage, "baseline")
    written: list[Path] = []
    write = judges.write_arrays
    monkeypatch.setattr(judges, "_AT_ONCE", 32)
    monkeypatch.setattr(judges, "write_arrays", lambda path, **arrays: (written.append(path), write(path, **arrays)))
    do(context, "evaluate", "baseline")
    assert written
    assert not any(path.parent.exists() for path in written)
