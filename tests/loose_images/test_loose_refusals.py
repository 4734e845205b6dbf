"""What `rediffuse evaluate --samples` and `rediffuse statistics` refuse: one line, exit code 2, nothing written."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).resolve().parents[2]


def bad_folder(work, *images):
    folder = work.folder / "bad"
    folder.mkdir()
    for name, shape in images:
        Image.fromarray(np.zeros(shape, np.uint8)).save(folder / name)
    return folder


def test_an_empty_folder_is_refused(work):
    bad_folder(work)
    assert work.refused("bad", "real") == "rediffuse: bad holds no pictures (.png, .jpg, .webp, ...)"


def test_a_missing_path_is_refused(work):
    assert "nowhere does not exist: name a folder" in work.refused("nowhere", "real")


def test_one_image_is_refused(work):
    bad_folder(work, ("a.png", (8, 8)))
    assert "at least 2 images a group: bad has 1" in work.refused("bad", "real")
    assert "at least 2 images; bad has 1" in work.refused("fake", "bad")


def test_pictures_of_two_sizes_are_refused_naming_both(work):
    bad_folder(work, ("a.png", (8, 8)), ("b.png", (8, 8)), ("c.png", (10, 12)))
    assert "differ in size: a.png is 8x8, c.png is 12x10" in work.refused("bad", "real")


def test_a_size_makes_them_alike(work):
    bad_folder(work, ("a.png", (8, 8)), ("b.png", (10, 12)))
    assert work.score("bad", "real", "--size", 8)["samples"]["shape"] == [3, 8, 8]


@pytest.mark.parametrize(
    ("content", "found"),
    [(b"version https://git-lfs.github.com/spec/v1\noid", "a pointer of Git LFS"), (b"<!DOCTYPE html>", "a web page")],
)
def test_what_lies_in_place_of_a_picture_is_named(work, content, found):
    (work.folder / "fake" / "0077.png").write_bytes(content)
    assert f"picture 0077.png of fake: it is {found}, not the file itself" in work.refused("fake", "real")


def test_a_corrupt_picture_is_named(work):
    whole = (work.folder / "fake" / "0000.png").read_bytes()
    (work.folder / "fake" / "0077.png").write_bytes(whole[: len(whole) // 2])
    assert "picture 0077.png of fake: it cannot be decoded" in work.refused("fake", "real")


@pytest.mark.parametrize(
    ("array", "reason"),
    [
        (np.full((30, 8, 8), np.nan), "x.npy holds NaN or infinity, first in image 0"),
        (np.linspace(0, 255, 30 * 64).reshape(30, 8, 8), "x.npy has values from 0 to 255: give uint8, or floats in"),
    ],
)
def test_floats_that_are_no_pixels_are_refused(work, array, reason):
    np.save("x.npy", array)
    assert reason in work.refused("x.npy", "real")


def test_more_images_than_there_are_are_refused(work):
    assert "2 x 100 images are asked for (--groups, --n), fake has 120" in work.refused(
        "fake", "real", "--n", 100, "--groups", 2
    )


def test_statistics_of_another_dimension_are_refused(work):
    np.savez("theirs.npz", mu=np.zeros(2048), sigma=np.eye(2048))
    assert "statistics of 2048 dimensions, torchscript-small has 12" in work.refused("fake", "theirs.npz")


def test_statistics_whose_card_names_another_network_are_refused(work):
    work.statistics()
    card = json.loads((work.folder / "real.json").read_text())
    (work.folder / "real.json").write_text(json.dumps({**card, "network": "inception-v3"}))
    assert "were made with network inception-v3, not torchscript-small" in work.refused("fake", "real.npz")


def test_statistics_of_other_weights_are_refused(work):
    work.statistics()
    work.save_network(seed=1)
    assert "were made with weights_sha256" in work.refused("fake", "real.npz")


def test_statistics_whose_name_is_another_networks_are_refused(work):
    np.savez("cifar10_legacy_tensorflow_train_32.npz", mu=np.zeros(12), sigma=np.eye(12))
    said = work.refused("fake", "cifar10_legacy_tensorflow_train_32.npz")
    assert "clean-fid's of mode legacy_tensorflow, not of torchscript-small: use --features inception-v3" in said


def test_statistics_changed_since_their_card_are_refused(work):
    work.statistics()
    np.savez("real.npz", mu=np.zeros(12), sigma=np.eye(12))
    assert "not the file their card describes" in work.refused("fake", "real.npz")


def test_the_card_of_the_reference_is_not_overwritten(work):
    work.statistics()
    before = (work.folder / "real.json").read_bytes()
    assert "is the card of the reference" in work.evaluate("fake", "real.npz", "--output", "real.json", code=2)
    assert (work.folder / "real.json").read_bytes() == before


def test_statistics_replace_their_own_card_and_nothing_else(work):
    work.statistics()
    work.statistics()
    (work.folder / "other.json").write_text('{"precious": 1}')
    said = work.run("statistics", "--images", "real", "--output", "other.npz", *work.network, code=2)
    assert "the card other.json would replace another file" in said
    assert (work.folder / "other.json").read_text() == '{"precious": 1}'
    assert not (work.folder / "other.npz").exists()


@pytest.mark.parametrize("verb", ["evaluate", "statistics"])
@pytest.mark.parametrize("place", ["/proc/nowhere/x", "small.pt/x"])
def test_a_place_that_cannot_be_written_is_refused_before_the_work(work, verb, place):
    work.monkeypatch.setattr("rediffuse.loose.images.NetworkChoice.load", None)  # the work would begin so
    given = ("--samples", "fake", "--reference", "real") if verb == "evaluate" else ("--images", "real")
    output = f"{place}.{'json' if verb == 'evaluate' else 'npz'}"
    said = work.run(verb, *given, *work.network, "--output", output, code=2)
    assert said.startswith(f"rediffuse: --output: {output} cannot be written: ")
    assert len(said.splitlines()) == 1


@pytest.mark.parametrize(
    ("sigma", "reason"),
    [
        (np.triu(np.ones((12, 12))), "sigma is no covariance: it is not symmetric"),
        (-np.eye(12), "sigma is no covariance: it has negative eigenvalues"),
        (np.full((12, 12), np.nan), "sigma holds NaN or infinity"),
        (np.zeros((12, 12)), "sigma is all zero: it was never filled"),
    ],
)
def test_statistics_that_are_no_covariance_are_refused(work, sigma, reason):
    np.savez("theirs.npz", mu=np.zeros(12), sigma=sigma)
    assert reason in work.refused("fake", "theirs.npz")


def test_statistics_under_other_names_say_what_would_do(work):
    np.savez("theirs.npz", mean=np.zeros(12), cov=np.eye(12))
    assert "holds mean [12], cov [12, 12]: call the array" in work.refused("fake", "theirs.npz")
    np.savez("theirs.npz", mu=np.zeros(12), cov=np.eye(12))
    assert "it holds no mu and sigma, only mu, cov" in work.refused("fake", "theirs.npz")
    np.save("theirs.npy", {"mu": np.zeros(12), "sigma": np.eye(12)}, allow_pickle=True)
    assert "statistics by np.savez(path, mu=..., sigma=...)" in work.refused("fake", "theirs.npy")


def test_an_unknown_reference_says_what_there_is(work):
    assert "no reference 'cifar10': name a statistics file" in work.refused("fake", "cifar10")


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ((), "evaluate: name a run (with --seed, --study), or give both --samples and --reference"),
        (("baseline", "--n", 5), "name a run (with --seed, --study), or"),
        (("--samples", "fake", "--reference", "real", "--seed", 1), "name a run (with --seed, --study), or"),
        (("--samples", "fake"), "give both --samples and --reference"),
        (("baseline", "--samples", "fake", "--reference", "real"), "name a run (with --seed, --study), or"),
        (("--samples", "fake", "--reference", "real", "--features", "vgg"), "no feature network named 'vgg'"),
        (("--samples", "fake", "--reference", "real", "--features", "torchscript"), "needs --weights FILE"),
        (("--samples", "fake", "--reference", "real", "--weights", "small.pt"), "efficientnet-lite0 brings its own"),
        (("--samples", "fake", "--reference", "real", "--output", "x.txt"), "a file ending in .json, not 'x.txt'"),
        (("--samples", "fake", "--reference", "real", "--groups", "0"), "--groups must be at least 1"),
        (("--samples", "fake", "--reference", "real", "--n", "1"), "--n must be at least 2 images a group, not 1"),
        (("--samples", "fake", "--reference", "real", "--n", "-3"), "--n must be at least 2 images a group, not -3"),
        (("--samples", "fake", "--reference", "real", "--shuffle", "-1"), "--shuffle must be at least 0, not -1"),
        *(
            (("--samples", "fake", "--reference", "real", option, "9" * 23), f"'{option}': '{'9' * 23}'")
            for option in ("--n", "--groups", "--shuffle", "--size", "--network-size", "--batch-size", "--keep")
        ),
        (("--samples", "fake", "--reference", "real", "--range", "1:0"), "--range must be LOW:HIGH, such as 0:1"),
        (("--samples", "fake", "--reference", "real", "--range", "255"), "--range must be LOW:HIGH, such as 0:1"),
        (("--samples", "fake", "--reference", "real", "--range", "nan:1"), "--range must be LOW:HIGH, such as 0:1"),
    ],
)
def test_arguments_that_do_not_fit_together_are_refused(work, arguments, reason):
    assert reason in work.run("evaluate", *arguments, code=2)


@pytest.mark.parametrize(
    ("verb", "stage", "said"),
    [
        (
            ("evaluate", "--samples", "fake", "--reference", "real"),
            "loose.images.evaluate_images",
            "from the beginning",
        ),
        (
            ("statistics", "--images", "real", "--output", "x.npz"),
            "loose.images.write_statistics",
            "from the beginning",
        ),
        (("train", "baseline"), "pipeline.work.require", "goes on where it was"),
    ],
)
def test_ctrl_c_says_whether_the_verb_goes_on_where_it_was(work, verb, stage, said):
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    shutil.copy(ROOT / "studies" / "smoke.yaml", "params.yaml")
    work.monkeypatch.setattr(f"rediffuse.{stage}", interrupted)
    [line] = work.run(*verb, code=130).splitlines()
    assert line.startswith("rediffuse: stopped; the same command ")
    assert line.endswith(said)
