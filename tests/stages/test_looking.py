"""A training that is looked at while it works ends with the bytes of one that is not,
and goes on when looking fails.
"""

import contextlib
from dataclasses import replace
from pathlib import Path

import pytest

from rediffuse.pipeline.context import Context
from rediffuse.stages.train import run as train
from rediffuse.tracking.live import Watch
from tests.stages.conftest import do, open_study
from tests.stages.test_during_training import FOLDER, study

FILES = ("weights.safetensors", "history.csv", *(f"snapshots/step-{k:06d}.safetensors" for k in (5, 10, 12)))


def trained(context: Context, *, looked_at: bool) -> tuple[dict[str, bytes], list[dict]]:
    """Files of the training, and the scores that a look gave; the store is one that is open and takes nothing."""
    job = context.plan.find("train", "improved", 0)
    watch = Watch(context, job, contextlib.ExitStack())
    watch.tracker = object()  # type: ignore[assignment]
    train(job, replace(context, watch=watch if looked_at else None))
    rows = [row for row in watch.rows if any(name.startswith("during_training") for name in row)]
    return {name: (context.root / FOLDER / name).read_bytes() for name in FILES}, rows


@pytest.fixture(scope="module")
def blind(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    context = open_study(tmp_path_factory.mktemp("blind"), study())
    do(context, "prepare")
    return trained(context, looked_at=False)[0]


def test_a_training_that_is_scored_at_every_snapshot_ends_with_the_same_bytes(blind: dict[str, bytes], tmp_path: Path):
    context = open_study(tmp_path, study())
    for stage in ("prepare", "reference"):
        do(context, stage)
    files, rows = trained(context, looked_at=True)
    assert [row["step"] for row in rows] == [5, 10, 12]
    assert files == blind


def test_without_a_reference_that_is_said_once_and_the_training_ends_with_the_same_bytes(
    blind: dict[str, bytes], tmp_path: Path, capsys: pytest.CaptureFixture
):
    context = open_study(tmp_path, study())
    do(context, "prepare")
    files, rows = trained(context, looked_at=True)
    lines = [line for line in capsys.readouterr().err.splitlines() if "not scored during training" in line]
    assert len(lines) == 1
    assert "rediffuse reference" in lines[0]
    assert rows == []
    assert files == blind
