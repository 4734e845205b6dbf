"""A study scored with a feature network of one's own, a TorchScript file, through the stages it takes."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from rediffuse.errors import UserError
from rediffuse.evaluation.frechet import frechet_distance
from rediffuse.files import sha256
from rediffuse.pipeline.context import Context
from tests.stages.conftest import Rows, do, judge_of, open_study, smoke_study


def study(weights: Path | None) -> dict:
    content = smoke_study()
    content["evaluation"] |= {"features": "torchscript"} | ({"weights": str(weights)} if weights else {})
    return content


@pytest.fixture(scope="module")
def context(tmp_path_factory: pytest.TempPathFactory) -> Context:
    root = tmp_path_factory.mktemp("study")
    torch.jit.script(Rows()).save(str(root / "rows.pt"))
    context = open_study(root, study(root / "rows.pt"))
    for stage in ("prepare", "reference", "real"):
        do(context, stage)
    return context


def test_the_reference_lies_where_the_plan_and_dvc_look_for_it(context: Context):
    assert (context.data_folder / "reference-torchscript.npz").exists()
    card = json.loads((context.data_folder / "reference-torchscript.json").read_text())
    assert sha256(context.root / "rows.pt") in json.dumps(card)


def test_held_out_images_are_scored_with_it(context: Context):
    record = json.loads((context.root / "runs/smoke/real/held-out.json").read_text())
    assert record["features"] == "torchscript"
    judge = judge_of(context)
    images, _ = judge.images.split("held-out")
    training, _ = judge.images.split("train")
    made, known = (judge.network.extract(part, 8).features for part in (images[:20], training))
    wanted = frechet_distance(*gaussian(made), *gaussian(known))
    assert judge.values(images[:20])["frechet_distance"] == pytest.approx(wanted, rel=1e-6)


def gaussian(features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return features.mean(0), np.cov(features, rowvar=False)


def test_another_file_makes_what_was_scored_stale(context: Context, tmp_path: Path):
    class Columns(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x.mean((1, 2))

    torch.jit.script(Columns()).save(str(tmp_path / "rows.pt"))
    other = open_study(tmp_path, study(tmp_path / "rows.pt"))
    assert other.plan.find("real").key != context.plan.find("real").key
    assert other.plan.find("prepare").key == context.plan.find("prepare").key


def test_it_cannot_be_asked_for_without_its_file(tmp_path: Path):
    with pytest.raises(UserError, match=r"evaluation\.weights: torchscript needs one"):
        open_study(tmp_path, study(None))
