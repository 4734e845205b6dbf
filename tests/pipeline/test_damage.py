"""Damaged files are noticed, and made again with the same bytes by the first call of either tool."""

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from rediffuse.pipeline.context import Context
from rediffuse.pipeline.digests import Digests
from rediffuse.pipeline.receipts import reasons
from tests.pipeline.conftest import Clone


def flip(path: Path) -> None:
    """Change one bit in the middle."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def cut(path: Path) -> None:
    """Keep the first half."""
    os.truncate(path, path.stat().st_size // 2)


def empty(path: Path) -> None:
    os.truncate(path, 0)


def delete(path: Path) -> None:
    path.unlink()


def no_text(path: Path) -> None:
    """Bytes that are no UTF-8."""
    path.write_bytes(b"\xff\xfe\x00")


def other_json(path: Path) -> None:
    path.write_text("[1, 2]\n")


def folder(path: Path) -> None:
    """A folder in its place."""
    path.unlink()
    (path / "inside").mkdir(parents=True)


def by_hand(path: Path) -> None:
    """Another number, whatever the first one was."""
    text = path.read_text()
    at = next(k for k, letter in enumerate(text) if letter.isdigit())
    path.write_text(f"{text[:at]}{(int(text[at]) + 1) % 10}{text[at + 1 :]}")


DAMAGES = (flip, cut, empty, delete, no_text, other_json, folder)
RUNS, REPORT = "runs/smoke", "reports/smoke"
Batch = dict[str, Callable[[Path], None]]

BY_DVC: Batch = {
    f"{RUNS}/baseline/seed0/samples/ddim-5.npz": flip,
    f"{RUNS}/vae/seed0/receipts/nll.json": no_text,
    f"{RUNS}/wgan-gp/seed0/receipts/train.json": delete,
    f"{RUNS}/improved/seed0/metrics/ddim-5.json": folder,
    f"{RUNS}/dcgan/seed0/receipts/examine.json": other_json,
    f"{RUNS}/real/held-out.json": by_hand,
    f"{REPORT}/metrics.json": by_hand,
    f"{REPORT}/report.md": cut,
    f"{REPORT}/tables/data.csv": empty,
    f"{REPORT}/evidence/ablations.json": delete,
    f"{REPORT}/receipts/report.json": cut,
    "plan/smoke/real.json": other_json,
    "state/digests": flip,
}
BY_SNAKEMAKE: Batch = {
    # Its trainings stay as they are; samples are drawn after it has been made again.
    "data/smoke/held_out.npy": delete,
    f"{RUNS}/vae/seed0/receipts/sample.json": delete,
    f"{RUNS}/dcgan/seed0/weights.safetensors": flip,
    f"{RUNS}/dcgan/seed0/snapshots/step-000010.safetensors": folder,
    f"{RUNS}/vae/seed0/previews/step-000030.png": cut,
    f"{RUNS}/cost/receipts/cost.json": folder,
    f"{RUNS}/vae/seed0/timing/train.json": other_json,
    f"{REPORT}/claims.json": delete,
    f"{REPORT}/report.html": cut,
    f"{REPORT}/timings.md": by_hand,
    f"{REPORT}/evidence/ablations.json": no_text,
    "state/digests": folder,
}


def results(clone: Clone) -> dict[str, str]:
    """Digests of every file that two builds must agree on."""
    found = clone.digests("data/smoke/**/*", f"{RUNS}/**/*", f"{REPORT}/**/*", "plan/**/*")
    return {path: digest for path, digest in found.items() if "timing" not in path and not path.endswith(".html")}


def hurt(clone: Clone, batch: Batch) -> None:
    for path, damage in batch.items():
        damage(clone.folder / path)


def test_dvc_makes_again_what_was_damaged_with_the_same_bytes(repeated: Clone, tmp_path: Path):
    clone = repeated.copy(tmp_path / "project")
    right = results(clone)
    hurt(clone, BY_DVC)
    clone.run("dvc repro")
    assert results(clone) == right
    assert "up to date" in clone.run("dvc status")
    assert [line for line in clone.run("git status --porcelain").splitlines() if "timings" not in line] == []


def test_snakemake_makes_again_what_was_damaged_with_the_same_bytes(repeated: Clone, tmp_path: Path):
    clone = repeated.copy(tmp_path / "project")
    right = results(clone)
    hurt(clone, BY_SNAKEMAKE)
    clone.run("snakemake --cores 2 --quiet rules")
    assert results(clone) == right
    assert (clone.folder / REPORT / "report.html").read_text().rstrip().endswith("</html>")
    assert "Nothing to be done" in clone.run("snakemake --cores 2")


def test_a_report_killed_while_it_was_written_is_written_again_by_one_of_two_processes(built: Clone, tmp_path: Path):
    clone = built.copy(tmp_path / "project")
    right = results(clone)
    (clone.folder / REPORT / "receipts/report.json").unlink()
    assert clone.kill_when_written("rediffuse report", f"{REPORT}/tables/*.csv")
    first, second = clone.start("rediffuse report"), clone.start("rediffuse report")
    said = [process.communicate()[0] for process in (first, second)]
    assert (first.returncode, second.returncode) == (0, 0)
    assert sum("report is up to date" in output for output in said) == 1  # the other process has done it
    assert results(clone) == right


@pytest.fixture
def study(built: Clone, tmp_path: Path) -> Context:
    """A copy of the built study, opened."""
    clone = built.copy(tmp_path / "project")
    return Context.open(clone.folder / "params.yaml", clone.folder)


@pytest.mark.parametrize("damage", DAMAGES)
def test_every_file_of_a_job_tells_when_it_was_damaged(study: Context, damage: Callable[[Path], None]):
    made = {job.name: job for job in study.plan.jobs.values() if (study.root / job.receipt).exists()}
    files = {}
    for number, job in enumerate(made.values()):
        paths = [p for p in (job.receipt, *job.outputs, *job.loose) if (study.root / p).is_file()]
        files[job.name] = paths[number % len(paths)]
        damage(study.root / files[job.name])
    told = reasons(study.plan, study.root)
    assert [name for name in made if told[name] is None] == []


def test_a_file_given_the_size_and_date_of_the_one_before_is_read_again(tmp_path: Path):
    path = tmp_path / "number"
    path.write_text("1")
    os.utime(path, (1, 1))
    first = known(tmp_path).of(Path("number"))
    with path.open("r+") as stream:
        stream.write("2")
    os.utime(path, (1, 1))
    assert known(tmp_path).of(Path("number")) != first


@pytest.mark.parametrize("damage", DAMAGES)
def test_what_is_remembered_of_files_is_not_trusted_when_damaged(tmp_path: Path, damage: Callable[[Path], None]):
    (tmp_path / "number").write_text("1")
    digests = known(tmp_path)
    right = digests.of(Path("number"))
    damage(digests.cache)
    assert known(tmp_path).of(Path("number")) == right


def known(root: Path) -> Digests:
    """Digests of a folder, what was learned of its file being kept."""
    time.sleep(0.06)  # a file that has just changed is not remembered
    digests = Digests(root)
    digests.of(Path("number"))
    digests.save()
    return digests
