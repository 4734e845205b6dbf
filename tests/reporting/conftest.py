"""Fixtures: a study's files with made-up numbers."""

import shutil
from pathlib import Path

import pytest

from rediffuse.reporting import build_report, write_ablations
from tests.reporting.study_tree import PROJECT, StudyTree


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> StudyTree:
    """The smoke study with every file of its main runs, made once; to be left as it is."""
    return StudyTree(tmp_path_factory.mktemp("made"), PROJECT / "studies" / "smoke.yaml").everything()


@pytest.fixture
def tree(made: StudyTree, tmp_path: Path) -> StudyTree:
    """A copy of all its files, to be changed."""
    shutil.copytree(made.root, tmp_path, dirs_exist_ok=True)
    return StudyTree(tmp_path, PROJECT / "studies" / "smoke.yaml")


@pytest.fixture
def empty_tree(tmp_path: Path) -> StudyTree:
    """The smoke study before anything was run."""
    return StudyTree(tmp_path, PROJECT / "studies" / "smoke.yaml")


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> StudyTree:
    """A complete study, one ablation of one seed and one of two run, and its report; to be left as it is."""
    tree = StudyTree(tmp_path_factory.mktemp("full"), PROJECT / "studies" / "smoke.yaml").everything()
    tree.run(tree.loaded.ablations["width-halved"], 0, scale=1.5)
    for seed in (1, 2):
        tree.run(tree.loaded.ablations["improved-seeds"], seed, scale=1 + seed / 10)
    write_ablations(tree.loaded, tree.plan, tree.root)
    build_report(tree.loaded, tree.plan, tree.root, tree.out)
    return tree
