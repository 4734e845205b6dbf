"""A trained run out of the pipeline and back into it, by the real command line."""

import contextlib
import io
import json
import os
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from safetensors.torch import load_file

from rediffuse.cli import main
from rediffuse.interop.own_format import Package, read_package
from rediffuse.interop.sources import write_diffusers
from rediffuse.models.presets import preset
from rediffuse.models.unet import UNet
from rediffuse.runs.samples import read_samples

ROOT = Path(__file__).resolve().parents[2]
SETTINGS = ("ancestral-5", "ddim-5")


def run(folder: Path, *words: str, code: int = 0) -> str:
    """`rediffuse WORDS` in a folder; its messages."""
    printed = io.StringIO()
    with contextlib.chdir(folder), contextlib.redirect_stderr(printed), contextlib.redirect_stdout(printed):
        before, sys.argv = sys.argv, ["rediffuse", *words]
        try:
            main()
            found = 0
        except SystemExit as end:
            found = int(end.code or 0)
        finally:
            sys.argv = before
    assert found == code, printed.getvalue()
    return printed.getvalue()


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a trained, sampled and evaluated smoke run."""
    root = tmp_path_factory.mktemp("project")
    study = yaml.safe_load((ROOT / "studies" / "smoke.yaml").read_text())
    study["tracking"] = {"enabled": False}
    study["defaults"]["training"] |= {"steps": 12, "checkpoint_every": 12, "preview_steps": [12]}
    study["defaults"]["sampling"]["samplers"] = {"ancestral": {"steps": [5]}, "ddim": {"steps": [5]}}
    # What is exported is a network that knows nothing of a classifier beside it.
    improved = {key: value for key, value in study["runs"]["improved"].items() if key not in ("sampling", "classifier")}
    study["runs"] = {"improved": {**improved, "role": "baseline"}}
    study["experiments"], study["claims"] = {}, []
    (root / "params.yaml").write_text(yaml.safe_dump(study))
    for verb in ("prepare", "reference", "real", "train improved", "sample improved", "evaluate improved"):
        run(root, *verb.split())
    return root


@pytest.fixture(scope="module")
def exported(project: Path) -> Path:
    run(project, "export", "improved", "--to", "published")
    return project / "published"


@pytest.fixture(scope="module", params=["diffusers", "rediffuse"])
def imported(request: pytest.FixtureRequest, project: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project that has taken its own export, in either format, as a study of imported weights."""
    root = tmp_path_factory.mktemp(request.param) / "project"
    shutil.copytree(project, root)
    run(root, "export", "improved", "--to", "out", "--format", request.param)
    run(root, "import", "out", "--into", "again")
    for verb in ("train", "sample", "evaluate"):
        run(root, verb, "imported", "--study", "studies/again.yaml")
    return root


def test_imported_weights_sample_the_very_images_of_the_run_they_came_from(imported: Path) -> None:
    for setting in SETTINGS:
        before, after = (
            read_samples(imported / "runs" / where / "seed0" / "samples" / f"{setting}.npz").images
            for where in ("smoke/improved", "again/imported")
        )
        assert before.std() > 10
        assert np.array_equal(before, after)


def test_imported_weights_are_scored_as_the_run_they_came_from(imported: Path) -> None:
    for setting in SETTINGS:
        before, after = (
            json.loads((imported / "runs" / where / "seed0" / "metrics" / f"{setting}.json").read_text())["metrics"]
            for where in ("smoke/improved", "again/imported")
        )
        assert before == after


def test_imported_weights_are_the_trained_ones_bit_by_bit_and_come_with_a_history_without_rows(imported: Path) -> None:
    before, after = (imported / "runs" / where / "seed0" for where in ("smoke/improved", "again/imported"))
    ours, theirs = load_file(before / "weights.safetensors"), load_file(after / "weights.safetensors")
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    assert (after / "history.csv").read_text() == "step,loss,grad_norm\n"


def test_a_run_that_took_its_weights_is_up_to_date_until_the_study_names_others(imported: Path) -> None:
    file = imported / "studies" / "again.yaml"
    assert "train/imported/seed0                     up to date" in run(imported, "status", "--study", str(file))
    text = file.read_text()
    digest = yaml.safe_load(text)["runs"]["imported"]["weights"]["sha256"]
    file.write_text(text.replace(digest, "f" * 64))
    try:
        assert "settings changed" in run(imported, "status", "--study", str(file))
        message = run(imported, "train", "imported", "--study", str(file), code=2)
    finally:
        file.write_text(text)
    assert message.startswith("rediffuse: runs.imported.weights.sha256: ")


