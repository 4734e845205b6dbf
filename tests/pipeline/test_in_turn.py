"""`rediffuse make`: a whole study in one process, on a machine without Snakemake, DVC and MLflow."""

from pathlib import Path

import pytest

from tests.pipeline.conftest import Clone, new_clone
from tests.verification.conftest import STUDY

ABSENT = ("snakemake", "dvc", "mlflow")


@pytest.fixture
def alone(tmp_path: Path) -> Clone:
    """A clone with a study of seconds, tracking asked for, where none of the three tools can be imported."""
    clone = new_clone(tmp_path / "project")
    (clone.folder / "studies/tiny.yaml").write_text(STUDY.replace("tracking: {enabled: false}\n", ""))
    for name in ABSENT:
        (tmp_path / "absent" / name).mkdir(parents=True)
        (tmp_path / "absent" / name / "__init__.py").write_text(f"raise ModuleNotFoundError('no module named {name}')")
    clone.environment["PYTHONPATH"] = str(tmp_path / "absent")
    return clone


def test_a_study_is_made_in_pieces_and_what_was_stopped_goes_on(alone: Clone):
    stopped = alone.run("make gpu STUDY=tiny MINUTES=0.1", code=2)
    assert "rediffuse: time is up; the same command goes on where this one stopped" in stopped.splitlines()
    before = len(alone.made())

    assert "jobs done; all is up to date" in alone.run("make gpu STUDY=tiny")
    assert before < len(alone.made())
    assert (alone.folder / "reports/tiny/report.md").exists()
    assert "0 jobs done; all is up to date" in alone.run("make gpu STUDY=tiny").splitlines()
