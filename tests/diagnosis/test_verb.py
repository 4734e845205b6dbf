"""`rediffuse diagnose` as a student meets it: a run, a folder of weights, a page, an exit code."""

import json
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from rediffuse import cli
from rediffuse.data.digits import digits
from rediffuse.data.image_set import save_image_set
from rediffuse.interop.own_format import Package, write_package
from rediffuse.interop.sources import write_diffusers
from rediffuse.weights import write_weights

PROJECT = Path(__file__).resolve().parents[2]
STUDY = """
study: ward
title: A study to be looked at
data: {name: digits}
evaluation: {features: efficientnet-lite0, group_size: 20, groups: 2, batch_size: 32}
seeds: [0]
defaults:
  network: {channels: 16, multipliers: [1, 2], blocks: 1, attention: [], middle_attention: false, groups: 8}
  diffusion: {timesteps: 100, schedule: cosine, prediction: v, variance: fixed-small}
  training: {steps: 250, batch_size: 32, warmup: 0, ema_decay: 0.98, ema_warmup: true, preview_steps: [250]}
runs:
  baseline: {role: baseline}
  improved: {role: improved}
  vae: {model: vae}
"""
FAST = ("--images", "16", "--steps", "5")


@pytest.fixture(scope="module")
def folder(grey, linear, tmp_path_factory):
    """A study whose run `improved` is trained, the same weights published, and others in diffusers' layout."""
    folder = tmp_path_factory.mktemp("ward")
    (folder / "params.yaml").write_text(STUDY)
    save_image_set(folder / "data" / "digits", digits())
    state, made = grey.network.state_dict(), folder / "runs" / "ward" / "improved" / "seed0"
    write_weights(made / "weights.safetensors", state, {"job": "test"})
    both = {f"averaged.{name}": value for name, value in state.items()}
    both |= {f"raw.{name}": value for name, value in grey.raw.items()}
    write_weights(made / "snapshots" / "step-000250.safetensors", both, {"step": "250"})
    how = {"timesteps": 100, "schedule": "cosine", "prediction": "v", "variance": "fixed-small"}
    write_package(folder / "published" / "improved", Package(grey.network.config, state, how, True))
    how |= {"schedule": "linear", "prediction": "x0"}
    write_diffusers(folder / "published" / "linear", Package(linear.config, linear.state_dict(), how, True))
    return folder


def run(folder, monkeypatch, capsys, *arguments: object) -> tuple[int, str, str]:
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "argv", ["rediffuse", "diagnose", *map(str, arguments)])
    capsys.readouterr()
    with pytest.raises(SystemExit) as stop:
        cli.main()
    return int(stop.value.code or 0), *capsys.readouterr()


def commands(page: str) -> list[str]:
    lines = (PROJECT / page).read_text(encoding="utf-8").splitlines()
    return [line.split("#")[0].strip() for line in lines if line.startswith("    rediffuse diagnose ")]


@pytest.mark.parametrize("command", dict.fromkeys(commands("README.md") + commands("docs/diagnose.md")))
def test_a_command_of_the_pages_runs_and_finds_nothing_wrong(folder, monkeypatch, capsys, command: str):
    code, out, err = run(folder, monkeypatch, capsys, *shlex.split(command)[2:], *FAST)
    assert code == 0, out + err
    assert "Nothing is wrong" in out
    record = json.loads((folder / "diagnosis" / "improved" / "findings.json").read_text())
    assert record["root"] is None
    page = (folder / "diagnosis" / "improved" / "page.html").read_text()
    assert page.count("<figure") == 3


def test_raw_weights_in_the_place_of_the_average_end_with_code_1_and_the_same_bytes_twice(
    folder, grey, monkeypatch, capsys, tmp_path
):
    file = folder / "runs" / "ward" / "improved" / "seed0" / "weights.safetensors"
    kept = file.read_bytes()
    try:
        write_weights(file, grey.raw, {"job": "test"})
        made = []
        for name in ("one", "two"):
            code, out, _ = run(folder, monkeypatch, capsys, "improved", *FAST, "--output", tmp_path / name)
            assert code == 1
            made.append([(tmp_path / name / file).read_bytes() for file in ("findings.json", "page.html")])
        assert made[0] == made[1]
        assert json.loads(made[0][0])["root"] == "averaging"
        assert "sample with the averaged weights" in out
    finally:
        file.write_bytes(kept)


def test_diffusers_folder_with_betas_that_do_not_end_in_noise(folder, monkeypatch, capsys, tmp_path):
    scheduler = folder / "published" / "linear" / "scheduler" / "scheduler_config.json"
    given = json.loads(scheduler.read_text())
    # β up to 0.02 was meant for 1,000 steps: after 100, √ᾱ_T = √Π(1 − β) is still 0.6.
    scheduler.write_text(json.dumps({**given, "beta_start": 1e-4, "beta_end": 0.02}))
    code, _, _ = run(folder, monkeypatch, capsys, "published/linear", "--data", "digits", *FAST, "--output", tmp_path)
    record = json.loads((tmp_path / "findings.json").read_text())
    left = np.prod(np.sqrt(1 - np.linspace(1e-4, 0.02, 100)))
    assert code == 1
    assert record["root"] == "schedule"
    assert record["checks"]["schedule"]["numbers"]["signal"] == pytest.approx(left, rel=1e-6)


def test_nan_in_published_weights_is_a_finding_and_not_a_refusal(folder, grey, monkeypatch, capsys, tmp_path):
    state = {name: value.clone() for name, value in grey.network.state_dict().items()}
    state["output.bias"][:] = torch.nan
    package = Package(grey.network.config, state, {"timesteps": 100, "schedule": "cosine"}, True)
    write_package(tmp_path / "broken", package)
    given = ("--data", "digits", "--output", tmp_path / "out")
    code, out, _ = run(folder, monkeypatch, capsys, tmp_path / "broken", *given)
    assert code == 1
    assert "output.bias hold NaN" in out
    assert (tmp_path / "out" / "page.html").is_file()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("nobody",), "nobody"),
        (("vae",), "vae is no diffusion model"),
        (("baseline",), "no weights of run baseline; make them first"),
        (("improved", "--seed", "3"), "has no seed 3"),
        (("improved", "--data", "digits"), "leave out --data"),
        (("published/improved",), "name the images they were trained on with --data"),
        (("published/improved", "--data", "nothing"), "--data: no images 'nothing'"),
        (("params.yaml", "--data", "digits"), "params.yaml"),
        (("improved", "--images", "2"), "--images"),
        (("improved", "--output", "params.yaml"), "--output: params.yaml cannot be written"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(folder, monkeypatch, capsys, arguments, said: str):
    before = sorted(folder.rglob("*"))
    code, out, err = run(folder, monkeypatch, capsys, *arguments)
    assert (code, out) == (2, "")
    assert len(err.strip().splitlines()) == 1
    assert said in err
    assert sorted(folder.rglob("*")) == before


def test_the_page_of_checks_is_the_generated_one():
    made = subprocess.run(
        [sys.executable, PROJECT / "docs" / "make_diagnose.py"], capture_output=True, text=True, check=True
    )
    assert made.stdout == (PROJECT / "docs" / "diagnose.md").read_text()
