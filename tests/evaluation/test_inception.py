"""The Inception-v3 route, on a small TorchScript module with the interface of the published file."""

import cleanfid.inception_torchscript
import cleanfid.resize
import numpy as np
import pytest
import torch

from rediffuse.download import RemoteFile
from rediffuse.errors import UserError
from rediffuse.evaluation.features import FeatureOptions, load_feature_network
from rediffuse.evaluation.inception import WEIGHTS, InceptionV3
from rediffuse.files import sha256


class StandIn(torch.nn.Module):
    """Same attributes, arguments and resizing as inception-2015-12-05.pt; three small layers in place of Inception."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = torch.nn.Sequential(
            torch.nn.AdaptiveAvgPool2d(8), torch.nn.Flatten(), torch.nn.Linear(192, 2048), torch.nn.ReLU()
        )
        self.output = torch.nn.Linear(2048, 1008)

    def forward(
        self, img: torch.Tensor, return_features: bool = False, use_fp16: bool = False, no_output_bias: bool = False
    ) -> torch.Tensor:
        batch, channels, height, width = img.shape
        x = img.to(torch.float32)
        theta = torch.eye(2, 3, device=x.device)
        theta[0, 2] += theta[0, 0] / width - theta[0, 0] / 299
        theta[1, 2] += theta[1, 1] / height - theta[1, 1] / 299
        theta = theta.unsqueeze(0).repeat([batch, 1, 1])
        grid = torch.nn.functional.affine_grid(theta, [batch, channels, 299, 299], align_corners=False)
        x = torch.nn.functional.grid_sample(x, grid, mode="bilinear", padding_mode="border", align_corners=False)
        features = self.layers((x - 128) / 128).reshape(-1, 2048)
        if return_features:
            return features
        logits = torch.nn.functional.linear(features, self.output.weight) if no_output_bias else self.output(features)
        return torch.nn.functional.softmax(logits, dim=1)


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "inception-2015-12-05.pt"
    torch.jit.script(StandIn()).save(str(path))
    return path


def options(weights) -> FeatureOptions:
    return FeatureOptions(weights=weights, weights_sha256=sha256(weights))


def remote(weights, *urls) -> RemoteFile:
    return RemoteFile(weights.name, urls, "sha256", sha256(weights))


@pytest.fixture
def images():
    return np.random.default_rng(0).integers(0, 256, (3, 3, 32, 32), dtype=np.uint8)


def test_legacy_features_are_clean_fids(weights, images):
    theirs = cleanfid.inception_torchscript.InceptionV3W(str(weights.parent), download=False, resize_inside=True)
    with torch.no_grad():
        expected = theirs(torch.from_numpy(images).float())
    found = load_feature_network("inception-v3", options(weights)).extract(images)
    np.testing.assert_allclose(found.features, expected, atol=1e-5)
    assert (found.network, found.resize) == ("inception-v3", "legacy_tensorflow-299")


def test_clean_features_are_clean_fids(weights, images):
    theirs = cleanfid.inception_torchscript.InceptionV3W(str(weights.parent), download=False, resize_inside=False)
    resize = cleanfid.resize.build_resizer("clean")
    resized = np.stack([resize(image.transpose(1, 2, 0)) for image in images]).transpose(0, 3, 1, 2)
    with torch.no_grad():
        expected = theirs(torch.from_numpy(resized))
    found = load_feature_network("inception-v3-clean", options(weights)).extract(images)
    np.testing.assert_allclose(found.features, expected, atol=1e-5)
    assert (found.network, found.resize) == ("inception-v3-clean", "clean-299")


def test_probabilities_are_those_of_the_network_without_the_output_bias(weights, images):
    module = torch.jit.load(str(weights))
    with torch.no_grad():
        expected = module(torch.from_numpy(images), no_output_bias=True)
        biased = module(torch.from_numpy(images))
    found = load_feature_network("inception-v3", options(weights)).extract(images).probabilities
    np.testing.assert_allclose(found, expected, atol=1e-7)
    assert np.abs(found - biased.numpy()).max() > 1e-6


@pytest.mark.parametrize("name", ["inception-v3", "inception-v3-clean"])
def test_features_do_not_depend_on_the_batch_size(weights, name):
    images = np.random.default_rng(1).integers(0, 256, (40, 1, 12, 12), dtype=np.uint8)
    network = load_feature_network(name, options(weights))
    few, many = network.extract(images, batch_size=1), network.extract(images, batch_size=64)
    np.testing.assert_allclose(few.features, many.features, atol=1e-5)


def test_the_card_says_whether_the_weights_are_the_published_ones(weights):
    card = load_feature_network("inception-v3", options(weights)).card
    assert card["published_weights"] is False
    assert card["weights_sha256"] == sha256(weights)


def test_a_given_file_that_is_not_the_published_one_is_refused(weights):
    with pytest.raises(UserError, match=f"have sha256 {sha256(weights)}, not {WEIGHTS.checksum}"):
        load_feature_network("inception-v3", FeatureOptions(weights=weights))


def test_a_given_file_that_does_not_exist_is_named(tmp_path):
    with pytest.raises(UserError, match=r"nowhere\.pt do not exist"):
        load_feature_network("inception-v3", FeatureOptions(weights=tmp_path / "nowhere.pt"))


def test_without_weights_and_without_a_place_to_fetch_them_the_message_says_what_to_do(weights):
    with pytest.raises(UserError, match=r"fetch it from http://example\.org/w and name it as the weights file"):
        InceptionV3("clean", FeatureOptions(), file=remote(weights, "http://example.org/w"))


def test_weights_fetched_before_are_used(weights, tmp_path, images):
    (tmp_path / weights.name).write_bytes(weights.read_bytes())
    network = InceptionV3("clean", FeatureOptions(download_dir=tmp_path), file=remote(weights))
    assert len(network.extract(images)) == 3


def test_weights_that_cannot_be_fetched_say_where_to_put_them(weights, tmp_path):
    file = remote(weights, "http://127.0.0.1:9/weights")
    with pytest.raises(UserError, match="put the file at .* by hand"):
        InceptionV3("clean", FeatureOptions(download_dir=tmp_path), file=file)


def test_a_program_that_is_called_otherwise_is_refused_in_a_line(tmp_path):
    class Other(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers, self.output = torch.nn.Flatten(), torch.nn.Linear(2048, 1008)

        def forward(self, img: torch.Tensor) -> torch.Tensor:
            return self.layers(img)

    path = tmp_path / "other.pt"
    torch.jit.trace(Other(), torch.zeros(1, 2, 32, 32)).save(str(path))
    for name in ("inception-v3", "inception-v3-clean"):
        with pytest.raises(UserError, match="is not FID's Inception-v3, with 2,048 features of an image"):
            load_feature_network(name, options(path))
