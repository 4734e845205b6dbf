"""`rediffuse evaluate --samples` and `rediffuse statistics` through the command line, on real files."""

import json
import sys
from importlib.metadata import version

import cleanfid
import cleanfid.fid
import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_digits

from rediffuse import cli
from rediffuse.data.image_set import ImageSet, images_digest, make_card, save_image_set
from rediffuse.evaluation.features import FeatureOptions, load_feature_network
from rediffuse.evaluation.reference import make_reference, save_reference
from rediffuse.files import sha256

DIM = 12


class Small(torch.nn.Module):
    """12 features of a picture and the logits of 4 classes; nothing is learnt."""

    def __init__(self) -> None:
        super().__init__()
        self.features = torch.nn.Sequential(
            torch.nn.Conv2d(3, DIM, 3, stride=2), torch.nn.ReLU(), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten()
        )
        self.head = torch.nn.Linear(DIM, 4)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        features = self.features(x / 127.5 - 1)
        return features, self.head(features)


class Work:
    """A folder with 300 real digits as pictures, 120 others as pictures and arrays, and a small feature network."""

    def __init__(self, folder, monkeypatch, capsys) -> None:
        self.folder, self.monkeypatch, self.capsys = folder, monkeypatch, capsys
        monkeypatch.chdir(folder)
        digits = (load_digits().images * 15.9375).astype(np.uint8)
        self.real, self.fake = digits[:300, None], digits[300:420, None]
        for name, images in (("real", self.real), ("fake", self.fake)):
            (folder / name).mkdir()
            for position, image in enumerate(images):
                Image.fromarray(image[0]).save(folder / name / f"{position:04d}.png")
        torch.manual_seed(0)
        torch.jit.script(Small()).save(str(folder / "small.pt"))

    def run(self, *arguments: object, code: int = 0) -> str:
        """Run a verb; gives stdout, or stderr where it should fail."""
        self.monkeypatch.setattr(sys, "argv", ["rediffuse", *map(str, arguments)])
        self.capsys.readouterr()
        with pytest.raises(SystemExit) as stop:
            cli.main()
        out, err = self.capsys.readouterr()
        assert (stop.value.code or 0) == code, err
        return err if code else out

    def statistics(self, output: str = "real.npz", images: str = "real", *more: object) -> str:
        return self.run("statistics", "--images", images, "--output", output, *NETWORK, *more)

    def evaluate(self, samples: str = "fake", reference: str = "real.npz", *more: object, code: int = 0) -> str:
        return self.run("evaluate", "--samples", samples, "--reference", reference, *NETWORK, *more, code=code)

    def score(self, samples: str = "fake", reference: str = "real.npz", *more: object) -> dict:
        self.evaluate(samples, reference, "--output", "score.json", *more)
        return json.loads((self.folder / "score.json").read_text())

    def refused(self, *arguments: object) -> str:
        """What an evaluation says that must fail with one line and write nothing."""
        before = sorted(self.folder.rglob("*"))
        said = self.evaluate(*arguments, "--output", "refused.json", code=2)
        lines = [line for line in said.splitlines() if not line.endswith(" done")]
        assert len(lines) == 1
        assert sorted(self.folder.rglob("*")) == before
        return lines[0]


NETWORK = ("--features", "torchscript", "--weights", "small.pt", "--network-size", 16)


@pytest.fixture
def work(tmp_path, monkeypatch, capsys):
    return Work(tmp_path, monkeypatch, capsys)


def features(images: np.ndarray) -> np.ndarray:
    """What the network says of grey images, computed beside the code under test."""
    batch = torch.from_numpy(images).float().expand(-1, 3, -1, -1)
    resized = torch.nn.functional.interpolate(batch, size=(16, 16), mode="bicubic")
    with torch.no_grad():
        return torch.jit.load("small.pt")(resized)[0].double().numpy()


def values(record: dict) -> dict:
    return {name: metric["value"] for name, metric in record["metrics"].items()}


def test_the_distance_is_clean_fids_of_the_same_features(work):
    work.statistics()
    expected = cleanfid.fid.fid_from_feats(features(work.fake), features(work.real))
    assert work.score()["metrics"]["frechet_distance"]["value"] == pytest.approx(expected, rel=1e-5)


def test_a_folder_of_real_images_gives_what_its_statistics_file_gives(work):
    work.statistics()
    from_file, from_folder = work.score("fake", "real.npz"), work.score("fake", "real")
    assert from_file["metrics"] == from_folder["metrics"]


