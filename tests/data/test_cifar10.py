"""CIFAR-10 archives in their true format: a gzipped tar of protocol-2 pickles as Python 2 wrote them."""

import hashlib
import io
import pickle
import struct
import tarfile
from dataclasses import replace

import numpy as np
import pytest

from rediffuse.data.cifar10 import ARCHIVE, Cifar10Options, cifar10, read_batch
from rediffuse.errors import UserError

BATCH = 4
# Not the order of training: the test batch lies amid the others, and there are members that are no batches.
ORDER = [
    "data_batch_4",
    "readme.html",
    "test_batch",
    "data_batch_3",
    "batches.meta",
    "data_batch_2",
    "data_batch_5",
    "data_batch_1",
]


def python2_string(text: bytes) -> bytes:
    if len(text) < 256:
        return b"U" + struct.pack("<B", len(text)) + text
    return b"T" + struct.pack("<i", len(text)) + text


def integer(value: int) -> bytes:
    return b"K" + struct.pack("<B", value) if value < 256 else b"M" + struct.pack("<H", value)


def python2_batch(title: bytes, pixels: np.ndarray, labels: list[int]) -> bytes:
    """The stream Python 2's cPickle writes for a batch, instruction by instruction."""
    array = (
        b"cnumpy.core.multiarray\n_reconstruct\nq\x06cnumpy\nndarray\nq\x07K\x00\x85U\x01b\x87Rq\x08(K\x01"
        + integer(len(pixels))
        + integer(3072)
        + b"\x86cnumpy\ndtype\nq\tU\x02u1K\x00K\x01\x87Rq\n(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89"
        + python2_string(pixels.tobytes())
        + b"tb"
    )
    names = b"".join(python2_string(b"picture_s_%06d.png" % index) for index in range(len(labels)))
    return (
        b"\x80\x02}q\x01("
        + python2_string(b"batch_label")
        + b"q\x02"
        + python2_string(title)
        + b"q\x03"
        + python2_string(b"labels")
        + b"q\x04]q\x05("
        + b"".join(integer(label) for label in labels)
        + b"e"
        + python2_string(b"data")
        + b"q\x0b"
        + array
        + python2_string(b"filenames")
        + b"q\x0c]q\x0d("
        + names
        + b"eu."
    )


def contents(seed: int) -> tuple[np.ndarray, list[int]]:
    random = np.random.default_rng(seed)
    return random.integers(0, 256, (BATCH, 3072), dtype=np.uint8), random.integers(0, 10, BATCH).tolist()


def archive_bytes(skip: str = "", damage: bytes = b"") -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for number, name in enumerate(ORDER):
            if name == skip:
                continue
            stream = damage or python2_batch(name.encode(), *contents(number))
            info = tarfile.TarInfo(f"cifar-10-batches-py/{name}")
            info.size = len(stream)
            archive.addfile(info, io.BytesIO(stream))
    return buffer.getvalue()


def described(content: bytes, *urls: str):
    return replace(ARCHIVE, urls=urls, checksum=hashlib.md5(content).hexdigest(), size=len(content))


def load_archive(tmp_path, content: bytes):
    local = tmp_path / "cifar.tar.gz"
    local.write_bytes(content)
    return cifar10(Cifar10Options(archive=local), tmp_path, file=described(content))


def test_the_stream_made_here_is_one_that_python_reads_as_a_batch():
    pixels, labels = contents(0)
    batch = pickle.loads(python2_batch(b"training batch 1 of 5", pixels, labels), encoding="bytes")
    np.testing.assert_array_equal(batch[b"data"], pixels)
    assert batch[b"labels"] == labels
    assert batch[b"batch_label"] == b"training batch 1 of 5"


def test_a_batch_is_read_without_unpickling_it():
    pixels, labels = contents(0)
    images, found = read_batch(python2_batch(b"training batch 1 of 5", pixels, labels))
    np.testing.assert_array_equal(images.reshape(BATCH, 3072), pixels)
    assert found.tolist() == labels


def test_code_in_a_batch_is_never_run(tmp_path):
    trap = tmp_path / "ran"
    stream = b"\x80\x02cbuiltins\nopen\n(" + python2_string(str(trap).encode()) + python2_string(b"w") + b"tR."
    with pytest.raises(ValueError, match="0 labels"):
        read_batch(stream)
    assert not trap.exists()


def test_a_truncated_batch_is_refused():
    stream = python2_batch(b"x", *contents(0))
    with pytest.raises(ValueError, match=r"exhausted|remain"):
        read_batch(stream[: len(stream) // 2])


def test_labels_beyond_nine_are_refused():
    pixels, _ = contents(0)
    with pytest.raises(ValueError, match=r"outside 0\.\.9"):
        read_batch(python2_batch(b"x", pixels, [0, 1, 2, 10]))


def test_training_batches_come_in_order_and_the_test_batch_is_held_out(tmp_path):
    image_set = load_archive(tmp_path, archive_bytes())
    order = [7, 5, 3, 0, 6, 2]
    np.testing.assert_array_equal(
        image_set.images, np.concatenate([contents(number)[0] for number in order]).reshape(-1, 3, 32, 32)
    )
    assert image_set.labels.tolist() == [label for number in order for label in contents(number)[1]]
    assert np.flatnonzero(image_set.held_out).tolist() == list(range(5 * BATCH, 6 * BATCH))
    assert image_set.class_names[3] == "cat"


def test_the_archive_is_fetched_from_the_first_mirror_that_has_it(site, tmp_path):
    content = archive_bytes()
    site.files["/second"] = content
    options = Cifar10Options(mirrors=(f"{site.address}/first",))
    image_set = cifar10(options, tmp_path, file=described(content, f"{site.address}/second"))
    assert len(image_set) == 6 * BATCH
    assert [path for path, _ in site.requests] == ["/first", "/second"]


def test_a_batch_that_is_missing_is_named(tmp_path):
    with pytest.raises(UserError, match="holds no test_batch"):
        load_archive(tmp_path, archive_bytes(skip="test_batch"))


def test_a_batch_that_is_no_batch_is_one_clear_line(tmp_path):
    with pytest.raises(UserError, match=r"cannot be read as cifar-10-python\.tar\.gz"):
        load_archive(tmp_path, archive_bytes(damage=b"hello"))


def test_a_file_that_is_not_the_published_archive_is_refused(tmp_path):
    local = tmp_path / "cifar.tar.gz"
    local.write_bytes(archive_bytes())
    with pytest.raises(UserError, match="bytes, not 170,498,071"):
        cifar10(Cifar10Options(archive=local), tmp_path)


def test_a_local_archive_that_does_not_exist_is_named(tmp_path):
    with pytest.raises(UserError, match="nowhere does not exist"):
        cifar10(Cifar10Options(archive=tmp_path / "nowhere"), tmp_path)
