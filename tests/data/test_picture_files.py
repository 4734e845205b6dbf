"""Every picture of a place is taken once, and what is not taken is named: in a folder, a zip and a tar alike."""

import io
import os
import shutil
import subprocess
import tarfile
import zipfile
from pathlib import PurePosixPath

import numpy as np
import pytest
from PIL import Image

from rediffuse.data.image_source import open_source
from rediffuse.data.picture_files import by_name, open_pictures
from rediffuse.data.registry import load
from rediffuse.errors import UserError


def png(value: int, form: str = "PNG", **options: object) -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (4, 4), (value, value, value)).save(stream, form, **options)
    return stream.getvalue()


@pytest.fixture
def folder(tmp_path):
    """Three pictures in two class folders."""
    for name, value in (("a/0.png", 10), ("a/1.PNG", 20), ("b/2.png", 30)):
        path = tmp_path / "x" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(png(value))
    return tmp_path / "x"


def names(path) -> list[str]:
    return sorted(map(str, open_pictures(path).names))


def values(path) -> list[int]:
    source = open_source(path)
    return [int(image[0, 0, 0]) for batch in source.batches(np.arange(source.count), 2) for image in batch]


def make_zip(path, *members: tuple[str, bytes]):
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members:
            archive.writestr(zipfile.ZipInfo(name), content)
    return path


def make_tar(path, *members: tuple[str, bytes], mode: str = "w"):
    with tarfile.open(path, mode) as archive:
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return path


def test_class_folders_that_are_links_are_followed(folder, tmp_path):
    shutil.move(folder / "b", tmp_path / "elsewhere")
    (folder / "b").symlink_to(tmp_path / "elsewhere")
    assert values(folder) == [10, 20, 30]
    image_set = load("folder", {"path": folder, "held_out": 0})
    assert (len(image_set), image_set.class_names) == (3, ("a", "b"))


def test_pictures_that_are_links_to_elsewhere_are_taken(folder, tmp_path):
    (tmp_path / "outside.png").write_bytes(png(40))
    (folder / "b" / "3.png").symlink_to(tmp_path / "outside.png")
    assert values(folder) == [10, 20, 30, 40]


@pytest.mark.parametrize("target", ["../a", "..", "."])
def test_a_folder_that_is_reached_twice_is_refused(folder, target):
    (folder / "b" / "again").symlink_to(target)
    with pytest.raises(UserError, match=r"are the same by a link: its files would count twice"):
        open_pictures(folder)


def test_a_picture_that_is_named_twice_is_refused(folder):
    (folder / "b" / "9.png").symlink_to("../a/0.png")
    with pytest.raises(UserError, match=r"a/0\.png and .*b/9\.png are the same by a link"):
        open_pictures(folder)


def test_a_link_to_nothing_is_refused(folder):
    (folder / "b" / "9.png").symlink_to("nowhere.png")
    with pytest.raises(UserError, match=r"b/9\.png is no file, or a link to nothing"):
        open_pictures(folder)


def test_something_that_only_has_the_name_of_a_picture_is_refused(folder):
    os.mkfifo(folder / "pipe.png")
    with pytest.raises(UserError, match=r"pipe\.png is no file"):
        open_pictures(folder)


def test_two_files_of_one_content_are_two_pictures(folder):
    os.link(folder / "a" / "0.png", folder / "b" / "9.png")
    assert values(folder) == [10, 20, 30, 10]


def test_what_is_no_picture_is_named(folder):
    for name in ("notes.txt", "a/photo.heic", "inner.zip", "b/labels.csv"):
        (folder / name).write_bytes(b"x")
    assert open_pictures(folder).passed_over == (
        "passed over as no pictures: 4 (a/photo.heic, b/labels.csv, inner.zip, ...)",
    )
    assert open_source(folder).conversions[-1].startswith("passed over as no pictures: 4")
    assert load("folder", {"path": folder, "held_out": 0}).card["preprocessing"][1].startswith("passed over as no pic")


@pytest.mark.parametrize("name", [".hidden.png", "__MACOSX/a/0.png", "a/._0.png", ".thumbnails/0.png"])
@pytest.mark.parametrize("form", ["folder", "zip", "tar"])
def test_what_is_hidden_is_left_alone(folder, tmp_path, name, form):
    path = folder
    if form == "folder":
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"no picture")
    else:
        make = make_zip if form == "zip" else make_tar
        path = make(tmp_path / f"x.{form}", ("a/0.png", png(10)), (name, b"no picture"))
    assert len(names(path)) == (3 if form == "folder" else 1)


def test_a_place_without_pictures_says_what_it_holds(tmp_path):
    path = make_zip(tmp_path / "x.zip", ("inner.zip", b"x"), ("notes.txt", b"x"))
    with pytest.raises(UserError, match=r"holds no pictures \(.*\); it holds inner\.zip, notes\.txt"):
        open_pictures(path)


