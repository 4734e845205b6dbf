"""What a study can ask of sampling, and what is said of it: own options, counted evaluations, shares, no NaN."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from rediffuse.errors import UserError
from rediffuse.files import read_json
from rediffuse.jobs.sampling import sample_shard
from rediffuse.pipeline.context import Context
from rediffuse.runs import facts
from rediffuse.runs.samples import Samples, read_samples, write_samples
from tests.stages.conftest import do, open_study, smoke_study

FOLDER = Path("runs/smoke/baseline/seed0")
SAMPLERS = {
    "ddim": {"steps": [22, 5], "spacing": "quadratic"},
    "near": {"kind": "ddim", "steps": [5], "spacing": "quadratic", "variations": 0.2},
    "first-order": {"kind": "dpm-solver-pp", "steps": [5], "spacing": "quadratic", "order": 1},
    "second-order": {"kind": "dpm-solver-pp", "steps": [5], "spacing": "quadratic"},
    "ode-heun": {"steps": [5]},
    "ode-adaptive": {"tolerance": [0.1, 0.01]},
    "own-times": {"kind": "ode-adaptive", "tolerance": [0.1], "fractional": False},
}


@pytest.fixture(scope="module")
def context(tmp_path_factory: pytest.TempPathFactory) -> Context:
    """A run of 25 time steps, trained, and sampled in every way above in batches of 16."""
    study = smoke_study()
    study["runs"] = {"baseline": study["runs"]["baseline"]}
    study |= {"experiments": {}, "claims": []}
    study["defaults"]["diffusion"] = {"timesteps": 25}
    study["defaults"]["sampling"] |= {"batch_size": 16, "samplers": SAMPLERS}
    del study["evaluation"]["during_training"]
    opened = open_study(tmp_path_factory.mktemp("sampling"), study)
    do(opened, "prepare")
    do(opened, "train", "baseline")
    do(opened, "sample", "baseline")
    return opened


def samples(context: Context, setting: str) -> Samples:
    return read_samples(context.root / FOLDER / "samples" / f"{setting}.npz")


def measured(context: Context, setting: str) -> dict[str, float]:
    return read_json(context.root / FOLDER / "timing" / "sample.json")["settings"][setting]


def command(context: Context, *words: str) -> subprocess.Popen[str]:
    program = [sys.executable, "-m", "rediffuse", "sample", "baseline", *words]
    return subprocess.Popen(program, cwd=context.root, env=dict(os.environ), stderr=subprocess.PIPE, text=True)


def test_repeated_quadratic_steps_are_taken_once_and_counted_once(context: Context):
    # DDIM's published spacing, floor(linspace(0, sqrt(0.8 T), S)^2), has 16 different values here.
    assert len({int(t) for t in np.linspace(0, np.sqrt(0.8 * 25), 22) ** 2}) == 16
    assert samples(context, "ddim-22").nfe == 16
    took = measured(context, "ddim-22")
    assert took["nfe"] == 16
    # 40 images are three batches of at most 16.
    assert took["ms_per_step"] == pytest.approx(1000 * took["seconds"] / (3 * 16))


def test_a_step_of_two_evaluations_is_one_step(context: Context):
    took = measured(context, "ode-heun-5")
    assert took["nfe"] == samples(context, "ode-heun-5").nfe == 2 * 5 - 1
    assert took["ms_per_step"] == pytest.approx(1000 * took["seconds"] / (3 * 5))


def test_a_sampler_that_chooses_its_steps_has_a_setting_for_each_tolerance(context: Context):
    coarse, fine = (samples(context, f"ode-adaptive-tol{tolerance}").nfe or 0 for tolerance in ("0.1", "0.01"))
    assert 5 < coarse < fine
    took = measured(context, "ode-adaptive-tol0.01")
    assert took["nfe"] == fine
    # Of such a method each evaluation counts as a step; batches are called until their slowest image has arrived.
    assert 1000 * took["seconds"] / took["ms_per_step"] == pytest.approx(3 * fine, abs=12)


def test_options_of_a_sampler_reach_it(context: Context):
    # DPM-Solver++ of first order is DDIM with eta = 0.
    first, ddim = (samples(context, name).images.astype(int) for name in ("first-order-5", "ddim-5"))
    assert abs(first - ddim).max() <= 1
    assert abs(samples(context, "second-order-5").images.astype(int) - ddim).max() > 1
    assert not np.array_equal(
        samples(context, "own-times-tol0.1").images, samples(context, "ode-adaptive-tol0.1").images
    )


def test_variations_stay_near_the_first_image(context: Context):
    images, near = samples(context, "ddim-5").images.astype(float), samples(context, "near-5").images.astype(float)
    away = np.abs(images[1:] - images[0]).mean()
    assert 0 < np.abs(near - images[0]).mean() < 0.6 * away
    assert len(np.unique(near, axis=0)) == len(near)


def test_settings_that_vary_one_image_are_compared_with_no_other(context: Context):
    run = context.loaded.run("baseline")
    assert "near-5" in [setting for setting, _, _ in facts.settings(run)]
    assert "near-5" not in [setting for setting, _, _ in facts.comparable_settings(run)]


def test_the_options_that_were_set_are_told(context: Context):
    run = context.loaded.run("baseline")
    assert facts.other_options(run, "near") == {"spacing": "quadratic", "variations": 0.2}
    assert facts.other_options(run, "own-times") == {"fractional": False}
    assert facts.describe(run, "first-order")["order"] == 1


def test_shares_drawn_by_two_processes_join_to_the_bytes_of_one_go(context: Context):
    folder = context.root / FOLDER / "samples"
    files = {path.name: path.read_bytes() for path in folder.glob("*.npz")}
    for path in folder.iterdir():
        path.unlink()
    shares = [command(context, "--only", share) for share in ("0:16", "16:40")]
    assert [process.wait() for process in shares] == [0, 0]
    assert list(folder.iterdir()) == []
    do(context, "sample", "baseline")
    assert {path.name: path.read_bytes() for path in folder.glob("*.npz")} == files
    # What others drew is no time of this machine: those settings keep what was measured before.
    assert measured(context, "ddim-22")["images"] == 40


@pytest.mark.parametrize("share", ["0:15", "7:40", "16:16", "0:48", "0-16", "0:9999999999999"])
def test_a_share_that_is_no_range_of_whole_batches_is_refused(context: Context, share: str):
    with pytest.raises(UserError, match=r"--only.*batch size 16, or 40 as LAST"):
        sample_shard(context.plan.find("sample", "baseline", 0), context, share)


def test_a_setting_of_more_images_begins_with_those_of_fewer_and_changes_no_other(context: Context, tmp_path: Path):
    root = tmp_path / "more"
    shutil.copytree(context.root, root)
    content = yaml.safe_load((root / "params.yaml").read_text())
    fewer = {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in (root / FOLDER / "samples").iterdir()}
    do(open_study(root, content), "reference")
    do(open_study(root, content), "evaluate", "baseline")
    scores = root / FOLDER / "metrics"
    scored = {path.name: read_json(path) for path in scores.iterdir()}
    content["defaults"]["sampling"]["images_of"] = {"ddim-5": 65, "ddim-22": 20}
    more = open_study(root, content)
    # A share of another machine: the last two batches of the one setting that has so many images.
    sample_shard(more.plan.find("sample", "baseline", 0), more, "48:65")
    do(more, "sample", "baseline")
    do(more, "evaluate", "baseline")

    made = {name: samples(more, name).images for name in ("ddim-5", "ddim-22")}
    assert [len(images) for images in made.values()] == [65, 20]
    assert np.array_equal(made["ddim-5"][:40], samples(context, "ddim-5").images)
    assert np.array_equal(made["ddim-22"], samples(context, "ddim-22").images[:20])
    now = {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in (root / FOLDER / "samples").iterdir()}
    assert {name for name in fewer if now[name] != fewer[name]} == {"ddim-5.npz", "ddim-22.npz"}

    # Groups of 20: as many as they fill, the first of the same images; what all images give is said of all of them.
    for name, groups, images in (("ddim-5", 3, 65), ("ddim-22", 1, 20)):
        before, after = scored.pop(f"{name}.json"), read_json(scores / f"{name}.json")
        values = [record["metrics"]["frechet_distance"]["groups"] for record in (before, after)]
        assert (len(values[1]), after["images"], after["whole"]["images"]) == (groups, 20 * groups, images)
        assert values[1][:2] == pytest.approx(values[0][:groups], rel=1e-5)
    assert {name: read_json(scores / name) for name in scored} == scored
    # Seconds are those of the images that were drawn; of settings that were kept, those of then.
    assert [measured(more, name)["images"] for name in ("ddim-5", "ddim-22", "ode-heun-5")] == [48, 20, 40]


def test_samples_that_are_not_finite_are_refused_and_not_written(
    context: Context, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    from rediffuse.data.image_set import open_image_set
    from rediffuse.jobs.sampling import sample_settings

    job, elsewhere = context.plan.find("sample", "baseline", 0), Context.open(context.root / "params.yaml", tmp_path)
    # Damaged weights are refused when they are read: here the network overflows at work.
    overflowing = torch.nn.Module()
    overflowing.forward = lambda x, t, y=None: torch.full_like(x, torch.nan)  # type: ignore[method-assign]
    monkeypatch.setattr("rediffuse.jobs.sampling.trained_network", lambda *_: overflowing)
    with pytest.raises(UserError, match=r"^sample baseline ddim-22, images 0 to 15: 16 of 16 images hold NaN"):
        sample_settings(job, elsewhere, open_image_set(context.data_folder))
    assert list(tmp_path.rglob("*.npz")) == []


def test_a_streamed_file_is_the_one_that_numpy_writes(tmp_path: Path):
    images = np.random.default_rng(0).integers(0, 256, (70, 3, 5, 5), dtype=np.uint8)
    np.savez(tmp_path / "numpy.npz", images=images, nfe=np.array(7), stamp=np.array("abc"))
    write_samples(tmp_path / "ours.npz", images.shape, iter([images[:32], images[32:64], images[64:]]), 7, "abc")
    assert (tmp_path / "ours.npz").read_bytes() == (tmp_path / "numpy.npz").read_bytes()
