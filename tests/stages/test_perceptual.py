"""LPIPS in a study, with weights of the true format that mean nothing, through the stages and the report."""

import csv
import json
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml

from rediffuse.evaluation.lpips import LpipsDistance
from rediffuse.files import sha256
from rediffuse.pipeline.context import Context
from rediffuse.reporting import build_report
from rediffuse.runs.samples import read_samples
from tests.evaluation.test_lpips import random_weights
from tests.stages.test_exchange import run

ROOT = Path(__file__).resolve().parents[2]
MODELS = {"baseline": "ancestral-2", "vae": "one-pass-1"}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run and a one-pass model, examined with LPIPS."""
    root = tmp_path_factory.mktemp("project")
    network, heads = random_weights("alex")
    torch.save(network, root / "alex.pth")
    torch.save(heads, root / "heads.pth")
    study = yaml.safe_load((ROOT / "studies" / "smoke.yaml").read_text())
    study["tracking"] = {"enabled": False}
    study["evaluation"] |= {
        "group_size": 12,
        "groups": 3,
        "lpips": {"network": "alex", "weights": "alex.pth", "heads": "heads.pth", "size": 64},
    }
    study["defaults"]["training"] |= {"steps": 12, "checkpoint_every": 12, "preview_steps": [12]}
    study["defaults"]["sampling"]["samplers"] = {"ancestral": {"steps": [2]}}
    study["runs"] = {name: study["runs"][name] for name in ("baseline", "vae")}
    study["experiments"], study["claims"] = {}, []
    (root / "params.yaml").write_text(yaml.safe_dump(study))
    for verb in (
        "check",
        "prepare",
        "reference",
        "train baseline",
        "sample baseline",
        "train vae",
        "sample vae",
        "evaluate baseline",
        "evaluate vae",
        "examine baseline",
        "examine vae",
        "real",
    ):
        run(root, *verb.split())
    return root


def examination(project: Path, model: str) -> dict[str, Any]:
    return json.loads((project / f"runs/smoke/{model}/seed0/examination/examination.json").read_text())


@pytest.mark.parametrize("model", MODELS)
def test_the_diversity_is_the_mean_over_the_pairs_of_each_group(project: Path, model: str) -> None:
    images = read_samples(project / f"runs/smoke/{model}/seed0/samples/{MODELS[model]}.npz").images
    measure = LpipsDistance("alex", project / "alex.pth", project / "heads.pth", size=64)
    groups = []
    for start in (0, 12, 24):
        first, second = zip(*combinations(range(start, start + 12), 2), strict=True)
        groups.append(measure.distance(images[list(first)], images[list(second)]).mean())
    found = examination(project, model)["lpips"]
    assert found["samples"]["groups"] == pytest.approx(groups, rel=1e-5)
    assert found["samples"]["value"] == pytest.approx(np.mean(groups), rel=1e-5)
    assert found["samples"]["n"] == found["held_out"]["n"] == 12
    assert len(found["held_out"]["groups"]) == 2  # of 24 held-out images
    assert found["weights_sha256"] == sha256(project / "alex.pth")
    assert found["heads_sha256"] == sha256(project / "heads.pth")


def test_held_out_images_have_the_same_line_whatever_the_model(project: Path) -> None:
    lines = [examination(project, model)["lpips"]["held_out"] for model in MODELS]
    assert lines[0] == lines[1]
    assert lines[0]["value"] > 0.01


def test_a_one_pass_model_is_examined_as_a_run_is(project: Path) -> None:
    found = {model: examination(project, model) for model in MODELS}
    assert set(found["vae"]) == set(found["baseline"])
    assert (found["vae"]["setting"], found["vae"]["role"], found["vae"]["nfe"]) == ("one-pass-1", "variant", 1)
    assert found["vae"]["reference"] == found["baseline"]["reference"]
    assert sum(found["vae"]["classes"]["samples"]["counts"]) == found["vae"]["images"] == 36
    assert found["vae"]["by_class"] is None  # asked for by no class


def test_the_report_shows_it_beside_held_out_images(project: Path) -> None:
    context = Context.open(project / "params.yaml", project)
    build_report(context.loaded, context.plan, project, project / "reports" / "smoke")
    with (project / "reports/smoke/tables/fidelity.csv").open(newline="") as file:
        rows = {row["Model"]: row["LPIPS diversity"] for row in csv.DictReader(file)}
    for model, label in (("baseline", "DDPM"), ("vae", "VAE")):
        value = examination(project, model)["lpips"]["samples"]["value"]
        assert float(rows[label].split()[0]) == pytest.approx(value, abs=1e-3)
    assert float(rows["held-out real images"].split()[0]) > 0.01
    assert rows["uniform noise"] == "—"
    metrics = json.loads((project / "reports/smoke/metrics.json").read_text())
    assert metrics["vae"]["one-pass-1"]["lpips_diversity"] == examination(project, "vae")["lpips"]["samples"]["value"]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"no weights", "alex.pth holds no weights"),
        (None, "alex.pth holds no features.0.weight: give torchvision's weights of alexnet"),
    ],
)
def test_a_file_that_holds_other_things_is_refused_by_the_stage(
    project: Path, content: bytes | None, said: str
) -> None:
    kept, before = (project / "alex.pth").read_bytes(), examination(project, "vae")
    (project / "alex.pth").write_bytes(content or (project / "heads.pth").read_bytes())
    try:
        assert "settings changed" in run(project, "status", "examine", code=1)
        lines = run(project, "examine", "vae", code=2).splitlines()
    finally:
        (project / "alex.pth").write_bytes(kept)
    assert [said in line for line in lines if line.startswith("rediffuse: ")] == [True]
    assert examination(project, "vae") == before
    assert "examine/vae/seed0                        up to date" in run(project, "status", "examine")
