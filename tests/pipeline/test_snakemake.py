"""Snakemake and the receipts agree on what is out of date: the scenarios a user meets, with the real tools."""

import csv
import json
import os
import re
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from rediffuse.pipeline.stage import stages
from tests.pipeline.conftest import ONE_RUN, Clone, changed, jobs, logged


def test_snakemake_alone_builds_data_weights_samples_metrics_and_report(built: Clone):
    for file in (
        "data/smoke/images.npy",
        "data/smoke/reference-efficientnet-lite0.npz",
        "runs/smoke/real/held-out.json",
        "runs/smoke/baseline/seed0/weights.safetensors",
        "runs/smoke/improved/seed0/samples/ddim-5.npz",
        "runs/smoke/improved/seed0/metrics/ancestral-50.json",
        "reports/smoke/report.html",
        "reports/smoke/report.md",
    ):
        assert (built.folder / file).stat().st_size > 0, file


def test_a_second_build_has_nothing_to_do(built: Clone):
    before = built.worked()
    assert "Nothing to be done" in built.run("snakemake --cores 2")
    assert changed(before, built.worked()) == set()


def test_a_killed_trainer_goes_on_and_ends_with_the_same_weights(built: Clone, tmp_path: Path):
    clone = built.copy(tmp_path / "project")
    run = "runs/smoke/improved/seed0"
    right = clone.digests(f"{run}/weights.safetensors", f"{run}/history.csv", f"{run}/snapshots/*")
    for name in (*right, f"{run}/receipts/train.json"):
        (clone.folder / name).unlink()
    command, checkpoint = "rediffuse train improved", "state/smoke/improved/seed0/train/checkpoint.*.pt"
    assert clone.kill_when_written(command, checkpoint)
    assert not (clone.folder / run / "weights.safetensors").exists()

    clone.run(command)

    assert clone.digests(*right) == right
    # Checkpoints are written after steps 20 and 40; which was the last before the kill depends on the machine.
    assert json.loads((clone.folder / run / "timing/train.json").read_text())["resumed_from"] in (20, 40)


def test_a_killed_one_pass_training_goes_on_and_ends_with_the_same_weights(built: Clone, tmp_path: Path):
    clone = built.copy(tmp_path / "project")
    run, checkpoint = "runs/smoke/wgan-gp/seed0", "state/smoke/wgan-gp/seed0/train/checkpoint.*.pt"
    right = clone.digests(f"{run}/weights.safetensors", f"{run}/history.csv", f"{run}/snapshots/*")
    for name in (*right, f"{run}/receipts/train.json"):
        (clone.folder / name).unlink()
    assert clone.kill_when_written("rediffuse train wgan-gp", checkpoint)
    assert not (clone.folder / run / "weights.safetensors").exists()

    clone.run("rediffuse train wgan-gp")

    assert clone.digests(*right) == right
    assert json.loads((clone.folder / run / "timing/train.json").read_text())["resumed_from"] in (5, 10)


def test_a_changed_one_pass_model_is_made_again_and_nothing_else_though_all_files_are_of_next_year(
    built: Clone, tmp_path: Path
):
    clone = built.copy(tmp_path / "project")
    before = clone.worked()
    for receipt in clone.made():
        os.utime(receipt, (time.time() + 1e7,) * 2)
    clone.edit("params.yaml", "model: dcgan\n    network: {latent: 8", "model: dcgan\n    network: {latent: 6")
    clone.run("snakemake --cores 2 --quiet all -- measured")
    assert changed(before, clone.worked()) == jobs("dcgan", "train", "follow", "sample", "evaluate", "examine")


