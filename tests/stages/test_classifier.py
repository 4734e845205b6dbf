"""Classifier guidance of an unconditional run through the stages it takes: classifier, sample, evaluate, report."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import yaml

from rediffuse.config import load_study
from rediffuse.errors import UserError
from rediffuse.pipeline.context import Context
from rediffuse.reporting.build import build_report
from rediffuse.runs.samples import read_samples
from tests.stages.conftest import do

ROOT = Path(__file__).resolve().parents[2]
FOLDER = Path("runs/smoke/improved/seed0")


def study(**changes: object) -> dict:
    content = yaml.safe_load((ROOT / "studies" / "smoke.yaml").read_text())
    content["tracking"] = {"enabled": False}
    content["defaults"]["training"] |= {"steps": 12, "checkpoint_every": 12, "preview_steps": [12]}
    guided = {"kind": "ddim", "steps": [3]}
    content["runs"]["improved"]["sampling"] = {
        "samplers": {
            "ddim": {"steps": [3]},
            "classifier-0": {**guided, "classifier_scale": 0},
            "classifier-4": {**guided, "classifier_scale": 4},
        }
    }
    content["claims"], content["experiments"] = [], {}
    return content | changes


@pytest.fixture(scope="module")
def context(tmp_path_factory: pytest.TempPathFactory) -> Context:
    root = tmp_path_factory.mktemp("study")
    (root / "params.yaml").write_text(yaml.safe_dump(study()))
    context = Context.open(root / "params.yaml", root)
    for stage in ("prepare", "reference"):
        do(context, stage)
    for stage in ("train", "classifier", "sample", "evaluate"):
        do(context, stage, "improved")
    return context


def images(context: Context, setting: str) -> np.ndarray:
    return read_samples(context.root / FOLDER / "samples" / f"{setting}.npz").images


def test_the_classifier_is_judged_on_held_out_images_at_both_ends_of_time(context: Context):
    record = json.loads((context.root / FOLDER / "classifier" / "accuracy.json").read_text())
    assert [row["t"] for row in record["by_t"]][:: len(record["by_t"]) - 1] == [0, 49]
    assert record["n"] == 24
    # Shares of 24 images.
    assert all((row["accuracy"] * 24) == pytest.approx(round(row["accuracy"] * 24)) for row in record["by_t"])


def test_a_scale_of_nought_leaves_the_samples_as_they_are_and_more_moves_them(context: Context):
    assert np.array_equal(images(context, "classifier-0-3"), images(context, "ddim-3"))
    assert not np.array_equal(images(context, "classifier-4-3"), images(context, "ddim-3"))


def test_guided_settings_are_scored_by_class_and_others_are_not(context: Context):
    metrics = {
        setting: json.loads((context.root / FOLDER / "metrics" / f"{setting}.json").read_text())
        for setting in ("ddim-3", "classifier-0-3", "classifier-4-3")
    }
    assert "class_accuracy" not in metrics["ddim-3"]["metrics"]
    assert 0 <= metrics["classifier-4-3"]["metrics"]["class_accuracy"]["value"] <= 1
    assert metrics["classifier-4-3"]["classifier_scale"] == 4


def test_a_classifier_cut_short_goes_on_and_ends_with_the_same_bytes(context: Context, tmp_path: Path, monkeypatch):
    names = ("weights.safetensors", "history.csv", "accuracy.json")
    right = {f"classifier/{name}": (context.root / FOLDER / "classifier" / name).read_bytes() for name in names}
    from rediffuse.training import checkpoint

    save, saved = checkpoint.save, []

    def save_and_stop(*arguments):
        save(*arguments)
        saved.append(arguments)
        if len(saved) == 2:
            raise KeyboardInterrupt

    for name in right:
        (context.root / FOLDER / name).unlink()
    [resume] = (context.root / "state/smoke/improved/seed0/classifier").glob("checkpoint.*.pt")
    resume.unlink()
    monkeypatch.setattr(checkpoint, "save", save_and_stop)
    with pytest.raises(KeyboardInterrupt):
        do(context, "classifier", "improved")
    monkeypatch.setattr(checkpoint, "save", save)
    do(context, "classifier", "improved")
    assert {name: (context.root / FOLDER / name).read_bytes() for name in right} == right


def test_the_report_shows_the_accuracy_by_t(context: Context):
    out = context.root / "reports" / "smoke"
    build_report(context.loaded, context.plan, context.root, out)
    assert (out / "figures" / "classifier-accuracy.png").exists()
    with (out / "tables" / "classifiers.csv").open(newline="") as file:
        assert len(list(csv.DictReader(file))) == 11


def test_a_changed_classifier_resamples_guided_settings_alone(context: Context):
    changed = study()
    changed["runs"]["improved"]["classifier"]["steps"] = 30
    folder = context.root / FOLDER / "samples"
    before = {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
    (context.root / "changed.yaml").write_text(yaml.safe_dump(changed))
    other = Context.open(context.root / "changed.yaml", context.root)
    do(other, "classifier", "improved")
    do(other, "sample", "improved")
    after = {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
    moved = {name for name in after if after[name] != before[name]}
    assert moved == {"classifier-0-3.npz", "classifier-4-3.npz"}


@pytest.mark.parametrize(
    ("classifier", "message"),
    [
        (None, "classifier_scale: .* needs a classifier; give the run a section `classifier`"),
        ({"attention": [16], "batch_size": 16}, r"runs.improved.classifier.attention: no scale has side 16"),
        ({"batch_size": 64}, r"runs.improved.classifier.batch_size: 64 exceeds the 40"),
        ({"steps": 10, "batch_size": 16}, r"runs.improved.classifier.warmup: 20 does not end before"),
        ({"channels": 7}, r"runs.improved.classifier.channels: 7 is not allowed"),
    ],
)
def test_a_classifier_that_cannot_work_is_refused_in_one_line(classifier: dict | None, message: str, tmp_path: Path):
    content = study()
    content["runs"]["improved"]["classifier"] = classifier
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(content))
    with pytest.raises(UserError, match=message) as caught:
        load_study(tmp_path / "study.yaml")
    assert "\n" not in str(caught.value)


def test_an_ablation_has_no_classifier_and_trains_none(tmp_path: Path):
    wide = {"of": "improved", "question": "Wide?", "arms": {"wide": {"network": {"channels": 16}}}}
    content = study(experiments={"width": {**wide, "samplers": {"ddim": {"steps": [3]}}}})
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(content))
    context = Context.open(tmp_path / "study.yaml", tmp_path)
    assert [job.name for job in context.plan.jobs.values() if job.stage == "classifier"] == [
        "classifier/improved/seed0"
    ]
