import json

import numpy as np
import pytest

from rediffuse.data.image_set import ImageSet, images_digest, open_image_set, save_image_set
from rediffuse.data.registry import load
from rediffuse.data.splits import stratified_held_out
from rediffuse.errors import UserError


def without_labels():
    smoke = load("smoke")
    return ImageSet(smoke.images, None, smoke.held_out, (), smoke.card)


def test_a_saved_set_opens_as_it_was(tmp_path):
    smoke = load("smoke")
    save_image_set(tmp_path, smoke)
    opened = open_image_set(tmp_path, verify=True)
    np.testing.assert_array_equal(opened.images, smoke.images)
    np.testing.assert_array_equal(opened.labels, smoke.labels)
    np.testing.assert_array_equal(opened.held_out, smoke.held_out)
    assert opened.class_names == smoke.class_names
    assert opened.card == smoke.card


def test_the_images_are_mapped_from_disk_not_read(tmp_path):
    save_image_set(tmp_path, load("smoke"))
    assert isinstance(open_image_set(tmp_path).images, np.memmap)


def test_saving_twice_gives_the_same_bytes(tmp_path):
    for name in ("a", "b"):
        save_image_set(tmp_path / name, load("smoke"))
    for file in (tmp_path / "a").iterdir():
        assert file.read_bytes() == (tmp_path / "b" / file.name).read_bytes()


def test_a_set_without_labels_has_an_empty_labels_file(tmp_path):
    save_image_set(tmp_path, without_labels())
    assert np.load(tmp_path / "labels.npy").shape == (0,)
    assert open_image_set(tmp_path).labels is None


def test_a_missing_folder_names_the_command_that_makes_it(tmp_path):
    with pytest.raises(UserError, match=r"card.json is missing\): run `rediffuse prepare`"):
        open_image_set(tmp_path / "nothing")


@pytest.mark.parametrize("name", ["images.npy", "labels.npy", "held_out.npy"])
def test_a_missing_file_is_named(tmp_path, name):
    save_image_set(tmp_path, load("smoke"))
    (tmp_path / name).unlink()
    with pytest.raises(UserError, match=f"{name} is missing"):
        open_image_set(tmp_path)


def test_a_truncated_array_is_noticed(tmp_path):
    save_image_set(tmp_path, load("smoke"))
    path = tmp_path / "images.npy"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(UserError, match="is damaged"):
        open_image_set(tmp_path)


def test_altered_pixels_are_noticed_on_verification(tmp_path):
    save_image_set(tmp_path, load("smoke"))
    images = np.load(tmp_path / "images.npy")
    images[0, 0, 0, 0] ^= 1
    np.save(tmp_path / "images.npy", images)
    with pytest.raises(UserError, match="does not match the digest"):
        open_image_set(tmp_path, verify=True)


def test_a_pickled_array_is_refused(tmp_path):
    save_image_set(tmp_path, load("smoke"))
    np.save(tmp_path / "labels.npy", np.array([{"an": "object"}] * 64, dtype=object), allow_pickle=True)
    with pytest.raises(UserError, match="is damaged"):
        open_image_set(tmp_path)


def test_an_unreadable_card_is_noticed(tmp_path):
    save_image_set(tmp_path, load("smoke"))
    (tmp_path / "card.json").write_text(json.dumps(["no", "card"]))
    with pytest.raises(UserError, match="is damaged"):
        open_image_set(tmp_path)


def test_an_unknown_split_is_refused():
    with pytest.raises(UserError, match="train, held-out, all"):
        load("smoke").indices("validation")


def test_labels_outside_the_classes_are_refused():
    smoke = load("smoke")
    with pytest.raises(ValueError, match="labels must lie in 0..1"):
        ImageSet(smoke.images, smoke.labels, smoke.held_out, ("a", "b"), {})


def test_the_digest_depends_on_shape_as_well_as_pixels():
    pixels = np.arange(64, dtype=np.uint8)
    assert images_digest(pixels.reshape(4, 1, 4, 4)) != images_digest(pixels.reshape(1, 4, 4, 4))


def test_a_split_does_not_depend_on_other_classes():
    labels = np.array([0] * 10 + [1] * 10)
    both = stratified_held_out(labels, 4, "x")
    assert both[:10].sum() == both[10:].sum() == 2


def test_a_split_gives_exactly_the_count_when_shares_are_not_whole():
    labels = np.repeat(np.arange(7), 5)
    for count in range(36):
        assert stratified_held_out(labels, count, "x").sum() == count


def test_another_name_gives_another_split():
    labels = np.zeros(100, dtype=np.int64)
    assert (stratified_held_out(labels, 50, "a") != stratified_held_out(labels, 50, "b")).any()


def test_a_pick_is_always_the_same_and_holds_no_image_twice(tmp_path):
    smoke = load("smoke")
    everything, labels = smoke.pick("train", len(smoke))
    assert sorted(image.tobytes() for image in everything) == sorted(
        image.tobytes() for image in smoke.split("train")[0]
    )
    fewer, fewer_labels = smoke.pick("train", 5)
    np.testing.assert_array_equal(fewer, everything[:5])
    np.testing.assert_array_equal(fewer_labels, labels[:5])
    assert not np.array_equal(fewer, smoke.pick("train", 5, order=1)[0])
