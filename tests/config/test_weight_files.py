"""Weight files that a study names: what they do to the keys of its jobs, and what is refused."""

import contextlib
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from rediffuse.cli import main
from rediffuse.config import load_study
from rediffuse.errors import UserError
from rediffuse.files import sha256
from rediffuse.pipeline.plan import Plan, make_plan

SMOKE = Path(__file__).resolve().parents[2] / "studies" / "smoke.yaml"
LPIPS = {"network": "alex", "weights": "alex.pth", "heads": "heads.pth", "size": 64}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("alex.pth", "heads.pth", "features.pt"):
        (tmp_path / name).write_bytes(name.encode())
    return tmp_path


def write(folder: Path, evaluation: dict[str, Any]) -> Path:
    study = yaml.safe_load(SMOKE.read_text())
    study["evaluation"] |= evaluation
    (folder / "params.yaml").write_text(yaml.safe_dump(study))
    return folder / "params.yaml"


def plan(folder: Path, **evaluation: Any) -> Plan:
    return make_plan(load_study(write(folder, evaluation)), folder)


def changed(before: Plan, after: Plan) -> set[str]:
    return {job.stage for name, job in after.jobs.items() if job.key != before.jobs[name].key}


def test_lpips_concerns_examinations_and_the_report_alone(folder: Path) -> None:
    assert changed(plan(folder), plan(folder, lpips=LPIPS)) == {"examine", "report"}


@pytest.mark.parametrize("file", ["alex.pth", "heads.pth"])
def test_another_file_at_the_same_path_makes_examinations_stale(folder: Path, file: str) -> None:
    before = plan(folder, lpips=LPIPS)
    (folder / file).write_bytes(b"others")
    assert changed(before, plan(folder, lpips=LPIPS)) == {"examine", "report"}


def test_another_file_of_the_feature_network_makes_all_that_is_scored_stale(folder: Path) -> None:
    asked = {"features": "torchscript", "weights": "features.pt"}
    before = plan(folder, **asked)
    (folder / "features.pt").write_bytes(b"others")
    assert changed(before, plan(folder, **asked)) == {
        "reference",
        "corrections",
        "real",
        "damage",
        "evaluate",
        "examine",
        "follow",
        "trace",
        "report",
    }


def test_where_a_file_lies_and_whether_its_digest_is_stated_changes_no_result(folder: Path) -> None:
    before = plan(folder, lpips=LPIPS, weights="features.pt")
    stated = {f"{name}_sha256": sha256(folder / LPIPS[name]) for name in ("weights", "heads")}
    (folder / "alex.pth").rename(folder / "moved.pth")
    after = plan(
        folder,
        lpips={**LPIPS, **stated, "weights": "moved.pth"},
        weights="features.pt",
        weights_sha256=sha256(folder / "features.pt"),
    )
    assert changed(before, after) == {"report"}  # which lists the settings


def test_results_of_stated_weights_stand_without_the_file(folder: Path) -> None:
    stated = {**LPIPS, "weights_sha256": sha256(folder / "alex.pth")}
    before = plan(folder, lpips=stated)
    (folder / "alex.pth").unlink()
    assert changed(before, plan(folder, lpips=stated)) == set()


def refused(folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *words: str) -> str:
    """The one line that a verb says before it exits with code 2."""
    monkeypatch.setattr(sys, "argv", ["rediffuse", *words])
    with contextlib.chdir(folder), pytest.raises(SystemExit) as end:
        main()
    assert end.value.code == 2
    [line] = capsys.readouterr().err.splitlines()
    return line


@pytest.mark.parametrize(
    ("evaluation", "said"),
    [
        ({"lpips": {**LPIPS, "weights": "no.pth"}}, "evaluation.lpips.weights: no.pth does not exist"),
        ({"lpips": {**LPIPS, "heads": "no.pth"}}, "evaluation.lpips.heads: no.pth does not exist"),
        ({"lpips": {**LPIPS, "heads": "no.pth", "heads_sha256": "0" * 64}}, "lpips.heads: no.pth does not exist"),
        ({"lpips": {**LPIPS, "weights_sha256": "0" * 64}}, "evaluation.lpips.weights_sha256: alex.pth has "),
        ({"weights": "no.pt"}, "evaluation.weights: no.pt does not exist"),
        ({"weights": "features.pt", "weights_sha256": "0" * 64}, "evaluation.weights_sha256: features.pt has "),
        ({"weights_sha256": "0" * 64}, "evaluation.weights_sha256: is the digest of no file"),
        ({"lpips": {**LPIPS, "weights_sha256": "abc"}}, "evaluation.lpips.weights_sha256: 'abc' is no SHA-256"),
        ({"lpips": {**LPIPS, "size": None}}, "evaluation.lpips.size: alex takes images of at least 31 pixels"),
        ({"lpips": {**LPIPS, "size": 30}}, "evaluation.lpips.size: alex takes images of at least 31 pixels"),
        ({"lpips": {**LPIPS, "network": "squeeze"}}, "evaluation.lpips.network: 'squeeze' is not allowed"),
        ({"lpips": {"network": "vgg"}}, "evaluation.lpips.weights: is missing"),
    ],
)
def test_missing_and_wrong_files_are_refused_by_check(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    evaluation: dict[str, Any],
    said: str,
) -> None:
    write(folder, evaluation)
    assert said in refused(folder, monkeypatch, capsys, "check", "params.yaml")


def test_other_verbs_refuse_a_missing_file_as_well(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write(folder, {"lpips": {**LPIPS, "weights": "no.pth"}})
    assert "no.pth does not exist" in refused(folder, monkeypatch, capsys, "status")


def test_a_plan_names_the_file_that_is_not_the_stated_one(folder: Path) -> None:
    with pytest.raises(UserError, match=r"alex\.pth has [0-9a-f]{64}, not 0{64}; give the file that is meant"):
        plan(folder, lpips={**LPIPS, "weights_sha256": "0" * 64})