def test_weights_of_a_network_other_than_the_studys_are_refused_by_field(imported: Path) -> None:
    file = imported / "studies" / "again.yaml"
    text = file.read_text()
    file.write_text(text.replace("norm_eps: 1.0e-06", "norm_eps: 1.0e-05"))
    try:
        message = run(imported, "train", "imported", "--study", str(file), code=2)
    finally:
        file.write_text(text)
    assert "runs.imported.network: norm_eps is 1e-05 in this study" in message


def test_the_report_says_that_a_run_was_imported(imported: Path) -> None:
    of_run = (f"{stage} imported" for stage in ("nll", "probe", "trace", "restore", "examine"))
    for verb in ("real", "damage", "cost --record", *of_run, "report"):
        run(imported, *verb.split(), "--study", "studies/again.yaml")
    rows = (imported / "reports" / "again" / "tables" / "runs.csv").read_text().splitlines()
    assert rows[1].count("imported") >= 3


def test_diffusers_loads_an_exported_run_and_computes_the_same(exported: Path) -> None:
    diffusers = pytest.importorskip("diffusers")
    theirs = diffusers.UNet2DModel.from_pretrained(exported).eval()
    state = load_file(exported.parent / "runs" / "smoke" / "improved" / "seed0" / "weights.safetensors")
    ours = UNet(preset("micro-digits", out_channels=2)).eval()
    ours.load_state_dict(state)
    x, t = torch.randn(4, 1, 8, 8), torch.tensor([0, 7, 30, 49])
    with torch.no_grad():
        expected = ours(x, t)
        found = theirs(x, t).sample
    assert expected.std() > 0.01
    assert ((found - expected).norm() / expected.norm()).item() < 1e-5


def test_diffusers_own_pipeline_samples_an_exported_run(exported: Path) -> None:
    diffusers = pytest.importorskip("diffusers")
    scheduler = diffusers.DDPMScheduler.from_pretrained(exported, subfolder="scheduler")
    assert (scheduler.config.variance_type, scheduler.config.num_train_timesteps) == ("learned_range", 50)
    pipeline = diffusers.DDPMPipeline(diffusers.UNet2DModel.from_pretrained(exported), scheduler)
    pipeline.set_progress_bar_config(disable=True)
    images = pipeline(batch_size=2, num_inference_steps=5, output_type="np").images
    assert images.shape == (2, 8, 8, 1)
    assert np.isfinite(images).all()


def test_the_model_card_says_what_the_weights_are(exported: Path) -> None:
    card = (exported / "README.md").read_text()
    state = load_file(exported / "diffusion_pytorch_model.safetensors")
    assert f"{sum(value.numel() for value in state.values()):,} parameters" in card
    assert "licence: CC BY 4.0" in card
    assert "| ddim-5 | frechet_distance |" in card
    assert "| `training.steps` | `12` |" in card


def test_the_same_run_is_exported_to_the_same_bytes(exported: Path) -> None:
    run(exported.parent, "export", "improved", "--to", "twice")
    files = sorted(path.relative_to(exported) for path in exported.rglob("*") if path.is_file())
    assert len(files) == 4
    assert all((exported / file).read_bytes() == (exported.parent / "twice" / file).read_bytes() for file in files)


def test_an_export_never_overwrites(exported: Path) -> None:
    message = run(exported.parent, "export", "improved", "--to", "published", code=2)
    assert message == "rediffuse: --to: published is there already; name a new folder\n"


@pytest.mark.parametrize("to", ["params.yaml", "params.yaml/new", "/proc/new/folder", "x" * 300])
def test_an_export_into_a_place_that_cannot_be_written_is_refused_and_leaves_nothing(project: Path, to: str) -> None:
    before = sorted(project.iterdir())
    message = run(project, "export", "improved", "--to", to, code=2)
    assert message.startswith("rediffuse: --to: ")
    assert message.count("\n") == 1
    assert sorted(project.iterdir()) == before