def test_one_pass_models_are_logged_like_runs_and_compare_with_them(built: Clone):
    runs = {run["name"]: run for run in logged(built)}
    for name in ("dcgan", "wgan-gp", "vae"):
        run = runs[f"{name}-seed0"]
        assert (run["rediffuse.role"], run["rediffuse.model"]) == ("variant", name)
        assert runs[f"{name}-seed0 evaluation"]["mlflow.parentRunId"] == run["id"]
        metric = json.loads((built.folder / f"runs/smoke/{name}/seed0/metrics/one-pass-1.json").read_text())
        assert run["metrics"]["frechet_distance.one-pass-1"] == metric["metrics"]["frechet_distance"]["value"]
    assert runs["dcgan-seed0"]["points"]["generator_loss"] == 3
    assert "bits_per_dim" in runs["vae-seed0"]["metrics"]


def test_a_stage_that_a_run_does_not_have_is_refused_with_one_clear_line(built: Clone):
    output = built.run("rediffuse nll dcgan", code=2)
    assert output.splitlines() == ["rediffuse: nll: dcgan has no such job, only baseline, improved, vae have it"]


@pytest.mark.parametrize(
    ("command", "wanted"),
    [
        ("snakemake -n -R real", {"real", "report"}),
        ("snakemake -n --forcerun train -- trained", {"train"}),
        ("snakemake -n --forceall -- prepared", {"prepare"}),
        ("snakemake -n --force runs/smoke/improved/seed0/metrics/ddim-5.json", {"evaluate"}),
    ],
)
def test_snakemakes_own_options_force_what_they_name(built: Clone, command: str, wanted: set[str]):
    counted = re.findall(r"^(\w+) +\d+$", built.run(command), re.M)
    assert {rule.split("_")[0] for rule in counted} - {"all", "total", "trained", "prepared"} == wanted


def test_what_is_forced_is_really_made_again_with_the_same_bytes(built: Clone, tmp_path: Path):
    clone = built.copy(tmp_path / "project")
    right = clone.results()
    held_out = clone.folder / "runs/smoke/real/held-out.json"
    held_out.write_text("{}")
    clone.run("snakemake --cores 2 --quiet all -R real -- real_lines")
    assert clone.results() == right
    before = clone.worked()
    clone.run("snakemake --cores 2 --quiet all --force -- runs/smoke/vae/seed0/metrics/one-pass-1.json")
    assert changed(before, clone.worked()) == jobs("vae", "evaluate")
    assert clone.results() == right


def test_any_file_can_be_asked_for_by_its_name_and_a_dry_run_writes_nothing(built: Clone, tmp_path: Path):
    clone = built.copy(tmp_path / "project")
    (clone.folder / "runs/smoke/improved/seed0/metrics/ddim-5.json").unlink()
    before = {path: path.stat().st_mtime_ns for path in clone.folder.rglob("*") if ".snakemake" not in path.parts}
    output = clone.run("snakemake -n runs/smoke/improved/seed0/metrics/ddim-5.json")
    assert "Evaluating: evaluate/improved/seed0" in output
    after = {path: path.stat().st_mtime_ns for path in clone.folder.rglob("*") if ".snakemake" not in path.parts}
    ours = {path for path in after if "__pycache__" not in path.parts and path.name != "__pycache__"}
    assert {path for path in ours if before.get(path) != after[path]} <= {clone.folder}


def test_an_accepted_result_is_kept_under_changed_code_and_its_receipt_says_so(built: Clone, tmp_path: Path):
    clone = built.copy(tmp_path / "project")
    right = clone.digests("runs/**/*.safetensors", "runs/**/metrics/*")
    timing, receipt = (clone.folder / f"runs/smoke/vae/seed0/{where}/train.json" for where in ("timing", "receipts"))
    took = json.loads(timing.read_text())
    clone.edit("src/rediffuse/training/adam.py", "eps: float = 1e-8", "eps: float = 1e-8 + 0")
    assert "train/vae/seed0" in clone.run("rediffuse status | grep 'code changed'")
    clone.run("rediffuse accept train/vae/seed0", code=2)
    output = clone.run("rediffuse accept train/vae/seed0 --because 'adding nothing changes nothing'")
    assert {"train/vae/seed0 is kept", "evaluate/vae/seed0 is kept"} <= set(output.splitlines())
    [said] = json.loads(receipt.read_text())["accepted"]
    assert said["because"] == "adding nothing changes nothing"
    # What it took counts as well, by the commit that made it.
    key = json.loads(receipt.read_text())["key"]
    assert key != took["key"]
    assert json.loads(timing.read_text()) == {**took, "key": key}
    states = dict(line.split(maxsplit=1) for line in clone.run("rediffuse status").splitlines())
    assert states["train/vae/seed0"] == states["examine/vae/seed0"] == "up to date"
    assert states["train/baseline/seed0"] == "code changed"
    assert clone.digests("runs/**/*.safetensors", "runs/**/metrics/*") == right


