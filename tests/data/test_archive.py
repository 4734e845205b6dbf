import io
import tarfile
import zipfile

import numpy as np
import pytest
from PIL import Image

from rediffuse.data.registry import load
from rediffuse.errors import UserError
from rediffuse.files import sha256


def picture(value: int, size=(6, 6), mode="RGB", form="PNG") -> bytes:
    buffer = io.BytesIO()
    Image.new(mode, size, value if mode == "L" else (value,) * len(mode)).save(buffer, form)
    return buffer.getvalue()


def split_by_class() -> dict[str, bytes]:
    """Out of order on purpose: the names decide."""
    return {
        "root/train/dog/1.png": picture(3),
        "root/test/cat/0.png": picture(4),
        "root/train/cat/0.png": picture(1),
        "root/test/dog/9.png": picture(5),
        "root/train/cat/1.png": picture(2),
        "root/readme.txt": b"not a picture",
    }


def write(tmp_path, files: dict[str, bytes], form: str):
    if form == "folder":
        for name, content in files.items():
            path = tmp_path / "pictures" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        return tmp_path / "pictures"
    path = tmp_path / f"pictures.{form}"
    if form == "zip":
        with zipfile.ZipFile(path, "w") as archive:
            for name, content in files.items():
                archive.writestr(name, content)
        return path
    with tarfile.open(path, f"w:{form.partition('.')[2]}") as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return path


def values(image_set) -> list[int]:
    return image_set.images[:, 0, 0, 0].tolist()


@pytest.mark.parametrize("form", ["folder", "zip", "tar.gz", "tar.xz", "tar.bz2"])
def test_train_and_test_folders_of_classes_are_read_from(tmp_path, form):
    image_set = load("archive", {"path": write(tmp_path, split_by_class(), form)})
    assert values(image_set) == [4, 5, 1, 2, 3]
    assert image_set.held_out.tolist() == [True, True, False, False, False]
    assert image_set.labels.tolist() == [0, 1, 0, 0, 1]
    assert image_set.class_names == ("cat", "dog")
    assert image_set.shape == (3, 6, 6)


def test_class_folders_without_a_split_hold_out_the_wanted_number_in_proportion(tmp_path):
    files = {f"{kind}/{index}.png": picture(index) for kind in ("a", "b") for index in range(10)}
    image_set = load("folder", {"path": write(tmp_path, files, "folder"), "held_out": 4})
    assert np.bincount(image_set.labels[image_set.held_out]).tolist() == [2, 2]


def test_a_flat_folder_has_no_labels_and_holds_out_one_in_ten(tmp_path):
    files = {f"{index:02}.png": picture(index) for index in range(20)}
    image_set = load("folder", {"path": write(tmp_path, files, "folder")})
    assert image_set.labels is None
    assert image_set.held_out.sum() == 2
    assert values(image_set) == list(range(20))


def test_a_train_folder_alone_is_no_split(tmp_path):
    files = {f"train/{kind}/{index}.png": picture(index) for kind in ("a", "b") for index in range(10)}
    image_set = load("folder", {"path": write(tmp_path, files, "folder")})
    assert image_set.class_names == ("a", "b")
    assert image_set.held_out.sum() == 2


def test_hidden_files_are_left_alone(tmp_path):
    files = {"a/0.png": picture(0), "a/._0.png": b"resource fork", "__MACOSX/a/0.png": b"x", "b/1.png": picture(1)}
    assert len(load("archive", {"path": write(tmp_path, files, "zip"), "held_out": 0})) == 2


@pytest.mark.parametrize("form", ["zip", "tar.gz"])
@pytest.mark.parametrize("name", ["../../evil.png", "/etc/evil.png", "a/../../evil.png"])
def test_a_member_that_points_outside_the_archive_is_refused(tmp_path, form, name):
    path = write(tmp_path, {name: picture(0)}, form)
    with pytest.raises(UserError, match="points outside it"):
        load("archive", {"path": path})


def test_nothing_is_written_beside_the_archive(tmp_path):
    path = write(tmp_path, split_by_class(), "tar.gz")
    load("archive", {"path": path}, tmp_path / "downloads")
    assert list(tmp_path.iterdir()) == [path]


def test_pictures_of_different_sizes_ask_for_the_option_size(tmp_path):
    files = {"a.png": picture(0), "b.png": picture(1, (8, 6))}
    with pytest.raises(UserError, match=r"a\.png is \(6, 6\), b\.png is \(6, 8\); set the option 'size'"):
        load("folder", {"path": write(tmp_path, files, "folder")})


def test_size_brings_pictures_of_any_size_to_a_square(tmp_path):
    files = {"a.png": picture(10), "b.png": picture(20, (8, 5)), "c.jpg": picture(30, (20, 40), form="JPEG")}
    image_set = load("folder", {"path": write(tmp_path, files, "folder"), "size": 4, "held_out": 0})
    assert image_set.shape == (3, 4, 4)
    np.testing.assert_allclose(values(image_set), [10, 20, 30], atol=1)


