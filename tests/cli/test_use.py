"""`rediffuse use` replaces params.yaml, but never edits that lie nowhere else."""

import subprocess
import sys
from pathlib import Path

import pytest

STUDIES = Path(__file__).resolve().parents[2] / "studies"
EDITED = (STUDIES / "smoke.yaml").read_bytes().replace(b"steps: 60", b"steps: 61")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "studies").mkdir()
    for name in ("smoke", "digits"):
        (tmp_path / "studies" / f"{name}.yaml").write_bytes((STUDIES / f"{name}.yaml").read_bytes())
    return tmp_path


def use(project: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "rediffuse", "use", *arguments]
    return subprocess.run(command, cwd=project, capture_output=True, text=True, check=False)


def commit(project: Path) -> None:
    git = "git -c user.name=a -c user.email=a@b.c"
    subprocess.run(f"git init -q && git add -A && {git} commit -qm x", shell=True, cwd=project, check=True)


def test_a_study_takes_the_place_of_none_and_of_another(project: Path):
    for name in ("smoke", "digits"):
        assert use(project, name).returncode == 0
        assert (project / "params.yaml").read_bytes() == (STUDIES / f"{name}.yaml").read_bytes()


def test_edits_that_lie_nowhere_else_are_kept(project: Path):
    (project / "params.yaml").write_bytes(EDITED)
    (project / "studies" / "smoke.yaml").unlink()
    answer = use(project, "digits")
    assert answer.returncode == 2
    assert len(answer.stderr.splitlines()) == 1
    for said in ("params.yaml holds edits that lie nowhere else", "`cp params.yaml studies/smoke.yaml`", "--force"):
        assert said in answer.stderr
    assert (project / "params.yaml").read_bytes() == EDITED

    subprocess.run("cp params.yaml studies/smoke.yaml", shell=True, cwd=project, check=True)
    assert use(project, "digits").returncode == 0
    assert (project / "params.yaml").read_bytes() == (STUDIES / "digits.yaml").read_bytes()


def test_the_advice_overwrites_no_study(project: Path):
    (project / "params.yaml").write_bytes(EDITED)
    assert "`cp params.yaml studies/smoke-edited.yaml`" in use(project, "digits").stderr
    (project / "params.yaml").write_bytes(b"study: [no name\n")
    assert "`cp params.yaml studies/edited.yaml`" in use(project, "digits").stderr
    assert (project / "params.yaml").read_bytes() == b"study: [no name\n"


def test_force_replaces_edits(project: Path):
    (project / "params.yaml").write_bytes(EDITED)
    assert use(project, "digits", "--force").returncode == 0
    assert (project / "params.yaml").read_bytes() == (STUDIES / "digits.yaml").read_bytes()


def test_what_is_committed_can_be_had_again(project: Path):
    (project / "params.yaml").write_bytes(EDITED)
    commit(project)
    (project / "params.yaml").write_bytes(EDITED + b"# one more edit\n")
    assert use(project, "digits").returncode == 2
    (project / "params.yaml").write_bytes(EDITED)
    assert use(project, "digits").returncode == 0


def test_the_file_that_is_active_stays_as_it_is(project: Path):
    (project / "params.yaml").write_bytes(EDITED)
    assert use(project, "params.yaml").returncode == 0
    assert (project / "params.yaml").read_bytes() == EDITED
