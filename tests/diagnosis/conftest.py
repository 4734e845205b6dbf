"""Four trainings of seconds, once: a coloured network told of classes, two grey ones, and two that learned wrong."""

from types import SimpleNamespace

import pytest

from rediffuse.diffusion import DiffusionProcess, Objective
from tests.diagnosis.patients import CONFIG, Pictures, coloured, trained

GREY = CONFIG.replace(in_channels=1, out_channels=1, num_classes=None)


@pytest.fixture(scope="session")
def images():
    """Coloured digits and their grey ink, which is scikit-learn's digits; each as (training, held out)."""
    both = coloured()
    grey = tuple(Pictures(each.images[:, :1], each.labels) for each in both)
    return SimpleNamespace(coloured=both, grey=grey)


@pytest.fixture(scope="session")
def base(images, tmp_path_factory):
    """The coloured network with its averaged weights, and the raw ones."""
    network, result = trained(tmp_path_factory.mktemp("base"), images.coloured[0], 400)
    return SimpleNamespace(network=network, raw=result.raw, averaged=result.averaged)


@pytest.fixture(scope="session")
def grey(images, tmp_path_factory):
    """A grey network without classes that predicts v, and its raw weights."""
    objective = Objective(prediction="v")
    network, result = trained(
        tmp_path_factory.mktemp("grey"), images.grey[0], 250, config=GREY, objective=objective, labels=False
    )
    return SimpleNamespace(network=network, raw=result.raw)


@pytest.fixture(scope="session")
def linear(images, tmp_path_factory):
    """A grey network that predicts x_0 under the linear schedule."""
    process, objective = DiffusionProcess.create("linear", 100), Objective(prediction="x0")
    folder = tmp_path_factory.mktemp("linear")
    return trained(folder, images.grey[0], 300, config=GREY, objective=objective, process=process, labels=False)[0]
