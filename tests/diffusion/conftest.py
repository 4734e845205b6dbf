import pytest

from rediffuse.diffusion import DiffusionProcess


@pytest.fixture(scope="session")
def linear() -> DiffusionProcess:
    return DiffusionProcess.create("linear", 1000)


@pytest.fixture(scope="session")
def cosine() -> DiffusionProcess:
    return DiffusionProcess.create("cosine", 1000)