def test_an_export_that_fails_half_way_leaves_nothing(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("rediffuse.interop.sources.write_tensors", full)
    before = sorted(project.iterdir())
    assert "--to: new cannot be written (No space left on device)" in run(
        project, "export", "improved", "--to", "new", code=2
    )
    assert sorted(project.iterdir()) == before


def test_an_import_says_what_it_understood(project: Path, exported: Path, tmp_path: Path) -> None:
    shutil.copy(project / "params.yaml", tmp_path)
    message = run(tmp_path, "import", str(exported), "--into", "again")
    count = sum(value.numel() for value in load_file(exported / "diffusion_pytorch_model.safetensors").values())
    for what in (
        (
            f"read from {exported}/diffusion_pytorch_model.safetensors: "
            "nothing says whether raw weights or a moving average"
        ),
        f"schedule read from {exported}/scheduler/scheduler_config.json",
        f"network: {count:,} parameters; images 8x8x1, 2 outputs; channels 8, 16; blocks 1; attention at 4; heads 1",
        "process: timesteps 50, schedule cosine, prediction eps, variance learned-range, clip yes",
    ):
        assert what in message


@pytest.mark.parametrize("name", ["../x", "a/b", "A b", ".", "", "x" * 99])
def test_an_import_under_a_name_that_no_study_can_have_is_refused(exported: Path, tmp_path: Path, name: str) -> None:
    message = run(exported.parent, "import", str(exported), "--into", name, code=2)
    assert message.startswith("rediffuse: --into: ")
    assert not (exported.parent / "weights").exists()


@pytest.mark.parametrize("place", ["weights", "studies"])
def test_an_import_that_cannot_write_leaves_nothing(exported: Path, project: Path, tmp_path: Path, place: str) -> None:
    shutil.copy(project / "params.yaml", tmp_path)
    (tmp_path / place).touch()
    message = run(tmp_path, "import", str(exported), "--into", "again", code=2)
    assert f"{place} is a file" in message
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(["params.yaml", place])


def test_a_training_that_cannot_take_its_weights_says_why(imported: Path) -> None:
    file = imported / "studies" / "again.yaml"
    text = file.read_text()
    (imported / "pipe").mkdir(exist_ok=True)
    if not (imported / "pipe" / "weights.safetensors").exists():
        os.mkfifo(imported / "pipe" / "weights.safetensors")
    for folder in ("pipe", "nowhere", "params.yaml", "", '"a\\0b"', "x" * 300):
        file.write_text(text.replace("folder: weights/again", f"folder: {folder or chr(34) * 2}"))
        try:
            message = run(imported, "train", "imported", "--study", str(file), "--force", code=2)
        finally:
            file.write_text(text)
        assert "runs.imported.weights.folder: " in message
        assert message.rstrip("\n").isprintable()


def test_an_unknown_format_is_refused(project: Path) -> None:
    message = run(project, "export", "improved", "--to", "new", "--format", "onnx", code=2)
    assert "use one of diffusers, rediffuse" in message
    assert not (project / "new").exists()


def test_a_run_that_is_not_trained_is_not_exported(project: Path, tmp_path: Path) -> None:
    shutil.copy(project / "params.yaml", tmp_path)
    message = run(tmp_path, "export", "improved", "--to", "new", code=2)
    assert "weights.safetensors: never made; run `rediffuse train improved --seed 0` first" in message


def test_weights_for_images_of_another_size_are_refused_and_nothing_is_written(project: Path, tmp_path: Path) -> None:
    config = preset("micro-digits", image_size=16, attention=(8,))
    process = {"timesteps": 1000, "schedule": "linear", "prediction": "eps", "variance": "fixed-small"}
    write_diffusers(tmp_path / "large", Package(config, UNet(config).state_dict(), process))
    message = run(project, "import", str(tmp_path / "large"), "--into", "large", code=2)
    assert "have 8 pixels a side, the network is for 16" in message
    assert not (project / "weights").exists()
    assert not (project / "studies").exists()


def test_a_folder_with_pickled_weights_only_is_refused(exported: Path, tmp_path: Path) -> None:
    shutil.copy(exported / "config.json", tmp_path)
    (tmp_path / "diffusion_pytorch_model.bin").write_bytes(b"pickle")
    message = run(exported.parent, "import", str(tmp_path), "--into", "pickled", code=2)
    assert "diffusion_pytorch_model.bin: holds pickled weights, which are never read" in message


def test_a_folder_of_our_own_format_is_read_back_as_it_was(imported: Path) -> None:
    package = read_package(imported / "weights" / "again")
    assert package.network.groups == 4
    assert package.diffusion["schedule"] == "cosine"
    assert package.clip is True