@pytest.mark.parametrize("form", ["zip", "tar"])
def test_names_that_begin_with_a_dot_and_a_slash_are_read_by_prepare_and_evaluate_alike(tmp_path, form):
    make = make_zip if form == "zip" else make_tar
    path = make(tmp_path / f"x.{form}", ("./images/1.png", png(20)), ("./images/0.png", png(10)))
    assert values(path) == [10, 20]
    image_set = load("archive", {"path": path, "held_out": 0})
    assert image_set.images[:, 0, 0, 0].tolist() == [10, 20]


@pytest.mark.parametrize("second", ["0.png", "./0.png"])
@pytest.mark.parametrize("form", ["zip", "tar"])
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_name_that_an_archive_holds_twice_is_refused(tmp_path, form, second):
    make = make_zip if form == "zip" else make_tar
    path = make(tmp_path / f"x.{form}", ("0.png", png(1)), (second, png(2)))
    for read in (open_source, lambda path: load("archive", {"path": path})):
        with pytest.raises(UserError, match=r"holds two members called 0\.png"):
            read(path)


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE])
def test_links_in_a_tar_are_refused(tmp_path, kind):
    path = make_tar(tmp_path / "x.tar", ("a/0.png", png(1)))
    with tarfile.open(path, "a") as archive:
        link = tarfile.TarInfo("b")
        link.type, link.linkname = kind, "a"
        archive.addfile(link)
    with pytest.raises(UserError, match=r"holds a link, b: make it again with tar's options --dereference"):
        open_pictures(path)


def test_links_in_a_zip_are_refused(tmp_path):
    link = zipfile.ZipInfo("b.png")
    link.external_attr = 0o120777 << 16
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        archive.writestr("a.png", png(1))
        archive.writestr(link, "a.png")
    with pytest.raises(UserError, match=r"holds a link, b\.png"):
        open_pictures(tmp_path / "x.zip")


def test_an_encrypted_zip_is_called_so(tmp_path):
    path = make_zip(tmp_path / "x.zip", ("0.png", png(1)))
    content = bytearray(path.read_bytes())
    for signature, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        content[content.index(signature) + flags] |= 1
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"is encrypted: unpack it with its password"):
        open_pictures(path)


def test_a_plain_tar_is_read_in_any_order_and_a_compressed_one_is_refused_by_evaluate(tmp_path):
    members = [(f"{index}.png", png(10 * index)) for index in (2, 0, 1)]
    assert values(make_tar(tmp_path / "x.tar", *members)) == [0, 10, 20]
    with pytest.raises(UserError, match="compressed tar, which is read from its beginning only: unpack it"):
        open_source(make_tar(tmp_path / "x.tar.gz", *members, mode="w:gz"))


def test_a_tar_that_the_tool_writes_of_a_folder_is_read(folder, tmp_path):
    subprocess.run(["tar", "-czf", tmp_path / "x.tar.gz", "-C", folder, "."], check=True)
    assert names(tmp_path / "x.tar.gz") == ["a/0.png", "a/1.PNG", "b/2.png"]


def test_the_order_of_evaluate_is_that_of_prepare(tmp_path):
    for name, value in (("a-b/0.png", 1), ("a/0.png", 2), ("a.b/0.png", 3)):
        (tmp_path / "x" / name).parent.mkdir(parents=True)
        (tmp_path / "x" / name).write_bytes(png(value))
    expected = sorted(["a-b/0.png", "a/0.png", "a.b/0.png"])
    order = by_name([PurePosixPath(name) for name in expected])
    assert order == [0, 1, 2]
    prepared = load("folder", {"path": tmp_path / "x", "held_out": 0}).images[:, 0, 0, 0].tolist()
    assert values(tmp_path / "x") == prepared == [1, 3, 2]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is empty"),
        (b"hello, I am text", "it is text: 'hello, I am text'"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "a pointer of Git LFS"),
        (b"<!DOCTYPE html><html></html>", "a web page"),
        (b"\x80\x04\x95pickle", "a pickle of Python objects, which is never loaded"),
        (b"\x93NUMPY\x01\x00", "which should end in .npy"),
        (b"\x00\x01\x02\xff", "another kind of file, or damaged"),
    ],
)
def test_a_file_of_another_kind_is_called_what_it_is(tmp_path, content, said):
    (tmp_path / "x.bin").write_bytes(content)
    with pytest.raises(UserError, match="neither a folder nor a tar or zip") as refused:
        open_source(tmp_path / "x.bin")
    assert said in str(refused.value)


def test_splits_are_known_by_letters_of_any_case(tmp_path):
    members = [(f"{part}/{kind}/0.png", png(1)) for part in ("Train", "Test") for kind in ("cat", "dog")]
    image_set = load("archive", {"path": make_zip(tmp_path / "x.zip", *members)})
    assert image_set.class_names == ("cat", "dog")
    assert image_set.held_out.sum() == 2


def test_class_folders_that_differ_in_case_alone_are_refused(tmp_path):
    path = make_zip(tmp_path / "x.zip", ("Cat/0.png", png(1)), ("cat/1.png", png(2)))
    with pytest.raises(UserError, match="the folders Cat and cat differ only in the case of letters"):
        load("archive", {"path": path})
