"""A class-conditional run with guidance, and one on the straight path, through the stages they take."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import yaml

from rediffuse.evaluation.metrics import RESTORED
from rediffuse.pipeline.context import Context
from rediffuse.reporting import build_report
from rediffuse.reporting.read.evidence import write_ablations
from rediffuse.runs.samples import read_samples
from tests.stages.conftest import do

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def context(tmp_path_factory: pytest.TempPathFactory) -> Context:
    root = tmp_path_factory.mktemp("study")
    study = yaml.safe_load((ROOT / "studies" / "smoke.yaml").read_text())
    sampler = {"kind": "ddim", "steps": [3]}
    study["tracking"] = {"enabled": False}
    study["evaluation"]["group_size"] = 20
    study["defaults"]["training"] |= {"steps": 12, "checkpoint_every": 12, "preview_steps": [12]}
    study["defaults"]["sampling"] |= {"images": 40, "batch_size": 16}
    study["runs"] = {
        "conditional": {
            "role": "baseline",
            "network": {"class_conditional": True},
            "training": {"label_dropout": 0.2},
            "sampling": {
                "samplers": {
                    "off": {**sampler, "guidance": 0},
                    "on": {**sampler, "guidance": 1},
                    "plain": sampler,
                    "cold": {**sampler, "initial_temperature": 0},
                }
            },
        }
    }
    flow = {"flow-euler": {"steps": [4]}, "flow-heun": {"steps": [2]}}
    straight = {"diffusion": {"prediction": "velocity"}, "samplers": flow}
    asks = {"of": "conditional", "question": "Straight?", "arms": {"straight": straight}}
    scales = {"of": "conditional", "question": "How much?", "vary": {"sampler": ["off", "on"]}}
    scales["metrics"] = ["frechet_distance", "class_accuracy", "class_diversity"]
    study["experiments"] = {"path": {**asks, "samplers": {"plain": {**sampler, "kind": "ddim"}}}, "scales": scales}
    straight = {"better": "straight/denoising-ddim", "worse": "conditional/denoising-ddim"}
    study["claims"] = [{"claim": "A straight path denoises better", "source": "a test", "metric": "psnr", **straight}]
    study["restoration"]["runs"] = ["conditional", "straight"]
    (root / "params.yaml").write_text(yaml.safe_dump(study))
    context = Context.open(root / "params.yaml", root)
    for stage in ("prepare", "reference"):
        do(context, stage)
    for run in ("conditional", "straight"):
        for stage in ("train", "sample", "evaluate"):
            do(context, stage, run)
    for stage in ("examine", "nll", "restore"):
        do(context, stage, "conditional")
    do(context, "restore", "straight")
    return context


@pytest.fixture(scope="module")
def report(context: Context) -> Path:
    out = context.root / "reports" / "smoke"
    write_ablations(context.loaded, context.plan, context.root)
    build_report(context.loaded, context.plan, context.root, out)
    return out


def rows(report: Path, table: str) -> list[dict[str, str]]:
    with (report / "tables" / f"{table}.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def images(context: Context, setting: str, run: str = "conditional") -> np.ndarray:
    return read_samples(context.folder(context.loaded.run(run), 0) / "samples" / f"{setting}.npz").images


def metrics(context: Context, setting: str, run: str = "conditional") -> dict:
    return json.loads((context.folder(context.loaded.run(run), 0) / "metrics" / f"{setting}.json").read_text())


def test_guidance_of_one_is_the_network_as_trained(context: Context):
    assert np.array_equal(images(context, "on-3"), images(context, "plain-3"))


def test_guidance_of_nought_ignores_the_class(context: Context):
    assert not np.array_equal(images(context, "off-3"), images(context, "on-3"))


def test_without_initial_noise_samples_of_one_class_are_equal(context: Context):
    cold = images(context, "cold-3")
    # DDIM adds no noise of its own: sample i and sample i + 10 are of one class, and differ by rounding at most.
    assert np.abs(cold[0].astype(int) - cold[10].astype(int)).max() <= 1


def test_samples_are_judged_by_the_class_they_were_asked_for(context: Context):
    record = metrics(context, "on-3")
    accuracy = record["metrics"]["class_accuracy"]
    assert 0 <= accuracy["value"] <= 1
    assert accuracy["n"] == 20
    assert 0.5 < record["real_classes"]["class_accuracy"] <= 1
    assert record["guidance"] == 1


def test_a_likelihood_comes_with_its_parts_and_terms(context: Context):
    folder = context.folder(context.loaded.run("conditional"), 0) / "likelihood"
    record = json.loads((folder / "nll.json").read_text())
    terms = np.loadtxt(folder / "terms.csv", delimiter=",", skiprows=1)
    assert terms.shape == (50, 4)
    bits = record["metrics"]["bits_per_dim"]
    assert sum(record["parts"].values()) == pytest.approx(bits["value"], rel=1e-6)
    assert terms[:, 1].sum() + record["parts"]["prior"] == pytest.approx(bits["value"], rel=1e-6)
    assert bits["low"] < bits["value"] < bits["high"]


def test_an_examination_is_of_the_setting_that_guides_by_one_and_names_real_images_by_position(context: Context):
    path = context.folder(context.loaded.run("conditional"), 0) / "examination" / "examination.json"
    record = json.loads(path.read_text())
    assert (record["setting"], record["images"], record["guidance"]) == ("on-3", 40, 1)
    real = np.load(context.data_folder / "images.npy").reshape(64, -1) / 255
    held_out = np.load(context.data_folder / "held_out.npy")
    for name, source in (("samples", images(context, "on-3").reshape(40, -1) / 255), ("held_out", real)):
        for row in record["neighbours"][name]:
            found, place = row["pixels"], row["position"]
            assert not held_out[found["training"]]
            assert found["distance"] == pytest.approx(np.linalg.norm(source[place] - real[found["training"]]), rel=1e-9)
            assert found["distance"] == pytest.approx(
                np.linalg.norm(source[place] - real[~held_out], axis=1).min(), rel=1e-9
            )
    assert all(held_out[row["position"]] for row in record["neighbours"]["held_out"])


def test_an_examination_judges_all_images_against_the_reference_as_the_scores_do(context: Context):
    path = context.folder(context.loaded.run("conditional"), 0) / "examination" / "examination.json"
    record = json.loads(path.read_text())
    assert record["reference"] == metrics(context, "on-3")["reference"]
    assert record["by_count"]["samples"]["images"] == 40
    assert record["by_count"]["samples"]["dimension"] == 1280
    assert sum(record["classes"]["samples"]["counts"]) == 40
    assert record["by_class"] is None  # four of each class
    assert metrics(context, "on-3")["colours"] is None


def test_the_straight_path_is_sampled_by_its_own_samplers(context: Context):
    assert images(context, "flow-euler-4", "straight").shape == (40, 1, 8, 8)
    assert metrics(context, "flow-heun-2", "straight")["nfe"] == 3


def test_a_filled_hole_leaves_the_rest_as_it_was(context: Context):
    with np.load(context.folder(context.loaded.run("conditional"), 0) / "restoration" / "images.npz") as arrays:
        original, *filled = (arrays[k] for k in ("original", "inpainting/RePaint", "inpainting/DDNM, η = 0"))
    known = np.ones((8, 8), bool)
    known[2:6, 2:6] = False
    for images in filled:
        assert np.array_equal(images[..., known], original[..., known])


def test_an_experiment_of_scales_shows_classes_beside_those_of_real_images(report: Path):
    found = rows(report, "experiment-scales")
    assert [row["Sampler"] for row in found] == ["DDIM (guidance 0)", "DDIM (guidance 1)"]
    assert all(0 <= float(row["Class accuracy (higher is better)"]) <= 1 for row in found)
    assert "Held-out real images score" in (report / "tables" / "experiment-scales.md").read_text()


def test_the_report_has_a_row_for_each_task_method_and_run_that_restores(report: Path):
    found = [(row["Task"], row["Method"], row["Run"]) for row in rows(report, "restoration")]
    methods = [
        *(("inpainting", method) for method in ("DDNM, η = 0", "RePaint")),
        *(("denoising", method) for method in ("DDIM", "posterior mean", "posterior sample")),
        *(("super-resolution", method) for method in ("DDNM", "DDNM, η = 0")),
    ]
    assert found == [(*method, run) for method in methods for run in ("conditional", "straight")]


def test_another_run_is_compared_with_the_first_image_by_image(context: Context, report: Path):
    folders = [context.folder(context.loaded.run(run), 0) for run in ("conditional", "straight")]
    cleaned = [json.loads((f / "restoration" / "psnr.json").read_text())["tasks"]["denoising"] for f in folders]
    first, second = (np.array(record["restored"]["posterior mean"]["per_image"]) for record in cleaned)
    [row] = [r for r in rows(report, "restoration") if r["Method"] == "posterior mean" and r["Run"] == "straight"]
    assert float(row["More than the first run (dB)"]) == pytest.approx((second - first).mean(), abs=1e-3)


def test_what_a_run_restored_are_cells(report: Path):
    cells = json.loads((report / "metrics.json").read_text())["conditional"]
    assert {setting for setting, metrics in cells.items() if "psnr" in metrics} == set(RESTORED)


def test_a_claim_of_psnr_is_judged_image_by_image_for_what_an_experiment_trained_too(context: Context, report: Path):
    folders = [context.folder(context.loaded.run(run), 0) for run in ("conditional", "straight")]
    cleaned = [json.loads((f / "restoration" / "psnr.json").read_text())["tasks"]["denoising"] for f in folders]
    first, second = (np.array(record["restored"]["DDIM"]["per_image"]) for record in cleaned)
    [claim] = json.loads((report / "claims.json").read_text())
    assert f"over the same {len(first)} images is {(second - first).mean():.2f}"[:-1] in claim["reason"]


@pytest.mark.parametrize(
    "name", ["experiment-scales", "restoration", "film", "bound", "samples-conditional", "neighbours", "sample-count"]
)
def test_the_report_draws(report: Path, name: str):
    assert (report / "figures" / f"{name}.png").stat().st_size > 1000
