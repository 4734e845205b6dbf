"""Colours of scored images, through the stages, on a folder of coloured pictures."""

import json
import math

import numpy as np
import pytest
from PIL import Image

from rediffuse.evaluation.colours import colour_statistics
from rediffuse.pipeline.context import Context
from tests.stages.conftest import do, judge_of, open_study, smoke_study


@pytest.fixture(scope="module")
def context(tmp_path_factory: pytest.TempPathFactory) -> Context:
    root = tmp_path_factory.mktemp("study")
    random = np.random.default_rng(0)
    for split, count in (("train", 64), ("test", 48)):
        for k in range(count):
            path = root / "pictures" / split / "reddish" / f"{k:03}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(random.integers(0, [256, 128, 64], (8, 8, 3), dtype=np.uint8)).save(path)
    content = smoke_study()
    content["data"] = {"name": "reddish", "source": "folder", "path": str(root / "pictures"), "image_size": 8}
    content["claims"] = []
    del content["runs"]["improved"]["classifier"]
    del content["runs"]["improved"]["sampling"]["samplers"]["classifier-1"]
    context = open_study(root, content)
    for stage in ("prepare", "reference", "real"):
        do(context, stage)
    return context


def test_the_colours_of_real_images_are_recorded_and_have_little_cast(context: Context):
    found = json.loads((context.root / "runs/smoke/real/held-out.json").read_text())["colours"]
    assert found["images"] == 40  # two groups of 20
    assert found["mean"] == pytest.approx([0.5, 0.25, 0.125], abs=0.02)
    assert 0 < found["cast"] < 0.01


def test_noise_is_as_far_from_their_colour_as_grey_is(context: Context):
    found = json.loads((context.root / "runs/smoke/real/noise.json").read_text())["colours"]
    assert found["cast"] == pytest.approx(math.dist((0.5, 0.5, 0.5), (0.5, 0.25, 0.125)), abs=0.02)


def test_a_cast_is_counted_from_all_held_out_images(context: Context):
    judge = judge_of(context)
    images, _ = judge.images.split("held-out")
    whole = judge.colours(images)
    assert whole is not None
    assert whole["cast"] == 0
    part = judge.colours(images[:20])
    assert part is not None
    means = [colour_statistics(some).mean for some in (images[:20], images)]
    assert part["cast"] == math.dist(*means)
    assert judge.values(images[:20])["colour_cast"] == part["cast"]


def test_grey_images_have_no_colours(context: Context):
    images, _ = judge_of(context).images.split("held-out")
    assert judge_of(context).colours(images[:, :1]) is None
