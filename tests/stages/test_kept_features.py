"""Features of thousands of images are kept part by part: a job that is stopped goes on after the last whole part."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from rediffuse.evaluation.features import FeatureOptions, Features
from rediffuse.evaluation.torchscript import TorchScriptNetwork
from rediffuse.pipeline.context import Context
from rediffuse.runs import judge as judges
from rediffuse.runs.judge import Judge
from tests.stages.conftest import Counting, do, with_own_network

IMAGES = np.random.default_rng(0).integers(0, 256, (2500, 1, 8, 8), dtype=np.uint8)


class Stopped(Counting):
    """A network whose process is killed when it has seen 2,000 images."""

    def extract(
        self,
        images: np.ndarray | torch.Tensor,
        batch_size: int = 32,
        progress: Callable[[int, int], None] | None = None,
    ) -> Features:
        if self.shown >= 2000:
            raise KeyboardInterrupt
        return super().extract(images, batch_size, progress)


@pytest.fixture
def context(tmp_path: Path) -> Context:
    return with_own_network(tmp_path)


def judge(context: Context, kind: type[Counting], state: Path | None) -> tuple[Judge, Counting]:
    made = Judge(context.loaded, context.root, context.made_by, state)
    made.network = network = kind(TorchScriptNetwork(context.root / "rows.pt", FeatureOptions(), name="torchscript"))
    return made, network


def test_after_a_stop_only_what_is_missing_is_looked_at(context: Context, tmp_path: Path):
    state = tmp_path / "kept"
    first, stopped = judge(context, Stopped, state)
    with pytest.raises(KeyboardInterrupt):
        first.features(IMAGES, None)
    again, network = judge(context, Counting, state)
    found = again.features(IMAGES, None)
    assert network.shown == 2500 - stopped.shown < 500
    whole, network = judge(context, Counting, None)
    assert np.array_equal(found.features, whole.features(IMAGES, None).features)
    assert network.shown == 2500


def test_a_damaged_part_and_other_images_are_looked_at_anew(context: Context, tmp_path: Path):
    state = tmp_path / "kept"
    judge(context, Counting, state)[0].features(IMAGES, None)
    for path in state.iterdir():
        path.write_bytes(path.read_bytes()[:-100])
    again, network = judge(context, Counting, state)
    again.features(IMAGES, None)
    assert network.shown == 2500
    other, network = judge(context, Counting, state)
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
