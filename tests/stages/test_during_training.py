"""Snapshots that a training leaves, drawn and scored by stage `follow`; and seen, for the eye, while it trains."""

import contextlib
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from rediffuse.diffusion.randomness import derive_seed
from rediffuse.errors import UserError
from rediffuse.evaluation.frechet import frechet_distance
from rediffuse.jobs.following import draw_unet
from rediffuse.pipeline.context import Context
from rediffuse.runs import facts
from rediffuse.runs.judge import Judge
from rediffuse.runs.networks import build, trained_network
from rediffuse.tracking.live import Watch
from tests.stages.conftest import do, judge_of, open_study, smoke_study

FOLDER = Path("runs/smoke/improved/seed0")
STEPS = ("step-000005.npz", "step-000010.npz", "step-000012.npz")
WEIGHTS = ("averaged", "raw")


def study() -> dict:
    content = smoke_study()
    content["evaluation"]["during_training"] = {"every": 5, "images": 20, "steps": 4}
    content["defaults"]["training"] |= {"steps": 12, "checkpoint_every": 12, "preview_steps": [12]}
    content["runs"]["improved"]["sampling"] = {"samplers": {"ddim": {"steps": [3]}}}
    del content["runs"]["improved"]["classifier"]
    content["claims"] = []
    del content["experiments"]["comparison"]
    return content


@pytest.fixture(scope="module")
def context(tmp_path_factory: pytest.TempPathFactory) -> Context:
    context = open_study(tmp_path_factory.mktemp("study"), study())
    for stage in ("prepare", "reference"):
        do(context, stage)
    for stage in ("train", "follow"):
        do(context, stage, "improved")
    return context


def samples(context: Context, name: str) -> dict[str, np.ndarray]:
    with np.load(context.root / FOLDER / "during-training" / name) as content:
        return {weights: content[weights] for weights in WEIGHTS}


def record(context: Context) -> dict:
    return json.loads((context.root / FOLDER / "during-training" / "scores.json").read_text())


def test_samples_of_both_kinds_of_weights_are_kept_every_so_many_steps_and_at_the_end(context: Context):
    found = sorted(path.name for path in (context.root / FOLDER / "during-training").glob("*.npz"))
    assert found == list(STEPS)
    for name in STEPS:
        both = samples(context, name)
        assert {weights: images.shape for weights, images in both.items()} == dict.fromkeys(WEIGHTS, (20, 1, 8, 8))
        assert not np.array_equal(both["averaged"], both["raw"])


def test_the_last_averaged_samples_are_those_of_the_weights_that_are_kept(context: Context):
    run, images = context.loaded.run("improved"), judge_of(context).images
    network = trained_network(run, images, context.root / FOLDER / "weights.safetensors")
    again = draw_unet(run, network, images, derive_seed(0, "during training"), 20, 4)
    assert np.array_equal(again.numpy(), samples(context, STEPS[-1])["averaged"])


def test_the_number_of_images_drawn_at_once_does_not_change_an_image(context: Context):
    run, images = context.loaded.run("improved"), judge_of(context).images
    network = trained_network(run, images, context.root / FOLDER / "weights.safetensors")
    few = run.model_copy(update={"sampling": run.sampling.model_copy(update={"batch_size": 7})})
    one, other = (draw_unet(r, network, images, 3, 20, 4).int() for r in (run, few))
    # Batches of another size may add in another order: a grey level at most.
    assert (one - other).abs().max() <= 1


def test_each_step_is_scored_as_its_images_are(context: Context):
    judge = judge_of(context)
    for row, name in zip(record(context)["rows"], STEPS, strict=True):
        for weights, images in samples(context, name).items():
            features = judge.network.extract(images, 7).features
            mean, covariance = features.mean(0), np.cov(features, rowvar=False)
            wanted = frechet_distance(mean, covariance, judge.reference.mu, judge.reference.sigma)
            assert row[weights]["frechet_distance"] == pytest.approx(wanted, rel=1e-4)


def test_held_out_images_are_scored_at_the_same_number(context: Context):
    found = record(context)
    images, _ = judge_of(context).images.pick("held-out", found["n"])
    assert len(images) == found["n"] == 20
    assert found["held_out"] == judge_of(context).values(images)


def watch(context: Context) -> Watch:
    """What looks on while a training works, as it is once the training is a long one and its store is open."""
    found = Watch(context, context.plan.find("train", "improved", 0), contextlib.ExitStack())
    found.tracker = object()  # type: ignore[assignment]
    return found


def test_what_is_said_while_it_trains_is_what_is_recorded_afterwards(context: Context, capsys: pytest.CaptureFixture):
    looking, run, images = watch(context), context.loaded.run("improved"), judge_of(context).images
    last = trained_network(run, images, context.root / FOLDER / "weights.safetensors")
    looking.snapshot(12, last, build(run, images).eval())
    [row] = looking.rows
    averaged = record(context)["rows"][-1]["averaged"]
    assert {name: row[f"during_training.{name}.averaged"] for name in averaged} == averaged
    assert f"{averaged['frechet_distance']:,.1f} (averaged)" in capsys.readouterr().err


def test_a_step_that_is_not_scored_is_not_looked_at(context: Context):
    looking = watch(context)
    looking.snapshot(7, torch.nn.Identity(), torch.nn.Identity())
    assert looking.rows == []


def test_what_fails_in_scoring_is_said_once_and_does_not_stop_the_training(
    context: Context, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
):
    def fail(self: Judge, images: np.ndarray, label: str | None = None) -> dict[str, float]:
        raise RuntimeError("no memory is left\nand more lines")

    monkeypatch.setattr(Judge, "values", fail)
    looking, run, images = watch(context), context.loaded.run("improved"), judge_of(context).images
    for _ in range(2):
        looking.snapshot(12, build(run, images).eval(), build(run, images).eval())
    assert looking.rows == []
    assert capsys.readouterr().err.splitlines() == ["not scored during training: RuntimeError: no memory is left"]


def test_looking_does_not_change_what_is_trained(context: Context, tmp_path: Path):
    content = study()
    del content["evaluation"]["during_training"]
    blind = open_study(tmp_path, content)
    for stage in ("prepare", "reference"):
        do(blind, stage)
    for stage in ("train", "follow"):
        do(blind, stage, "improved")
    for file in ("history.csv", "weights.safetensors", "previews/step-000012.png"):
        assert (blind.root / FOLDER / file).read_bytes() == (context.root / FOLDER / file).read_bytes()
    assert list((blind.root / FOLDER / "during-training").iterdir()) == []


def test_ablations_are_not_looked_at(context: Context):
    assert facts.scored_steps(context.loaded.run("light")) == ()


def test_a_new_reference_does_not_make_trained_networks_stale(context: Context):
    assert [need.name for need in context.plan.find("train", "improved", 0).needs] == ["prepare"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"images": 25}, "evaluation.during_training.images: 25 exceeds the 24 held-out images"),
        ({"steps": 51}, "evaluation.during_training.steps: 51 exceeds the 50 diffusion time steps"),
        ({"every": 0}, "evaluation.during_training.every"),
    ],
)
def test_what_cannot_be_looked_at_is_refused_in_one_line(tmp_path: Path, change: dict, message: str):
    content = study()
    content["evaluation"]["during_training"] |= change
    with pytest.raises(UserError) as error:
        open_study(tmp_path, content)
    assert message in str(error.value)
    assert len(str(error.value).splitlines()) == 1