def test_the_crop_keeps_the_centre(tmp_path):
    pixels = np.zeros((9, 7), dtype=np.uint8)
    pixels[3:6, 2:5] = np.arange(1, 10).reshape(3, 3)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    path = write(tmp_path, {"a.png": buffer.getvalue()}, "folder")
    image_set = load("folder", {"path": path, "crop": 3, "channels": "grey", "held_out": 0})
    assert image_set.images[0, 0].tolist() == [[1, 2, 3], [4, 5, 6], [7, 8, 9]]


def test_a_crop_larger_than_a_picture_is_refused(tmp_path):
    path = write(tmp_path, {"a.png": picture(0)}, "folder")
    with pytest.raises(UserError, match=r"a\.png of .*: it is 6x6, smaller than the crop of 7"):
        load("folder", {"path": path, "crop": 7})


def test_grey_pictures_become_rgb_when_asked(tmp_path):
    path = write(tmp_path, {"a.png": picture(77, mode="L")}, "folder")
    image_set = load("folder", {"path": path, "held_out": 0})
    assert image_set.shape == (3, 6, 6)
    assert (image_set.images == 77).all()


def test_transparency_is_laid_on_white(tmp_path):
    buffer = io.BytesIO()
    Image.new("RGBA", (4, 4), (0, 0, 0, 0)).save(buffer, "PNG")
    image_set = load("folder", {"path": write(tmp_path, {"a.png": buffer.getvalue()}, "folder"), "held_out": 0})
    assert (image_set.images == 255).all()


def test_a_picture_that_cannot_be_decoded_is_named(tmp_path):
    path = write(tmp_path, {"a/bad.png": picture(1)[:40]}, "zip")
    with pytest.raises(UserError, match=r"picture a/bad\.png of .*pictures\.zip: it cannot be decoded"):
        load("archive", {"path": path})


@pytest.mark.parametrize("form", ["zip", "tar.gz", "tar.xz"])
def test_a_truncated_archive_is_one_clear_line(tmp_path, form):
    files = {f"{index}.png": np.random.default_rng(index).bytes(3000) for index in range(5)}
    files = {"0.png": picture(0), **{f"b{name}.dat": content for name, content in files.items()}, "9.png": picture(9)}
    path = write(tmp_path, files, form)
    path.write_bytes(path.read_bytes()[:6000])
    with pytest.raises(UserError, match=r"is damaged|neither a folder"):
        load("archive", {"path": path})


def test_something_that_is_no_archive_is_refused(tmp_path):
    path = tmp_path / "x.tar"
    path.write_bytes(b"hello")
    with pytest.raises(UserError, match="neither a folder nor a tar or zip archive"):
        load("archive", {"path": path})


def test_a_path_that_does_not_exist_is_named(tmp_path):
    with pytest.raises(UserError, match="nowhere does not exist"):
        load("archive", {"path": tmp_path / "nowhere"})


def test_a_third_folder_beside_train_and_test_is_refused(tmp_path):
    files = {f"{part}/a/0.png": picture(0) for part in ("train", "test", "val")}
    with pytest.raises(UserError, match="beside the folders train and test there is 'val'"):
        load("archive", {"path": write(tmp_path, files, "zip")})


def test_pictures_half_in_classes_are_refused(tmp_path):
    with pytest.raises(UserError, match="some pictures lie in class folders and some do not, such as 0.png"):
        load("archive", {"path": write(tmp_path, {"a/0.png": picture(0), "0.png": picture(0)}, "zip")})


def test_held_out_beside_a_test_folder_is_refused(tmp_path):
    with pytest.raises(UserError, match="leave it out"):
        load("archive", {"path": write(tmp_path, split_by_class(), "zip"), "held_out": 1})


def test_a_size_below_one_is_refused(tmp_path):
    with pytest.raises(UserError, match="'size' must be at least 1 pixel, not 0"):
        load("archive", {"path": write(tmp_path, split_by_class(), "zip"), "size": 0})


def test_the_card_names_the_archive_by_its_digest_not_its_place(tmp_path):
    path = write(tmp_path, split_by_class(), "zip")
    elsewhere = tmp_path / "x" / path.name
    elsewhere.parent.mkdir()
    elsewhere.write_bytes(path.read_bytes())
    assert load("archive", {"path": path}).card == load("archive", {"path": elsewhere}).card
    assert sha256(path) in load("archive", {"path": path}).card["source"]


CLASSES = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]


def test_cifar10_jpeg_reads_train_and_test_folders_of_the_ten_classes(tmp_path):
    files = {
        f"{part}/{name}/000{index}.jpg": picture(index, (32, 32), form="JPEG")
        for part in ("train", "test")
        for name in CLASSES
        for index in range(2)
    }
    image_set = load("cifar10-jpeg", {"path": write(tmp_path, files, "tar.xz")})
    assert image_set.shape == (3, 32, 32)
    assert np.bincount(image_set.labels).tolist() == [4] * 10
    assert image_set.held_out.sum() == 20
    assert image_set.card["name"] == "cifar10-jpeg"


def test_cifar10_jpeg_refuses_other_pictures(tmp_path):
    with pytest.raises(UserError, match="is not CIFAR-10: it has cat, dog"):
        load("cifar10-jpeg", {"path": write(tmp_path, split_by_class(), "zip")})
