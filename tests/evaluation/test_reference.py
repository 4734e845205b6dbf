import dataclasses

import numpy as np
import pytest

from rediffuse.errors import UserError
from rediffuse.evaluation.frechet import moments
from rediffuse.evaluation.reference import (
    ReferenceIdentity,
    check_covariance,
    make_reference,
    open_foreign_reference,
    open_reference,
    reference_path,
    save_reference,
)


@pytest.fixture
def saved(tmp_path, make_features):
    reference = make_reference(make_features(50), dataset="digits", split="train", images_sha256="b" * 64)
    return save_reference(tmp_path, reference, {"name": "made-up"}), reference_path(tmp_path, "made-up")


def test_a_reference_holds_the_moments_of_all_its_features(make_features):
    real = make_features(50)
    reference = make_reference(real, dataset="digits", split="train", keep=20)
    mu, sigma = moments(real.features)
    np.testing.assert_array_equal(reference.mu, mu)
    np.testing.assert_array_equal(reference.sigma, sigma)
    np.testing.assert_allclose(reference.class_marginal, real.probabilities.mean(0), rtol=1e-6)


def test_only_so_many_features_are_kept_evenly_spaced(make_features):
    real = make_features(50)
    reference = make_reference(real, dataset="digits", split="train", keep=10)
    np.testing.assert_array_equal(reference.features, real.features[::5])
    assert reference.identity.count == 50


def test_a_saved_reference_opens_as_it_was(saved):
    reference, path = saved
    opened = open_reference(path, reference.identity)
    assert opened.identity == reference.identity
    assert opened.sha256 == reference.sha256 is not None
    for name in ("mu", "sigma", "features", "class_marginal"):
        np.testing.assert_array_equal(getattr(opened, name), getattr(reference, name))


def test_saving_twice_gives_the_same_bytes(saved, tmp_path):
    reference, path = saved
    save_reference(tmp_path / "again", reference, {"name": "made-up"})
    for file in (path, path.with_suffix(".json")):
        assert file.read_bytes() == (tmp_path / "again" / file.name).read_bytes()


def test_a_missing_file_names_the_command_that_makes_it(saved, tmp_path):
    with pytest.raises(UserError, match="are missing: run `rediffuse reference`"):
        open_reference(tmp_path / "nothing.npz", saved[0].identity)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("dataset", "cifar10"),
        ("split", "held-out"),
        ("count", 51),
        ("network", "inception-v3"),
        ("resize", "bicubic-64"),
        ("weights_sha256", "c" * 64),
        ("images_sha256", "d" * 64),
    ],
)
def test_a_reference_made_from_something_else_is_refused_naming_what(saved, field, value):
    reference, path = saved
    expected = dataclasses.replace(reference.identity, **{field: value})
    with pytest.raises(UserError, match=f"made with {field} .*, not {value}: run `rediffuse reference`"):
        open_reference(path, expected)


def test_what_is_not_known_is_not_compared(saved):
    reference, path = saved
    expected = ReferenceIdentity("digits", "train", None, "made-up", "none")
    assert open_reference(path, expected).identity == reference.identity


def test_a_file_without_its_card_is_refused(saved):
    reference, path = saved
    path.with_suffix(".json").unlink()
    with pytest.raises(UserError, match="no readable card"):
        open_reference(path, reference.identity)


def test_a_file_that_its_card_does_not_describe_is_refused(saved):
    reference, path = saved
    np.savez(path, mu=reference.mu + 1, sigma=reference.sigma)
    with pytest.raises(UserError, match="not the file their card describes"):
        open_reference(path, reference.identity)


def test_one_image_is_too_few(make_features):
    with pytest.raises(UserError, match="at least 2 images; digits/train has 1"):
        make_reference(make_features(1), dataset="digits", split="train")


FOREIGN = ReferenceIdentity("cifar10", "train", None, "inception-v3", "clean-299")


def test_a_foreign_file_with_mu_and_sigma_is_accepted(tmp_path):
    mu, sigma = np.arange(3.0), np.eye(3, dtype=np.float32)
    np.savez(tmp_path / "stats.npz", mu=mu, sigma=sigma)
    reference = open_foreign_reference(tmp_path / "stats.npz", FOREIGN)
    np.testing.assert_array_equal(reference.mu, mu)
    assert reference.sigma.dtype == np.float64
    assert reference.features is None
    assert reference.identity == FOREIGN


@pytest.mark.parametrize(
    ("arrays", "reason"),
    [
        ({"mu": np.zeros(3)}, "no mu and sigma"),
        ({"mu": np.zeros(3), "sigma": np.eye(4)}, r"mu is \(3,\) and sigma \(4, 4\)"),
        ({"mu": np.full(3, np.nan), "sigma": np.eye(3)}, "NaN"),
        ({"mu": np.array([{}], dtype=object), "sigma": np.eye(1)}, "not a statistics file"),
        ({"mu": np.zeros(3), "sigma": np.triu(np.ones((3, 3)))}, "sigma is no covariance: it is not symmetric"),
        ({"mu": np.zeros(3), "sigma": -np.eye(3)}, "sigma is no covariance: it has negative eigenvalues"),
        ({"mu": np.zeros(2), "sigma": np.array([[1.0, 2.0], [2.0, 1.0]])}, "it has negative eigenvalues"),
        (
            {"mu": np.zeros(2), "sigma": np.eye(2), "features": np.full((4, 2), np.inf)},
            "features holds NaN or infinity",
        ),
        ({"mu": np.zeros(2), "sigma": np.eye(2), "features": np.zeros((4, 3))}, r"features have shape \(4, 3\)"),
        ({"mu": np.array(["a"]), "sigma": np.eye(1)}, "mu is <U1, not numbers"),
    ],
)
def test_a_foreign_file_that_is_no_statistics_file_is_refused(tmp_path, arrays, reason):
    np.savez(tmp_path / "stats.npz", **arrays)
    with pytest.raises(UserError, match=reason):
        open_foreign_reference(tmp_path / "stats.npz", FOREIGN)


@pytest.mark.parametrize("content", [b"hello", b"", b"PK\x03\x04 truncated"])
def test_a_file_that_is_no_npz_is_refused(tmp_path, content):
    (tmp_path / "stats.npz").write_bytes(content)
    with pytest.raises(UserError, match="not a statistics file"):
        open_foreign_reference(tmp_path / "stats.npz", FOREIGN)


def test_a_single_array_in_place_of_an_npz_is_refused(tmp_path):
    with (tmp_path / "stats.npz").open("wb") as stream:
        np.save(stream, np.zeros(3))
    with pytest.raises(UserError, match="not a statistics file"):
        open_foreign_reference(tmp_path / "stats.npz", FOREIGN)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("count", [5, 40, 4000])
def test_any_covariance_of_features_is_one_singular_or_not(make_features, count, dtype):
    """With fewer images than dimensions, and rounded to single precision, as others write them."""
    _, sigma = moments(make_features(count, dim=40).features * [1e-4, *[100.0] * 39])
    check_covariance(sigma.astype(dtype).astype(np.float64), "it")


def test_no_variance_at_all_is_a_covariance():
    check_covariance(np.zeros((3, 3)), "it")
