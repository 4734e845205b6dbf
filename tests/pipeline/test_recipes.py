"""The recipes of docs/architecture.md, followed to the letter in a copy of the project:
each adds what it says it adds.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "architecture.md").read_text()
#: A line for a registry or a study, and where it goes; a new file, which lies in `RECIPES`.
LINE = re.compile(r"```\w+\n# (?P<file>[\w./]+), in (?P<place>\w+)\n(?P<text>.*?)```", re.DOTALL)
NEW = re.compile(r"^\*\*A [\w ]+\*\*: `(src/rediffuse/[\w/]+\.py)`", re.MULTILINE)
RECIPES = Path(__file__).parent / "recipes"
BASELINE = Path("runs/smoke/baseline/seed0")


class Project:
    """A copy of the project in which the smoke study is active and every recipe was followed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in ("src", "workflow", "profiles", "inputs"):
            shutil.copytree(ROOT / name, folder / name, symlinks=True, ignore=shutil.ignore_patterns("*.egg-info"))
        for name in ("Snakefile", "dvc.yaml"):
            shutil.copy2(ROOT / name, folder)
        study = (ROOT / "studies" / "smoke.yaml").read_text()
        (folder / "params.yaml").write_text(f"tracking: {{enabled: false}}\n{study}")
        for file in NEW.findall(PAGE):
            assert not (folder / file).exists(), f"{file} is there already"
            shutil.copy2(RECIPES / Path(file).name, folder / file)
        for line in LINE.finditer(PAGE):
            self.add(**line.groupdict())
        self.edit("params.yaml", "  name: smoke\n", "  name: stripes\n")
        self.edit(
            "params.yaml",
            "ddim: {steps: [5]}\n",
            "ddim: {steps: [5]}\n      halfway: {steps: [5]}\n      gone: {kind: halfway, steps: [5], shrink: 0}\n",
        )

    def add(self, file: str, place: str, text: str) -> None:
        """Put lines first in a registry, or in a section of a study."""
        opening = rf"^{place}:\n" if file.endswith(".yaml") else rf'^{place}\b.*Registry\(\n    ".*",\n'
        found = re.search(opening, (self.folder / file).read_text(), re.MULTILINE)
        assert found, f"{file} has no {place}"
        self.edit(file, found.group(), found.group() + text)

    def edit(self, file: str, old: str, new: str) -> None:
        path = self.folder / file
        assert old in path.read_text()
        path.write_text(path.read_text().replace(old, new, 1))

    def rediffuse(self, arguments: str) -> str:
        """What a verb prints; it must succeed."""
        environment = {**os.environ, "PYTHONPATH": str(self.folder / "src")}
        command = [sys.executable, "-m", "rediffuse", *arguments.split()]
        done = subprocess.run(command, cwd=self.folder, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{arguments}:\n{done.stdout}{done.stderr}"
        return done.stdout

    def read(self, file: str | Path) -> dict:
        return json.loads((self.folder / file).read_text())


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    return Project(tmp_path_factory.mktemp("recipes") / "project")


@pytest.fixture(scope="module")
def sampled(project: Project) -> Project:
    """One run, trained and sampled by its verbs."""
    for verb in ("prepare", "train baseline", "sample baseline"):
        project.rediffuse(verb)
    return project


def test_each_recipe_is_a_file_and_a_line():
    assert [Path(file).parent.name for file in NEW.findall(PAGE)] == ["samplers", "evaluation", "data", "stages"]
    lines = [Path(line["file"]) for line in LINE.finditer(PAGE)]
    assert [file.parent.name or file.name for file in lines] == ["samplers", "evaluation", "data", "params.yaml"]


def test_the_page_shows_the_layers_that_make_lint_checks():
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    layers = [set(re.split(r"[ |]+", layer)) for layer in settings["contracts"][0]["layers"]]
    packages = [layer for layer in layers if (ROOT / "src" / "rediffuse" / min(layer)).is_dir()]
    tree = PAGE.partition("src/rediffuse/\n")[2].partition("params.yaml")[0]
    assert [found for line in tree.splitlines() if (found := set(re.findall(r"\b(\w+)/", line)))] == packages


def test_a_data_set(sampled: Project):
    assert sampled.read("data/stripes/card.json")["title"] == "Stripes"
    assert np.load(sampled.folder / "data/stripes/images.npy").shape == (64, 1, 8, 8)


def test_a_sampler(sampled: Project):
    assert "halfway-5" in sampled.rediffuse("check")
    with np.load(sampled.folder / BASELINE / "samples" / "halfway-5.npz") as made:
        assert made["images"].shape == (40, 1, 8, 8)
        assert int(made["nfe"]) == 5


def test_a_samplers_own_option_reaches_it_from_the_study(sampled: Project):
    # The last step ends at the shrunken estimate: with shrink 0 that is 0, the grey in the middle.
    with np.load(sampled.folder / BASELINE / "samples" / "gone-5.npz") as made:
        assert set(made["images"].flat) == {128}


def test_a_samplers_own_option_is_checked_and_documented(project: Project):
    study = (project.folder / "params.yaml").read_text().replace("shrink: 0", "shrink: 2")
    (project.folder / "wrong.yaml").write_text(study)
    with pytest.raises(AssertionError, match=r"samplers\.gone\.shrink: 2 is not allowed; it should be less than or"):
        project.rediffuse("check wrong.yaml")
    assert "halfway: factor of the estimate of x0; 0.9 when absent" in project.rediffuse("schema --markdown")


def test_a_metric(sampled: Project):
    sampled.rediffuse("reference")
    sampled.rediffuse("evaluate baseline")
    assert sampled.read(BASELINE / "metrics" / "halfway-5.json")["metrics"]["spread"]["value"] > 0


def test_a_stage(sampled: Project):
    sampled.rediffuse("plan --dvc")
    stage = yaml.safe_load((sampled.folder / "dvc.yaml").read_text())["stages"]["brightness"]
    assert stage["cmd"] == "rediffuse build brightness ${item.run} --seed ${item.seed}"
    assert {"runs/${study}/${item.run}/seed${item.seed}/brightness": {"persist": True}} in stage["outs"]
    assert "brightness" in sampled.rediffuse("--help")
    # As Snakemake would: its rule asks for the file, and the verb makes it.
    file = BASELINE / "brightness" / "brightness.json"
    command = f"{sys.executable} -m snakemake --cores 1 --quiet all -- {file}"
    environment = {**os.environ, "PYTHONPATH": str(sampled.folder / "src")}
    subprocess.run(command, shell=True, cwd=sampled.folder, env=environment, check=True)
    assert 0 < sampled.read(file)["halfway-5"] < 255
    assert re.search(r"^brightness/baseline/seed0 +up to date$", sampled.rediffuse("status"), re.MULTILINE)


def test_an_experiment(project: Project):
    assert "average-0-5 (for experiments, from improved)" in project.rediffuse("check")
    assert "evaluate/average-0-5/seed0" in project.rediffuse("status")
