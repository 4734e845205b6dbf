import numpy as np
import pytest
import torch

from rediffuse.errors import UserError
from rediffuse.evaluation.features import FeatureOptions, load_feature_network
from rediffuse.files import sha256


class Means(torch.nn.Module):
    """Features: the mean of each colour channel."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.mean((2, 3))


class MeansAndLogits(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        means = x.mean((2, 3))
        return means, torch.cat([means, means], dim=1)


class Maps(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * 2


def save(folder, module: torch.nn.Module) -> str:
    path = folder / "My net.pt"
    torch.jit.script(module).save(str(path))
    return f"torchscript:{path}"


@pytest.fixture
def images():
    return np.random.default_rng(0).integers(0, 256, (5, 3, 16, 16), dtype=np.uint8)


def test_a_users_network_gives_features(tmp_path, images):
    network = load_feature_network(save(tmp_path, Means()), FeatureOptions(resize=16))
    found = network.extract(images)
    np.testing.assert_allclose(found.features, images.mean((2, 3)), rtol=1e-5)
    assert found.probabilities is None
    assert (network.name, network.dim) == ("torchscript-my-net", 3)
    assert network.card["weights_sha256"] == sha256(tmp_path / "My net.pt")


def test_logits_become_probabilities(tmp_path, images):
    found = load_feature_network(save(tmp_path, MeansAndLogits()), FeatureOptions(resize=16)).extract(images)
    assert found.probabilities.shape == (5, 6)
    np.testing.assert_allclose(found.probabilities.sum(1), 1, atol=1e-6)


def test_images_are_resized_first(tmp_path, images):
    network = load_feature_network(save(tmp_path, Means()), FeatureOptions(resize=48))
    assert network.resize == "bicubic-48"
    np.testing.assert_allclose(network.extract(images).features, images.mean((2, 3)), atol=3)


def test_maps_are_refused_as_features(tmp_path):
    with pytest.raises(UserError, match=r"features must be \[2, dim\]"):
        load_feature_network(save(tmp_path, Maps()))


def test_a_file_that_is_not_torchscript_is_refused(tmp_path):
    path = tmp_path / "x.pt"
    path.write_bytes(b"hello")
    with pytest.raises(UserError, match="is not a TorchScript file"):
        load_feature_network(f"torchscript:{path}")


def test_a_file_that_does_not_exist_is_named(tmp_path):
    with pytest.raises(UserError, match=r"nowhere\.pt does not exist"):
        load_feature_network(f"torchscript:{tmp_path / 'nowhere.pt'}")


def test_weights_that_are_not_finite_are_refused_naming_the_tensor(tmp_path):
    network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 16 * 16, 4))
    with torch.no_grad():
        network[1].weight[2, 5] = float("nan")
    name = save(tmp_path, network)
    with pytest.raises(UserError, match=r"My net\.pt: the weights 1\.weight hold NaN or infinity"):
        load_feature_network(name, FeatureOptions(resize=16))


class OtherSize(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.reshape(2, 7)


def test_a_network_that_fails_on_images_is_named(tmp_path):
    with pytest.raises(UserError, match=r"My net\.pt gives no features for images \(2, 3, 64, 64\)"):
        load_feature_network(save(tmp_path, OtherSize()))
