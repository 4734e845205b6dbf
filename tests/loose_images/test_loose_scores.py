"""`rediffuse evaluate --samples` and `rediffuse statistics` through the command line, on real files."""

import json
from importlib.metadata import version

import cleanfid
import cleanfid.fid
import numpy as np
import pytest
import torch

from rediffuse import cli
from rediffuse.data.image_set import ImageSet, images_digest, make_card, save_image_set
from rediffuse.evaluation.features import FeatureOptions, load_feature_network
from rediffuse.evaluation.reference import make_reference, save_reference
from rediffuse.files import sha256


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


def test_help_shows_both_uses(work):
    said = work.run("evaluate", "--help")
    assert "rediffuse evaluate --samples DIR --reference stats.npz" in said
    assert "--shuffle" in said


def test_one_value_of_all_samples_stands_beside_the_groups(work):
    record = work.score("fake", "real", "--n", 40, "--groups", 3)
    expected = cleanfid.fid.fid_from_feats(features(work.fake), features(work.real))
    whole = record["whole"]["metrics"]
    assert whole["frechet_distance"] == {
        "value": pytest.approx(expected, rel=1e-5),
        "n": 120,
        "reference": {"dataset": "real", "split": "all", "count": 300},
    }
    assert (whole["inception_score"]["n"], whole["inception_score"]["splits"]) == (120, 10)
    said = work.evaluate("fake", "real", "--n", 40, "--groups", 3)
    assert "Fréchet distance, all at once" in said
    assert "distances are from 300 images of real (all)" in said


def test_a_range_decides_what_floats_are(work):
    values = work.fake[:, 0] / 255
    values[0, 0, 0] = -0.01
    np.save("x.npy", values)
    expected = work.fake.copy()
    expected[0, 0, 0, 0] = 0
    np.save("expected.npy", expected)
    found = work.score("x.npy", "real", "--range", "0:1")
    assert found["metrics"] == work.score("expected.npy", "real")["metrics"]
    assert "values from -0.01 to 1 clipped" in found["samples"]["conversions"][1]


def test_what_was_done_to_the_reference_is_printed_too(work):
    (work.folder / "real" / "notes.txt").write_text("x")
    said = work.evaluate("fake", "real")
    assert "reference: passed over as no picture: 1 (notes.txt)" in said
    assert "samples: passed over" not in said


def test_scores_are_printed_even_if_they_cannot_be_written_in_the_end(work):
    write = "rediffuse.loose.output.write_json"

    def full(path, record):
        raise OSError(28, "No space left on device")

    work.monkeypatch.setattr(write, full)
    work.monkeypatch.setattr(
        "sys.argv",
        [
            "rediffuse",
            "evaluate",
            "--samples",
            "fake",
            "--reference",
            "real",
            *map(str, work.network),
            "--output",
            "x.json",
        ],
    )
    with pytest.raises(SystemExit) as stop:
        cli.main()
    out, err = work.capsys.readouterr()
    assert stop.value.code == 2
    assert "Fréchet distance" in out
    assert err.splitlines()[-1] == "rediffuse: --output: x.json cannot be written: No space left on device"
