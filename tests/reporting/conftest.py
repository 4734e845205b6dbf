"""Fixtures: a study's files with made-up numbers."""

import shutil
from pathlib import Path

import pytest

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
