"""Samples drawn and scored while a run trains, through the stages it takes: train, sample, examine."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from rediffuse.stages.context import Context
from rediffuse.stages.during_training import draw
from rediffuse.stages.live_scores import live_scores
from rediffuse.stages.networks import trained_network
from rediffuse.stages.samples import read_of_training
from rediffuse.stages.scoring import Judge

from rediffuse.errors import UserError
from rediffuse.evaluation.frechet import frechet_distance
from rediffuse.stages.examine import examine
from rediffuse.stages.prepare import prepare
from rediffuse.stages.reference import reference
from rediffuse.stages.sample import sample
from rediffuse.stages.train import train
from tests.stages.conftest import open_study, smoke_study

FOLDER = Path("runs/smoke/improved/seed0")
STEPS = ("step-000005.npz", "step-000010.npz", "step-000012.npz")


def study() -> dict:
    content = smoke_study()
    content["evaluation"]["during_training"] = {"every": 5, "images": 20, "steps": 4}
    content["defaults"]["training"] |= {"steps": 12, "checkpoint_every": 12, "preview_steps": [12]}
    content["runs"]["improved"]["sampling"] = {"samplers": {"ddim": {"steps": [3]}}}
    content["claims"], content["classifiers"] = [], {}
    return content


@pytest.fixture(scope="module")
def context(tmp_path_factory: pytest.TempPathFactory) -> Context:
    context = open_study(tmp_path_factory.mktemp("study"), study())
    run = context.loaded.run("improved")
    prepare(context)
    reference(context)
    train(context, run, 0, watch=live_scores)
    sample(context, run, 0)
    examine(context, run, 0)
    return context


def record(context: Context) -> dict:
    return json.loads((context.root / FOLDER / "examination" / "training.json").read_text())


def test_samples_of_both_kinds_of_weights_are_kept_every_so_many_steps_and_at_the_end(context: Context):
    assert sorted(path.name for path in (context.root / FOLDER / "during-training").iterdir()) == list(STEPS)
    for name in STEPS:
        both = read_of_training(context.root / FOLDER / "during-training" / name)
        assert {weights: images.shape for weights, images in both.items()} == {
            "averaged": (20, 1, 8, 8), "raw": (20, 1, 8, 8)
        }  # fmt: skip
        assert not np.array_equal(both["averaged"], both["raw"])


def test_the_last_averaged_samples_are_those_of_the_weights_that_are_kept(context: Context):
    run, images = context.loaded.run("improved"), Judge(context).images
    network = trained_network(run, images, context.root / FOLDER / "weights.safetensors")
    last = read_of_training(context.root / FOLDER / "during-training" / STEPS[-1])
    from rediffuse.diffusion.randomness import derive_seed

    again = draw(run, network, images, derive_seed(0, "during training"), 20, 4)
    assert np.array_equal(again.numpy(), last["averaged"])


def test_the_number_of_images_drawn_at_once_does_not_change_an_image(context: Context):
    run, images = context.loaded.run("improved"), Judge(context).images
    network = trained_network(run, images, context.root / FOLDER / "weights.safetensors")
    few = run.model_copy(update={"sampling": run.sampling.model_copy(update={"batch_size": 7})})
    one, other = (draw(r, network, images, 3, 20, 4).int() for r in (run, few))
    # Batches of another size may add in another order: a grey level at most.
    assert (one - other).abs().max() <= 1


def test_each_step_is_scored_as_its_images_are(context: Context):
    judge = Judge(context)
    for row, name in zip(record(context)["rows"], STEPS, strict=True):
        for weights, images in read_of_training(context.root / FOLDER / "during-training" / name).items():
            features = judge.network.extract(images, 7).features
            mean, covariance = features.mean(0), np.cov(features, rowvar=False)
            wanted = frechet_distance(mean, covariance, judge.reference.mu, judge.reference.sigma)
            assert row[weights]["frechet_distance"] == pytest.approx(wanted, rel=1e-4)


def test_held_out_images_are_scored_at_the_same_number(context: Context):
    found = record(context)
    images, _ = Judge(context).images.pick("held-out", found["n"])
    assert len(images) == found["n"] == 20
    assert found["held_out"] == Judge(context).values(images)


def test_what_is_said_while_it_trains_is_what_is_recorded_afterwards(context: Context, capsys: pytest.CaptureFixture):
    scores = live_scores(context)
    both = read_of_training(context.root / FOLDER / "during-training" / STEPS[0])
    found = scores({weights: torch.from_numpy(images) for weights, images in both.items()})
    row = record(context)["rows"][0]
    assert found == {weights: row[weights] for weights in ("averaged", "raw")}
    assert f"{row['raw']['frechet_distance']:,.1f} (raw)" in capsys.readouterr().err


def test_without_a_reference_training_says_so_once_and_ends_with_the_same_bytes(
    context: Context, tmp_path: Path, capsys: pytest.CaptureFixture
):
    other = open_study(tmp_path, study())
    prepare(other)
    train(other, other.loaded.run("improved"), 0, watch=live_scores)
    lines = [line for line in capsys.readouterr().err.splitlines() if "not scored during training" in line]
    assert len(lines) == 1
    assert "rediffuse reference" in lines[0]
    for file in ("weights.safetensors", *(f"during-training/{name}" for name in STEPS)):
        assert (other.root / FOLDER / file).read_bytes() == (context.root / FOLDER / file).read_bytes()


def test_what_fails_in_scoring_is_said_once_and_does_not_stop_the_training(
    context: Context, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
):
    def fail(self: Judge, images: np.ndarray, label: str | None = None) -> dict[str, float]:
        raise RuntimeError("no memory is left\nand more lines")

    monkeypatch.setattr(Judge, "values", fail)
    scores = live_scores(context)
    assert scores({"raw": torch.zeros(2, 1, 8, 8)}) == scores({"raw": torch.zeros(2, 1, 8, 8)}) == {}
    assert capsys.readouterr().err.splitlines() == ["not scored during training: RuntimeError: no memory is left"]


def test_looking_does_not_change_what_is_trained(context: Context, tmp_path: Path):
    content = study()
    del content["evaluation"]["during_training"]
    blind = open_study(tmp_path, content)
    prepare(blind)
    train(blind, blind.loaded.run("improved"), 0, watch=live_scores)
    for file in ("history.csv", "previews/step-000012.png"):
        assert (blind.root / FOLDER / file).read_bytes() == (context.root / FOLDER / file).read_bytes()
    assert list((blind.root / FOLDER / "during-training").iterdir()) == []


def test_ablations_are_not_looked_at(context: Context):
    assert context.loaded.run("light").scored_steps == ()


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