def test_track_replays_what_lies_on_disk_into_an_empty_store(built: Clone, tmp_path: Path):
    clone = built.copy(tmp_path / "project")
    live = logged(clone)
    (clone.folder / "mlflow.db").unlink()
    assert not list(clone.folder.glob("state/smoke/unlogged/*"))  # as of a job that was killed before it left a mark
    clone.run("rediffuse track")
    replayed = logged(clone)
    assert [compared(run) for run in replayed] == [compared(run) for run in live]
    clone.run("rediffuse track")
    assert logged(clone) == replayed


def test_evaluations_are_nested_under_their_training_and_comparable_on_it(built: Clone):
    runs = {run["name"]: run for run in logged(built)}
    assert runs["improved-seed0 evaluation"]["mlflow.parentRunId"] == runs["improved-seed0"]["id"]
    for name in ("baseline-seed0", "improved-seed0"):
        metric = json.loads((built.folder / f"runs/smoke/{name[:-6]}/seed0/metrics/ddim-5.json").read_text())
        value = metric["metrics"]["frechet_distance"]["value"]
        assert runs[name]["metrics"]["frechet_distance.ddim-5"] == value
        assert runs[name]["rediffuse.role"] == name[:-6]
        assert len(runs[name]["mlflow.source.git.commit"]) == 40


def test_examinations_are_nested_under_their_training_and_scores_by_step_stand_on_it(built: Clone):
    runs = {run["name"]: run for run in logged(built)}
    training, examination = runs["improved-seed0"], runs["improved-seed0 examination"]
    assert examination["mlflow.parentRunId"] == training["id"]
    folder = built.folder / "runs/smoke/improved/seed0"
    memorisation = json.loads((folder / "examination/examination.json").read_text())["memorisation"]
    assert examination["metrics"]["memorisation.ratio.pixels"] == memorisation["pixels"]["ratio"]
    rows = json.loads((folder / "during-training/scores.json").read_text())["rows"]
    for name in ("frechet_distance", "inception_score"):
        for weights in ("averaged", "raw"):
            assert training["metrics"][f"during_training.{name}.{weights}"] == rows[-1][weights][name]
    assert training["points"]["during_training.frechet_distance.raw"] == len(rows) == 2


def test_what_is_measured_anew_is_what_a_training_shows(built: Clone, tmp_path: Path):
    clone = built.copy(tmp_path / "project")
    # A store names its folder of artefacts by an absolute path: a copy needs one of its own.
    (clone.folder / "mlflow.db").unlink()
    shown = []
    for images in (6, 4):
        clone.edit("params.yaml", f"likelihood_images: {images + 2}", f"likelihood_images: {images}")
        clone.run("rediffuse nll baseline")
        [run] = logged(clone)
        record = json.loads((clone.folder / "runs/smoke/baseline/seed0/likelihood/nll.json").read_text())
        assert run["metrics"]["bits_per_dim"] == record["metrics"]["bits_per_dim"]["value"]
        [artefact] = clone.folder.glob(f"mlartifacts/smoke/{run['id']}/artifacts/likelihood/nll.json")
        assert json.loads(artefact.read_text()) == record
        shown.append(run)
    first, second = shown
    assert second["metrics"]["bits_per_dim"] != first["metrics"]["bits_per_dim"]
    assert second["points"] == first["points"] | {"bits_per_dim": 2}


