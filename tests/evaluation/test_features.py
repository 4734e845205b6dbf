import subprocess
import sys

import numpy as np
import pytest
import torch

from rediffuse.data.registry import load
from rediffuse.errors import UserError
from rediffuse.evaluation.efficientnet import EfficientNetLite0
from rediffuse.evaluation.features import FeatureOptions, Features, load_feature_network


@pytest.fixture(scope="module")
def digits():
    return load("digits").images[:70]


def test_features_have_the_announced_shape_and_probabilities_sum_to_one(efficientnet, digits):
    result = efficientnet.extract(digits[:5])
    assert result.features.shape == (5, efficientnet.dim) == (5, 1280)
    assert result.features.dtype == np.float32
    np.testing.assert_allclose(result.probabilities.sum(1), 1, atol=1e-5)
    assert result.probabilities.shape == (5, 1000)


@pytest.mark.parametrize("batch_size", [1, 7, 33, 64, 1000])
def test_features_do_not_depend_on_the_batch_size(efficientnet, digits, batch_size):
    expected = efficientnet.extract(digits, batch_size=32)
    found = efficientnet.extract(digits, batch_size=batch_size)
    np.testing.assert_allclose(found.features, expected.features, atol=1e-5)
    np.testing.assert_allclose(found.probabilities, expected.probabilities, atol=1e-5)


def test_features_of_an_image_do_not_depend_on_its_neighbours(efficientnet, digits):
    alone = efficientnet.extract(digits[40:41])
    np.testing.assert_allclose(alone.features[0], efficientnet.extract(digits).features[40], atol=1e-5)


def test_features_and_probabilities_are_those_of_the_packaged_network(digits):
    """The network's own forward in float64 on images prepared by hand."""
    network = EfficientNetLite0()
    model = network._model.double()
    images = torch.from_numpy(digits[:4]).double().repeat(1, 3, 1, 1)
    enlarged = torch.nn.functional.interpolate(images / 255, size=(64, 64), mode="bicubic", align_corners=False)
    prepared = (enlarged - 127 / 255) / (128 / 255)
    with torch.no_grad():
        expected = model.extract_features(prepared).mean((2, 3))
        probabilities = model(prepared).softmax(1)
    found = load_feature_network("efficientnet-lite0").extract(digits[:4])
    np.testing.assert_allclose(found.features, expected, atol=2e-4)
    np.testing.assert_allclose(found.probabilities, probabilities, atol=1e-4)


def test_grey_images_are_repeated_to_rgb(efficientnet, digits):
    coloured = np.repeat(digits[:5], 3, axis=1)
    np.testing.assert_array_equal(efficientnet.extract(coloured).features, efficientnet.extract(digits[:5]).features)


def test_arrays_and_tensors_give_the_same(efficientnet, digits):
    found = efficientnet.extract(torch.from_numpy(digits[:5]))
    np.testing.assert_array_equal(found.features, efficientnet.extract(digits[:5]).features)


def test_large_images_are_antialiased(efficientnet):
    """A checkerboard of single pixels shrinks to plain grey: without antialiasing it would alias to a pattern."""
    board = (np.indices((150, 150)).sum(0) % 2 * 255).astype(np.uint8)[None, None]
    grey = np.full((1, 1, 64, 64), 128, dtype=np.uint8)
    found, expected = efficientnet.extract(board).features, efficientnet.extract(grey).features
    assert np.abs(found - expected).max() < 0.05


def test_another_resize_gives_other_features_and_says_so(efficientnet, digits):
    larger = load_feature_network("efficientnet-lite0", FeatureOptions(resize=96))
    found = larger.extract(digits[:3])
    assert (found.resize, efficientnet.resize) == ("bicubic-96", "bicubic-64")
    assert np.abs(found.features - efficientnet.extract(digits[:3]).features).max() > 0.1


def test_the_card_states_weights_and_preprocessing(efficientnet):
    card = efficientnet.card
    assert card["weights_sha256"] == "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
    assert "(x - 127) / 128 for x in 0..255" in card["preprocessing"]


def test_progress_counts_images(efficientnet, digits):
    seen = []
    efficientnet.extract(digits, batch_size=32, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(32, 70), (64, 70), (70, 70)]


@pytest.mark.parametrize(
    ("images", "reason"),
    [
        (np.zeros((2, 1, 8, 8), dtype=np.float32), "not torch.float32"),
        (np.zeros((2, 4, 8, 8), dtype=np.uint8), r"not torch.uint8 \(2, 4, 8, 8\)"),
        (np.zeros((2, 8, 8), dtype=np.uint8), r"\(2, 8, 8\)"),
        (np.zeros((0, 1, 8, 8), dtype=np.uint8), "no images"),
    ],
)
def test_anything_but_uint8_images_is_refused(efficientnet, images, reason):
    with pytest.raises(UserError, match=reason):
        efficientnet.extract(images)


def test_a_read_only_array_is_accepted_without_a_warning(efficientnet, digits, recwarn):
    frozen = digits[:3].copy()
    frozen.flags.writeable = False
    efficientnet.extract(frozen)
    assert not [warning for warning in recwarn if "writable" in str(warning.message)]


def test_an_unknown_network_lists_those_there_are():
    with pytest.raises(UserError, match="no feature network named 'vgg'; there are: efficientnet-lite0, inception-v3"):
        load_feature_network("vgg")


def test_a_resize_too_small_for_the_network_is_refused():
    with pytest.raises(UserError, match="at least 32 pixels, not resize=8"):
        load_feature_network("efficientnet-lite0", FeatureOptions(resize=8))


def test_evaluation_needs_nothing_of_the_pipeline():
    modules = ["efficientnet", "frechet", "inception", "kernel", "scoring", "torchscript"]
    imports = "; ".join(f"import rediffuse.evaluation.{module}" for module in modules)
    banned = ["pydantic", "dvc", "snakemake", "mlflow", "rediffuse.config"]
    code = f"import sys; {imports}; assert not {set(banned)} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("of", ["features", "class probabilities"])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_not_finite_is_refused_before_it_is_scored(of, value):
    vectors, probabilities = np.zeros((3, 4), np.float32), np.full((3, 2), 0.5, np.float32)
    (vectors if of == "features" else probabilities)[1, 1] = value
    with pytest.raises(UserError, match=f"{of} of made-up hold NaN or infinity"):
        Features(vectors, probabilities, "made-up", "none")
