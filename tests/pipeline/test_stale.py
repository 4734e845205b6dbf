"""Which edit makes which jobs stale: what decides a number counts wherever it stands, and nothing else does."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
KEYS = """
import json
from rediffuse.pipeline.context import Context
jobs = Context.open("study.yaml").plan.jobs.values()
print(json.dumps({job.name: job.key for job in jobs}))
"""

DRAWN = {"follow", "report"}
SAMPLED = {"sample", "evaluate", "examine", "report"}
TRAINED = {"train", "corrections", "follow", "nll", "probe", "restore", "trace", *SAMPLED}
SCORED = {"real", "damage", "corrections", "evaluate", "examine", "follow", "trace", "report"}

# (file below src/rediffuse, old text, new text) -> stages with a stale job. "" as old text: the new text is appended.
EDITS = {
    # Harmless.
    ("data/celeba.py", "", "import json\n"): set(),
    ("data/celeba.py", "", "UNUSED = 1\n"): set(),
    ("errors.py", "", "UNUSED = 1\n"): set(),
    ("files.py", "", "UNUSED = 1\n"): set(),
    ("samplers/plms.py", "", "UNUSED = 1\n"): set(),
    ("samplers/plms.py", "multistep_eps(", "multistep_eps_("): set(),
    ("samplers/plms.py", "    ", "    # a comment\n    "): set(),
    ("interop/own_format.py", "", "UNUSED = 1\n"): set(),
    ("training/options.py", "Adam's step size", "the step size of Adam"): set(),
    # Looks of pictures.
    ("grids.py", "MARGIN = 1 ", "MARGIN = 2 "): DRAWN,
    # What a number follows from.
    ("diffusion/schedules.py", "s: float = 0.008", "s: float = 0.009"): {*TRAINED, "classifier", "cost"},
    ("models/blocks.py", "scale_factor=2.0", "scale_factor=2"): {*TRAINED, "cost"},
    ("models/blocks.py", "inplace=not", "inplace=not not not"): {*TRAINED, "classifier", "cost"},
    ("training/adam.py", "1e-8", "1e-7"): {*TRAINED, "classifier", "cost"},
    ("samplers/ddim.py", "def ddim(", "def ddim_("): {*SAMPLED, *DRAWN, "corrections", "trace", "restore", "cost"},
    ("evaluation/kernel.py", "** 3", "** 4"): SCORED,
    ("evaluation/metrics.py", 'better="lower"', 'better="higher"'): {"report"},
    ("reporting/chapters/quality.py", '"network evaluations"', '"evaluations"'): {"report"},
    ("runs/facts.py", '"eta": sampler.eta', '"eta": 0'): {"evaluate", "examine", "report"},
}


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the package beside the smoke study, to edit."""
    folder = tmp_path_factory.mktemp("edited")
    shutil.copytree(ROOT / "src", folder / "src", ignore=shutil.ignore_patterns("*.egg-info"))
    shutil.copy2(ROOT / "studies" / "smoke.yaml", folder / "study.yaml")
    return folder


def keys(package: Path) -> dict[str, str]:
    environment = {**os.environ, "PYTHONPATH": str(package / "src")}
    command = [sys.executable, "-c", KEYS]
    done = subprocess.run(command, cwd=package, env=environment, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def before(package: Path) -> dict[str, str]:
    return keys(package)


def stale(package: Path, before: dict[str, str]) -> set[str]:
    after = keys(package)
    return {name.split("/")[0] for name in after if after[name] != before[name]}


@pytest.mark.parametrize(("edit", "expected"), EDITS.items(), ids=[f"{e[0]}: {e[2]!r}" for e in EDITS])
def test_an_edit_makes_stale_what_depends_on_it_and_only_that(
    package: Path, before: dict[str, str], edit: tuple[str, str, str], expected: set[str]
):
    file, old, new = edit
    path = package / "src" / "rediffuse" / file
    text = path.read_text()
    assert old in text, f"{file} does not hold {old!r}"
    path.write_text(text.replace(old, new, 1) if old else text + new)
    try:
        assert stale(package, before) == expected
    finally:
        path.write_text(text)
