"""Fixtures: a study's files with made-up numbers."""

from pathlib import Path

import pytest

from tests.reporting.study_tree import PROJECT, StudyTree


@pytest.fixture
def tree(tmp_path: Path) -> StudyTree:
    """The smoke study with every file of its main runs."""
    return StudyTree(tmp_path, PROJECT / "studies" / "smoke.yaml").everything()


@pytest.fixture
def empty_tree(tmp_path: Path) -> StudyTree:
    """The smoke study before anything was run."""
    return StudyTree(tmp_path, PROJECT / "studies" / "smoke.yaml")