def test_every_form_of_the_same_images_scores_the_same(work):
    work.statistics()
    expected = values(work.score())
    np.save("a.npy", work.fake[:, 0])
    np.savez("b.npz", images=np.repeat(work.fake, 3, axis=1), nfe=np.array(3), stamp=np.array("x"))
    np.save("c.npy", (work.fake / 255).astype(np.float32).transpose(0, 2, 3, 1))
    np.save("d.npy", work.fake.astype(np.float32) / 127.5 - 1)
    for form in ("a.npy", "b.npz", "c.npy", "d.npy"):
        assert values(work.score(form)) == pytest.approx(expected, rel=1e-9), form


def test_numbers_do_not_depend_on_the_batch_size(work):
    work.statistics()
    assert values(work.score("fake", "real.npz", "--batch-size", 1)) == pytest.approx(
        values(work.score("fake", "real.npz", "--batch-size", 1000)), rel=1e-5
    )


def test_groups_give_an_interval(work):
    work.statistics()
    metric = work.score("fake", "real.npz", "--n", 40, "--groups", 3)["metrics"]["frechet_distance"]
    assert (metric["n"], len(metric["groups"])) == (40, 3)
    assert metric["low"] < metric["value"] < metric["high"]


def test_what_was_scored_can_be_found_out_from_the_record(work):
    work.statistics()
    np.save("fake.npy", work.fake)
    record = work.score("fake.npy", "real.npz", "--n", 50)
    assert record["samples"]["images_sha256"] == images_digest(work.fake[:50])
    assert record["reference"]["sha256"] == sha256(work.folder / "real.npz")
    assert record["reference"]["images_sha256"] == images_digest(np.repeat(work.real, 3, axis=1))
    assert record["network"]["weights_sha256"] == sha256(work.folder / "small.pt")
    assert record["resize"] == "bicubic-16"
    assert record["versions"]["torch"] == version("torch")
    assert record["command"].startswith("rediffuse evaluate --samples fake.npy --reference real.npz")


def test_the_recorded_command_gives_the_same_bytes_again(work):
    work.statistics()
    work.score("fake", "real.npz", "--n", 40, "--groups", 2, "--shuffle", 3)
    before = (work.folder / "score.json").read_bytes()
    (work.folder / "score.json").unlink()
    work.run(*json.loads(before)["command"].split()[1:])
    assert (work.folder / "score.json").read_bytes() == before


def test_a_shuffle_takes_other_images(work):
    work.statistics()
    sorted_, shuffled = (work.score("fake", "real.npz", "--n", 40, *more) for more in ((), ("--shuffle", 1)))
    assert sorted_["samples"]["order"] == "sorted"
    assert shuffled["samples"]["order"] == "shuffle 1"
    assert sorted_["samples"]["images_sha256"] != shuffled["samples"]["images_sha256"]


def test_the_table_is_on_stdout_and_progress_is_not(work):
    work.statistics()
    said = work.evaluate("fake", "real.npz", "--n", 40, "--groups", 3)
    assert "features: torchscript-small, bicubic-16" in said
    assert "Fréchet distance" in said
    assert "3 x 40" in said
    assert "images done" not in said


def test_fewer_images_than_dimensions_are_said_to_be(work):
    work.statistics()
    assert "covariance is singular (rank at most 9)" in work.evaluate("fake", "real.npz", "--n", 10)
    assert "singular" not in work.evaluate("fake", "real.npz")


def test_the_references_own_images_are_noticed(work):
    assert any("the reference's own images" in note for note in work.score("real", "real")["notes"])


def test_beyond_what_is_kept_the_distance_still_uses_every_image(work):
    work.statistics()
    every = work.score()["metrics"]
    few = work.score("fake", "real.npz", "--keep", 30)["metrics"]
    assert few["frechet_distance"]["value"] == pytest.approx(every["frechet_distance"]["value"], rel=1e-9)
    assert (few["frechet_distance"]["n"], few["kid"]["n"]) == (120, 30)


def test_efficientnet_needs_nothing_but_the_pictures(work):
    arguments = ("--samples", "fake", "--reference", "real", "--output", "score.json", "--n", 40)
    assert "EfficientNet-Lite0" in work.run("evaluate", *arguments)
    assert any(
        "not comparable with published FIDs" in note
        for note in json.loads((work.folder / "score.json").read_text())["notes"]
    )


