import numpy as np
import pytest

from rediffuse.evaluation.features import Features, load_feature_network


@pytest.fixture(scope="session")
def efficientnet():
    return load_feature_network("efficientnet-lite0")


@pytest.fixture
def make_features():
    """Features of a made-up network: Gaussian vectors [count, dim] and class probabilities."""

    def make(count: int, seed: int = 0, dim: int = 16, network: str = "made-up", classes: int | None = 5) -> Features:
        random = np.random.default_rng(seed)
        vectors = random.normal(size=(count, dim)).astype(np.float32)
        probabilities = None if classes is None else random.dirichlet(np.ones(classes), count).astype(np.float32)
        return Features(vectors, probabilities, network, "none", "a" * 64)

    return make