def test_a_classifier_is_logged_as_a_run_of_its_own(built: Clone):
    [run] = [run for run in logged(built) if run["name"] == "improved-seed0 classifier"]
    with (built.folder / "runs/smoke/improved/seed0/classifier/history.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert run["metrics"]["loss"] == float(rows[-1]["loss"])
    assert run["points"]["loss"] == len(rows)


def compared(run: dict[str, Any]) -> dict[str, Any]:
    """A logged run without what every logging gives it anew."""
    return {key: value for key, value in run.items() if key not in ("id", "mlflow.parentRunId", "mlflow.user")}


def test_an_edited_sampler_resamples_only_what_it_changes_and_never_retrains(built: Clone, tmp_path: Path):
    clone = built.copy(tmp_path / "project")
    before = clone.worked()
    kept = {
        name: (clone.folder / name).stat().st_ino for name in clone.digests("runs/smoke/*/seed0/samples/ancestral*")
    }
    clone.edit("params.yaml", "ddim: {steps: [5]}\n\nruns", "ddim: {steps: [5, 7]}\n\nruns")

    clone.run("snakemake --cores 2 --quiet all -- sampled")

    # The other run lists samplers of its own.
    assert changed(before, clone.worked()) == jobs("baseline", "sample")
    assert {name: (clone.folder / name).stat().st_ino for name in kept} == kept
    assert (clone.folder / "runs/smoke/baseline/seed0/samples/ddim-7.npz").exists()


def test_a_comment_in_the_source_reruns_nothing(built: Clone, tmp_path: Path):
    clone = built.copy(tmp_path / "project")
    path = clone.folder / "src/rediffuse/training/loop.py"
    path.write_text(path.read_text() + "\n# A remark.\n")
    assert "Nothing to be done" in clone.run("snakemake --cores 2")


def test_a_changed_statement_in_the_trainer_reruns_training(built: Clone, tmp_path: Path):
    clone = built.copy(tmp_path / "project")
    path = clone.folder / "src/rediffuse/training/loop.py"
    path.write_text(path.read_text().replace("done.step += 1", "done.step += 1 + 0"))
    dry = clone.run("snakemake --cores 2 --dry-run trained")
    assert "Training: train/improved/seed0" in dry
    assert "Training: train/baseline/seed0" in dry
    assert "Preparing the data set" not in dry


def test_a_damaged_file_is_made_again_and_nothing_else(built: Clone, tmp_path: Path):
    clone = built.copy(tmp_path / "project")
    right, before = clone.results(), clone.worked()
    path = clone.folder / "runs/smoke/baseline/seed0/metrics/ddim-5.json"
    path.write_text(path.read_text().replace("value", "valve"))
    clone.run("snakemake --cores 2 --quiet all -- evaluated")
    assert clone.results() == right
    assert changed(before, clone.worked()) == jobs("baseline", "evaluate")


def test_a_stage_refuses_inputs_made_under_other_settings(built: Clone, tmp_path: Path):
    clone = built.copy(tmp_path / "project")
    clone.edit("params.yaml", *ONE_RUN)
    output = clone.run("rediffuse sample improved", code=2)
    assert len(output.splitlines()) == 1
    assert "settings changed" in output
    assert "`rediffuse train improved --seed 0`" in output


def test_two_snakemakes_at_once_are_refused_with_one_clear_line(built: Clone, tmp_path: Path):
    clone = built.copy(tmp_path / "project")
    clone.edit("params.yaml", *ONE_RUN)
    log = clone.folder / "state/smoke/logs/train/improved/seed0.log"
    log.unlink()
    first = clone.start("snakemake --cores 1 --quiet all -- trained")
    while not log.exists():
        assert first.poll() is None
        time.sleep(0.05)
    output = clone.run("snakemake --cores 1 trained", code=1)
    assert "snakemake is already running here" in output
    os.killpg(first.pid, signal.SIGKILL)
    first.communicate()


def test_the_reference_that_trainings_are_scored_against_starts_before_any_of_them():
    first = {name: stage.first for name, stage in stages().items()}
    assert first.pop("reference") > max(first.values())