@pytest.mark.parametrize("form", ["rediffuse", "clean-fid"])
def test_clean_fid_reads_our_statistics_and_finds_the_same_distance(work, monkeypatch, form):
    stats = work.folder / "site" / "stats"
    work.statistics(stats / "mine_clean_custom_na.npz", "real", "--format", form)
    # clean-fid looks in the folder of its own package.
    monkeypatch.setattr(cleanfid, "__file__", str(work.folder / "site" / "__init__.py"))
    mu, sigma = cleanfid.fid.get_reference_statistics("mine", "na", mode="clean", split="custom")
    fake = features(work.fake)
    theirs = cleanfid.fid.frechet_distance(fake.mean(0), np.cov(fake, rowvar=False), mu, sigma)
    real = features(work.real)
    exact = cleanfid.fid.frechet_distance(
        fake.mean(0), np.cov(fake, rowvar=False), real.mean(0), np.cov(real, rowvar=False)
    )
    assert theirs == pytest.approx(exact, rel=1e-5)
    (work.folder / "ours.npz").write_bytes((stats / "mine_clean_custom_na.npz").read_bytes())
    assert work.score("fake", "ours.npz")["metrics"]["frechet_distance"]["value"] == pytest.approx(theirs, rel=1e-6)


def test_the_clean_fid_form_holds_mu_and_sigma_alone(work):
    work.statistics("real.npz", "real", "--format", "clean-fid")
    assert np.load("real.npz").files == ["mu", "sigma"]
    assert "features" in work.score()["metrics"]["kid"]["unavailable"]


def test_a_foreign_statistics_file_needs_no_card(work):
    real = features(work.real)
    np.savez("theirs.npz", mu=real.mean(0), sigma=np.cov(real, rowvar=False))
    expected = cleanfid.fid.fid_from_feats(features(work.fake), real)
    assert work.score("fake", "theirs.npz")["metrics"]["frechet_distance"]["value"] == pytest.approx(expected, rel=1e-5)


def test_a_data_set_of_ours_is_named_by_its_name(work):
    held_out = np.arange(300) % 10 == 0
    words = {"title": "t", "source": "s", "licence": "l", "citation": "c", "preprocessing": []}
    card = make_card("small", images=work.real, held_out=held_out, **words)
    save_image_set("data/small", ImageSet(work.real, None, held_out, (), card))
    computed = work.score("fake", "small")
    assert computed["reference"]["kind"] == "training images of the data set small"
    assert computed["reference"]["count"] == 270
    network = load_feature_network("torchscript:small.pt", FeatureOptions(resize=16))
    statistics = make_reference(
        network.extract(work.real[~held_out]), dataset="small", split="train", images_sha256=card["images_sha256"]
    )
    save_reference("data/small", statistics, network.card)
    from_file = work.score("fake", "small")
    assert from_file["reference"]["kind"] == "statistics of a data set"
    assert values(from_file) == pytest.approx(values(computed), rel=1e-5)


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
    torch.manual_seed(1)
    torch.jit.script(Small()).save("small.pt")
    assert "were made with weights_sha256" in work.refused("fake", "real.npz")


def test_statistics_whose_name_is_another_networks_are_refused(work):
    np.savez("cifar10_legacy_tensorflow_train_32.npz", mu=np.zeros(DIM), sigma=np.eye(DIM))
    said = work.refused("fake", "cifar10_legacy_tensorflow_train_32.npz")
    assert "clean-fid's of mode legacy_tensorflow, not of torchscript-small: use --features inception-v3" in said


def test_statistics_changed_since_their_card_are_refused(work):
    work.statistics()
    np.savez("real.npz", mu=np.zeros(DIM), sigma=np.eye(DIM))
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
    said = work.run("statistics", "--images", "real", "--output", "other.npz", *NETWORK, code=2)
    assert "the card other.json would replace another file" in said
    assert (work.folder / "other.json").read_text() == '{"precious": 1}'
    assert not (work.folder / "other.npz").exists()


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
        (("--samples", "fake", "--reference", "real", "--output", "x.txt"), "a file ending in .json, not x.txt"),
        (("--samples", "fake", "--reference", "real", "--groups", "0"), "--groups must be at least 1"),
    ],
)
def test_arguments_that_do_not_fit_together_are_refused(work, arguments, reason):
    assert reason in work.run("evaluate", *arguments, code=2)


def test_help_shows_both_uses(work):
    said = work.run("evaluate", "--help")
    assert "rediffuse evaluate --samples DIR --reference stats.npz" in said
    assert "--shuffle" in said
