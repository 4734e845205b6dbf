"""`rediffuse verify` on a study of seconds: a true report is told from one that is not, whatever makes it untrue."""

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from rediffuse.cli import main
from rediffuse.verification.judge import State
from rediffuse.verification.run import Outcome
from tests.pipeline.conftest import Clone

Verified = Callable[..., Outcome]
Refused = Callable[[Path, str], str]
PREPARED = "state/verify/tiny-headline-*/project/data/smoke/receipts/prepare.json"


def different(outcome: Outcome) -> set[str]:
    return {one.path for one in outcome.files if one.state in (State.DIFFERENT, State.ABSENT)}


def commit(clone: Clone, file: str, old: str, new: str) -> None:
    clone.edit(file, old, new)
    clone.run("git add -A && git commit -qm 'a change'")


@pytest.fixture
def refused(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Refused:
    """The one line that a command says that is refused."""

    def run(folder: Path, command: str) -> str:
        monkeypatch.chdir(folder)
        monkeypatch.setattr(sys, "argv", ["rediffuse", *command.split()])
        with pytest.raises(SystemExit) as end:
            main()
        assert end.value.code == 2
        [line] = capsys.readouterr().err.splitlines()
        return line

    return run


def test_a_killed_verification_goes_on_in_its_folder_and_finds_every_number_equal(project: Clone):
    assert project.kill_when_written("rediffuse verify tiny --only headline", PREPARED)
    watched = project.start("rediffuse verify tiny --only headline")
    output, _ = watched.communicate(timeout=500)

    assert watched.returncode == 0, output
    assert "rebuilding tiny: " in output
    assert "(5 jobs)" not in output  # that of data was done, and is not done again
    found = json.loads((project.folder / "reports/tiny/verify.json").read_text())
    committed = json.loads((project.folder / "reports/tiny/metrics.json").read_text())["baseline"]
    assert found["counts"]["numbers"] == {
        **dict.fromkeys(State, 0),
        "equal": len(committed["ancestral-5"]) + len(committed["training"]),
    }
    assert not list(project.folder.glob("state/verify/*/project"))  # what is verified leaves nothing behind


def test_every_file_of_a_true_report_has_equal_bytes_and_the_badge_says_so(project: Clone, begun: Callable[..., None]):
    begun()
    assert "the report of tiny is confirmed" in " ".join(project.run("rediffuse verify").split())

    reports = project.folder / "reports/tiny"
    badge = json.loads((reports / "verified.json").read_text())
    files = project.run("git ls-files reports/tiny").split()
    compared = [file for file in files if "/timings" not in file]
    assert badge["counts"]["files"]["equal"] == len(compared)
    assert badge["counts"]["files"]["different"] == badge["counts"]["files"]["absent"] == 0
    assert badge["commit"] == project.run("git rev-parse HEAD").strip()
    readme = (project.folder / "README.md").read_text()
    assert f"`{badge['commit'][:12]}` was rebuilt" in readme
    assert f"numbers: {badge['counts']['numbers']['equal']:,} equal bytes.<" in readme
    assert "timings.md" in (reports / "verify.html").read_text()  # the page says what is not compared


def test_a_changed_seed_is_noticed(project: Clone, verified: Verified):
    commit(project, "studies/tiny.yaml", "seeds: [0]", "seeds: [1]")
    # On another processor, where numbers move, the keys alone would tell.
    assert different(verified(study="tiny", only="headline")) == {"metrics.json", "tables/pedigree.csv"}


def test_a_learning_rate_that_is_off_by_a_hundredth_is_noticed(project: Clone, verified: Verified):
    commit(project, "studies/tiny.yaml", "learning_rate: 1e-3", "learning_rate: 1.01e-3")
    outcome = verified(study="tiny", only="headline")
    places = {finding.place for one in outcome.files for finding in one.findings}
    assert "baseline.training.final_loss" in places
    assert "tables/pedigree.csv" in different(outcome)


def test_a_wrong_sign_in_a_sampler_is_noticed(project: Clone, begun: Callable[..., None]):
    commit(project, "src/rediffuse/samplers/ancestral.py", "mean + ", "mean - ")
    begun(study="tiny", only="headline")
    output = project.run("rediffuse verify tiny --only headline", code=1)
    assert "baseline.ancestral-5.frechet_distance different" in output
    assert "final_loss" not in output  # the training is not touched by it
    assert not (project.folder / "reports/tiny/verified.json").exists()


def test_a_report_that_is_older_than_its_study_is_noticed(project: Clone, verified: Verified):
    commit(project, "studies/tiny.yaml", "group_size: 8", "group_size: 7")
    assert different(verified(study="tiny", only="headline")) == {"metrics.json", "tables/pedigree.csv"}


def test_a_number_that_was_edited_by_hand_is_noticed(project: Clone, verified: Verified):
    path = project.folder / "reports/tiny/metrics.json"
    metrics = json.loads(path.read_text())
    metrics["baseline"]["ancestral-5"]["frechet_distance"] *= 1.0001
    path.write_text(json.dumps(metrics))
    outcome = verified(here=True, only="headline")
    [finding] = [finding for one in outcome.files for finding in one.findings]
    assert (finding.file, finding.place) == ("metrics.json", "baseline.ancestral-5.frechet_distance")


def test_a_processor_held_to_fewer_instructions_is_another_kind_of_machine(
    project: Clone, verified: Verified, monkeypatch: pytest.MonkeyPatch
):
    assert not verified(study="tiny", only="headline").elsewhere
    monkeypatch.setenv("ATEN_CPU_CAPABILITY", "default")
    outcome = verified(study="tiny", only="headline")
    assert outcome.elsewhere
    assert "ATEN_CPU_CAPABILITY=default" in outcome.made_on


def test_against_another_commit_only_jobs_with_another_key_are_done_and_named(project: Clone, verified: Verified):
    commit(project, "studies/tiny.yaml", "title: A study of seconds", "title: Another study")
    outcome = verified(study="tiny", against="HEAD~1")
    assert outcome.changes == {"report": "settings"}
    assert different(outcome) == {"report.md"}


def test_against_a_commit_with_the_same_keys_nothing_is_rebuilt(project: Clone):
    commit(project, "src/rediffuse/samplers/ancestral.py", '"""', '"""A comment that no number hears of. ')
    output = " ".join(project.run("rediffuse verify tiny --against HEAD~1").split())
    assert "No job's key differs" in output
    assert not list(project.folder.glob("state/verify/*/project/runs"))


@pytest.mark.parametrize(
    ("command", "holds"),
    [
        ("verify nothing", ["studies/nothing.yaml", "use one of tiny"]),
        ("verify --against nobody", ["'nobody'", "no commit"]),
        ("verify --against HEAD --only headline", ["--against", "--only"]),
        ("verify --only all", ["--only", "'all'", "headline"]),
        ("verify --threads 0", ["--threads", "0"]),
    ],
)
def test_a_wrong_request_is_one_line_and_leaves_nothing_behind(reported: Clone, refused: Refused, command, holds):
    line = refused(reported.folder, command)
    assert all(word in line for word in holds), line
    assert not (reported.folder / "state" / "verify").exists()


def test_what_is_not_committed_is_not_verified_silently(project: Clone, refused: Refused):
    project.edit("src/rediffuse/samplers/ancestral.py", "mean + ", "mean - ")
    line = refused(project.folder, "verify")
    assert "src/rediffuse/samplers/ancestral.py is not committed" in line
    assert "--here" in line


def test_a_study_without_a_committed_report_cannot_be_verified(project: Clone, refused: Refused):
    project.run("git rm -rq reports/tiny && git commit -qm 'no report'")
    assert "reports/tiny holds no report" in refused(project.folder, "verify")


def test_a_report_whose_numbers_cannot_be_read_is_refused_before_anything_is_built(project: Clone, refused: Refused):
    commit(project, "reports/tiny/metrics.json", "{", "")
    assert "reports/tiny/metrics.json is damaged" in refused(project.folder, "verify tiny")
    assert not (project.folder / "state" / "verify").exists()


def test_a_folder_that_is_no_repository_cannot_be_verified(reported: Clone, tmp_path: Path, refused: Refused):
    (tmp_path / "params.yaml").write_bytes((reported.folder / "params.yaml").read_bytes())
    assert "no git repository" in refused(tmp_path, "verify")
