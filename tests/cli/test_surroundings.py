"""Where verbs run and how they are called: what is wrong there is one line and exit code 2, never a traceback."""

import errno
import io
import os
import py_compile
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from rediffuse.cli import main
from rediffuse.cli.base import app
from rediffuse.pipeline import work

ROOT = Path(__file__).resolve().parents[2]
REDIFFUSE = [sys.executable, "-m", "rediffuse"]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder with a study."""
    shutil.copy(ROOT / "studies" / "smoke.yaml", tmp_path / "params.yaml")
    (tmp_path / "studies").mkdir()
    return tmp_path


@pytest.fixture
def said(project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    """The one line that a wrong command says; nothing may be written."""

    def run(*words: str, where: Path | None = None) -> str:
        monkeypatch.chdir(where or project)
        monkeypatch.setattr(sys, "argv", ["rediffuse", *words])
        before = sorted(project.rglob("*"))
        with pytest.raises(SystemExit) as end:
            main()
        assert end.value.code == 2
        output = capsys.readouterr()
        [line] = output.err.splitlines()
        assert (output.out, line.isprintable(), len(line) < 300) == ("", True, True)
        assert sorted(project.rglob("*")) == before
        return line

    return run


@pytest.mark.parametrize(
    ("words", "holds"),
    [
        ("chek", ["'chek'", "'check'"]),
        ("--nope", ["--nope", "rediffuse --help"]),
        ("train", ["'run'", "rediffuse train --help"]),
        ("train nobody", ["'nobody'", "baseline"]),
        ("train baseline --seed -1", ["--seed", "'-1'", "greater than or equal to 0"]),
        ("train baseline --seed x", ["--seed", "'x'", "integer"]),
        ("train baseline --seed 7", ["baseline", "no seed 7"]),
        ("classifier baseline", ["only improved has it"]),
        ("nll light", ["light", "baseline, improved"]),
        ("status nothing", ["'nothing'", "prepare"]),
        ("build nothing", ["'nothing'", "prepare"]),
        ("accept nothing --because x", ["'nothing'"]),
        ("accept train/baseline/seed0 --because ", ["--because"]),
        ("evaluate baseline --device gpu", ["--device", "'gpu'", "cuda"]),
        ("evaluate", ["--samples"]),
        ("statistics --images .", ["--output"]),
        ("cost --batch 0.5", ["--batch", "0.5", "integer"]),
        ("export baseline --to /", ["--to: / is there already"]),
        ("export baseline --to params.yaml/x", ["--to", "params.yaml is a file"]),
        ("cost --exact --steps " + "9" * 23, ["--steps", "less than or equal to"]),
        ("use nowhere", ["studies/nowhere.yaml", "no such study"]),
        ("check --study x", ["--study"]),
        ("check nowhere.yaml", ["nowhere.yaml", "no such file"]),
        ("status --study nowhere.yaml", ["nowhere.yaml", "no such file"]),
        ("plan --dvc", ["no dvc.yaml here"]),
    ],
)
def test_words_that_a_verb_does_not_take_are_named(words: str, holds: list[str], said):
    line = said(*words.split(" "))
    assert [word for word in holds if word not in line] == []


#: Verbs that need no study, or are given one.
ANYWHERE = {"schema", "statistics", "import", "use"}


@pytest.mark.parametrize(
    "verb", sorted({command.name or command.callback.__name__ for command in app.registered_commands})
)
def test_verbs_below_the_project_say_where_to_go(verb: str, said, project: Path):
    more = {"accept": ["x", "--because", "x"], "build": ["prepare"], "export": ["baseline", "--to", "x"]}
    of_run = {"train", "sample", "evaluate", "examine", "follow", "nll", "probe", "restore", "trace", "classifier"}
    of_run.add("corrections")
    if verb in ANYWHERE:
        pytest.skip("it needs no study")
    line = said(verb, *more.get(verb, ["baseline"] if verb in of_run else []), where=project / "studies")
    assert f"params.yaml: no such file; go to {project} first" in line


@pytest.mark.parametrize("uri", ["http://127.0.0.1:9", "sqlite://", "mysql://127.0.0.1:9/x"])
def test_a_tracking_store_that_cannot_be_used_is_one_line(uri: str, said, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    assert f"tracking: {uri} cannot be used (" in said("track")


def test_verbs_outside_any_project_say_so(said, tmp_path_factory: pytest.TempPathFactory):
    assert "go to the project's folder first" in said("status", where=tmp_path_factory.mktemp("elsewhere"))


def start(project: Path, *words: str, **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*REDIFFUSE, *words],
        cwd=project,
        env={**os.environ, **environment},
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def test_a_reader_that_goes_away_is_no_error(project: Path):
    command = f"{sys.executable} -m rediffuse status | head -1"
    result = subprocess.run(command, shell=True, cwd=project, capture_output=True, text=True, check=True)
    assert (result.stdout.split()[0], result.stderr) == ("prepare", "")


def test_a_full_disk_is_one_line(project: Path):
    with Path("/dev/full").open("w") as full:
        result = subprocess.run([*REDIFFUSE, "check"], cwd=project, stdout=full, stderr=subprocess.PIPE, text=True)
    assert result.returncode == 2
    assert result.stderr == "rediffuse: No space left on device; make room, then give the same command again\n"


def test_a_disk_that_fills_during_the_work_is_one_line_and_leaves_no_half_of_a_file(project: Path):
    result = subprocess.run(
        ["bash", "-c", f"ulimit -f 2; exec {sys.executable} -m rediffuse prepare"],  # 2 kB a file
        cwd=project,
        # Python would write what it compiles as well, cut it short and read that half ever after.
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 2
    [line] = result.stderr.splitlines()
    assert line.endswith("make room, then give the same command again")
    assert [path for path in (project / "data").rglob("*") if path.is_file()] == []


def test_a_disk_that_fills_while_torch_saves_is_one_line(said, monkeypatch: pytest.MonkeyPatch):
    class Full(io.BytesIO):
        def write(self, content) -> int:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def save(*_: object, **__: object) -> None:
        with pytest.raises(RuntimeError, match="unexpected pos"):  # torch's own words tell nothing
            torch.save(torch.zeros(9), Full())
        torch.save(torch.zeros(9), Full())

    monkeypatch.setattr(work, "work", save)
    assert "No space left on device; make room" in said("train", "baseline")


def test_a_module_that_python_cut_short_on_a_full_disk_is_one_line(
    project: Path, tmp_path_factory: pytest.TempPathFactory
):
    source = tmp_path_factory.mktemp("source")
    shutil.copytree(ROOT / "src" / "rediffuse", source / "rediffuse", ignore=shutil.ignore_patterns("__pycache__"))
    module = source / "rediffuse" / "stages" / "prepare.py"
    compiled = Path(py_compile.compile(str(module), doraise=True))
    compiled.write_bytes(compiled.read_bytes()[:200])
    process = start(project, "prepare", PYTHONPATH=str(source))
    assert "remove the folders __pycache__" in process.communicate()[1]
    assert process.returncode == 2


def test_a_terminal_without_letters_colours_or_width_is_served(project: Path):
    process = start(project, "check", PYTHONIOENCODING="ascii", LC_ALL="C", TERM="dumb", COLUMNS="0")
    out, err = process.communicate()
    assert (process.returncode, err) == (0, "")
    assert "network   8 channels ? [1, 2]" in out


@pytest.mark.skipif(os.geteuid() == 0, reason="to root every folder is open")
def test_a_folder_that_is_closed_is_one_line_and_is_still_looked_at(project: Path, said):
    project.chmod(0o555)
    try:
        assert "Permission denied; use a folder that you may write to" in said("prepare")
        assert start(project, "status").wait() == 0
    finally:
        project.chmod(0o755)
