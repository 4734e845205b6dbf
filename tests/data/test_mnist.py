import gzip
import hashlib
import struct
from dataclasses import fields, replace

import numpy as np
import pytest

from rediffuse.data.mnist import FILES, MnistFiles, MnistOptions, mnist, read_idx
from rediffuse.errors import UserError


def idx(values: np.ndarray) -> bytes:
    return struct.pack(f">4B{values.ndim}I", 0, 0, 8, values.ndim, *values.shape) + values.tobytes()


def arrays() -> dict[str, np.ndarray]:
    random = np.random.default_rng(0)
    return {
        "train_images": random.integers(0, 256, (5, 28, 28), dtype=np.uint8),
        "train_labels": np.array([5, 0, 4, 1, 9], dtype=np.uint8),
        "test_images": random.integers(0, 256, (3, 28, 28), dtype=np.uint8),
        "test_labels": np.array([7, 2, 1], dtype=np.uint8),
    }


def write(folder, given=None) -> MnistFiles:
    """Write the four files in their true format; give their descriptions."""
    described = {}
    for name, values in (given or arrays()).items():
        file = getattr(FILES, name)
        content = gzip.compress(idx(values))
        (folder / file.name).write_bytes(content)
        described[name] = replace(file, urls=(), checksum=hashlib.md5(content).hexdigest(), size=len(content))
    return MnistFiles(**described)


def test_images_and_labels_are_read_from_local_files(tmp_path):
    files = write(tmp_path)
    image_set = mnist(MnistOptions(folder=tmp_path, size=28), tmp_path, files=files)
    expected = np.concatenate([arrays()["train_images"], arrays()["test_images"]])
    np.testing.assert_array_equal(image_set.images[:, 0], expected)
    assert image_set.labels.tolist() == [5, 0, 4, 1, 9, 7, 2, 1]
    assert image_set.held_out.tolist() == [False] * 5 + [True] * 3


def test_the_border_of_32_pixels_is_black_and_even(tmp_path):
    files = write(tmp_path)
    images = mnist(MnistOptions(folder=tmp_path), tmp_path, files=files).images
    assert images.shape == (8, 1, 32, 32)
    np.testing.assert_array_equal(images[:5, 0, 2:30, 2:30], arrays()["train_images"])
    assert images.sum(dtype=np.int64) == images[:, :, 2:30, 2:30].sum(dtype=np.int64)


def test_the_files_are_fetched_from_a_mirror(site, tmp_path):
    (tmp_path / "server").mkdir()
    files = write(tmp_path / "server")
    remote = {}
    for field in fields(files):
        file = getattr(files, field.name)
        site.files[f"/{file.name}"] = (tmp_path / "server" / file.name).read_bytes()
        remote[field.name] = replace(file, urls=(f"{site.address}/{file.name}",))
    assert len(mnist(MnistOptions(), tmp_path / "downloads", files=MnistFiles(**remote))) == 8


def test_a_local_file_that_is_not_the_published_one_is_refused(tmp_path):
    write(tmp_path)
    with pytest.raises(UserError, match="bytes, not 9,912,422"):
        mnist(MnistOptions(folder=tmp_path), tmp_path)


def test_files_that_do_not_belong_together_are_refused(tmp_path):
    files = write(tmp_path, {**arrays(), "test_labels": np.array([7], dtype=np.uint8)})
    with pytest.raises(UserError, match="8 images, 6 labels"):
        mnist(MnistOptions(folder=tmp_path), tmp_path, files=files)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (idx(np.zeros((2, 3), dtype=np.uint8)), "not that of 3-dimensional"),
        (idx(np.zeros((2, 3, 4), dtype=np.uint8))[:-1], "holds 23 values"),
        (b"\0\0\x08\x03\0\0", "its header"),
        (b"<html>not found</html>", "its header"),
    ],
)
def test_anything_but_an_idx_file_of_the_right_kind_is_refused(content, reason):
    with pytest.raises(ValueError, match=reason):
        read_idx(content, 3)
