"""One thread for every test and what it starts: the last bits of a result depend on the number of threads."""

import os

os.environ["OMP_NUM_THREADS"] = "1"

import pytest
import torch

torch.set_num_threads(1)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whole builds take longest: begun last, one process would be left alone with them."""
    items.sort(key=lambda item: "pipeline" not in item.path.parts)
