"""`rediffuse use` replaces the active study only where nothing is lost."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from rediffuse.cli import main

ROOT = Path(__file__).resolve().parents[2]
GIT = ("git", "-c", "user.name=t", "-c", "user.email=t@localhost", "-c", "init.defaultBranch=main")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "studies").mkdir()
    for name in ("smoke", "digits"):
        shutil.copy(ROOT / "studies" / f"{name}.yaml", tmp_path / "studies")
    shutil.copy(tmp_path / "studies" / "digits.yaml", tmp_path / "params.yaml")
    return tmp_path


@pytest.fixture
def use(project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    """Runs the verb in the project; gives its exit code, stdout and stderr."""

    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.chdir(project)
        monkeypatch.setattr(sys, "argv", ["rediffuse", "use", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        return int(ended.value.code or 0), *capsys.readouterr()

    return run


def edit(project: Path) -> bytes:
    with (project / "params.yaml").open("a") as file:
        file.write("# mine\n")
    return (project / "params.yaml").read_bytes()


def is_smoke(project: Path) -> bool:
    return (project / "params.yaml").read_bytes() == (project / "studies" / "smoke.yaml").read_bytes()


def test_a_study_that_lies_in_studies_is_replaced_and_so_is_none(project: Path, use):
    code, said, _ = use("smoke")
    assert code == 0
    assert is_smoke(project)
    assert "the former one is studies/digits.yaml" in said
    (project / "params.yaml").unlink()
    assert use("smoke")[0] == 0
    assert is_smoke(project)


def test_edits_that_lie_nowhere_else_are_kept(project: Path, use):
    edited = edit(project)
    code, said, why = use("smoke")
    assert (code, said) == (2, "")
    [line] = why.splitlines()
    assert "params.yaml has edits that lie nowhere else" in line
    assert "cp params.yaml studies/NAME.yaml" in line
    assert "--force" in line
    assert (project / "params.yaml").read_bytes() == edited


def test_saved_edits_are_replaced(project: Path, use):
    edit(project)
    shutil.copy(project / "params.yaml", project / "studies" / "mine.yaml")
    assert "the former one is studies/mine.yaml" in use("smoke")[1]
    assert is_smoke(project)


def test_force_loses_edits(project: Path, use):
    edit(project)
    assert use("smoke", "--force")[0] == 0
    assert is_smoke(project)


def test_committed_edits_are_replaced_and_found_in_git(project: Path, use):
    edited = edit(project)
    for command in (("init", "-q"), ("add", "params.yaml"), ("commit", "-q", "-m", "mine")):
        subprocess.run([*GIT, *command], cwd=project, check=True)
    assert "the former one is in git" in use("smoke")[1]
    assert is_smoke(project)
    shown = subprocess.run(["git", "show", "HEAD:./params.yaml"], cwd=project, capture_output=True, check=True).stdout
    assert shown == edited


def test_a_study_that_is_wrong_or_not_there_changes_nothing(project: Path, use):
    (project / "studies" / "wrong.yaml").write_text("study: wrong\n")
    before = (project / "params.yaml").read_bytes()
    for name in ("wrong", "nowhere"):
        assert use(name)[0] == 2
        assert (project / "params.yaml").read_bytes() == before
