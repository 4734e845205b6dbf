"""Pictures and arrays that are not what they say: one line, nothing written,
and no more memory than a picture takes.
"""

import io
import lzma
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from rediffuse.data import array_images
from rediffuse.data.image_source import open_source
from rediffuse.data.registry import load
from rediffuse.data.swollen import MOST, MOST_SAID, check_pictures
from rediffuse.diagnosis.intake import find_images
from rediffuse.errors import UserError
from tests.stages.conftest import do, open_study
from tests.stages.test_prepared_counts import study_of

Taker = Callable[[Path], object]
READERS = {"evaluate": open_source, "diagnose": lambda path: find_images(str(path), None, None)}


def picture() -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (8, 8)).save(stream, "PNG")
    return stream.getvalue()


def swollen_zip(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.png", picture())
        archive.infolist()[0].file_size = MOST + 1  # what the list at its end says


def swollen_tar(path: Path, kind: bytes, name: str, size: int) -> None:
    member = tarfile.TarInfo(name)
    member.type, member.size = kind, size
    with lzma.open(path, "wb", preset=0) as stream:
        stream.write(member.tobuf(tarfile.USTAR_FORMAT) + bytes(2 * tarfile.RECORDSIZE))


ARCHIVES: dict[str, tuple[str, Callable[[Path], None]]] = {
    "a zip of a gigabyte a picture": ("x.zip", swollen_zip),
    "a tar of a gigabyte a picture": ("x.tar.xz", lambda p: swollen_tar(p, tarfile.REGTYPE, "a.png", MOST + 1)),
    "a picture of another kind": ("x.tar.xz", lambda p: swollen_tar(p, tarfile.CONTTYPE, "a.png", MOST + 1)),
    "a pax header of a gigabyte": ("x.tar.xz", lambda p: swollen_tar(p, tarfile.XHDTYPE, "x", MOST)),
    "a long name of a gigabyte": ("x.tar.xz", lambda p: swollen_tar(p, tarfile.GNUTYPE_LONGNAME, "x", MOST_SAID + 1)),
}


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("what", ARCHIVES)
def test_an_archive_that_would_fill_the_memory_is_refused_by_what_it_says(tmp_path: Path, what: str, reader: str):
    name, make = ARCHIVES[what]
    make(tmp_path / name)
    with pytest.raises(UserError, match=r"it is not to be trusted"):
        READERS[reader](tmp_path / name)
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_study_does_not_prepare_it_either(tmp_path: Path):
    swollen_zip(tmp_path / "x.zip")
    study = study_of(tmp_path / "x.zip")
    study["data"]["source"] = "archive"
    with pytest.raises(UserError, match="it is not to be trusted"):
        do(open_study(tmp_path, study), "prepare")
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("kind", [tarfile.FIFOTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE])
def test_a_device_in_a_tar_is_no_picture(tmp_path: Path, kind: bytes):
    swollen_tar(tmp_path / "x.tar.xz", kind, "a.png", 0)
    with pytest.raises(UserError, match=r"picture a\.png of .*: it is no file"):
        load("archive", {"path": tmp_path / "x.tar.xz"})


def test_names_that_do_not_print_are_refused_before_a_page_or_terminal_shows_them(tmp_path: Path):
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        archive.writestr("\x1b[31mcats/a.png", picture())
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "a\nb.png").write_bytes(picture())
    for name in ("x.zip", "x"):
        with pytest.raises(UserError, match="signs that do not print") as refused:
            check_pictures(tmp_path / name)
        assert str(refused.value).isprintable()


def test_a_picture_of_60_000_pixels_a_side_is_refused_by_its_header(tmp_path: Path):
    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    size = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 0, 0, 0, 0)
    head = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", size)
    (tmp_path / "a.png").write_bytes(head + chunk(b"IDAT", zlib.compress(bytes(10**6))) + chunk(b"IEND", b""))
    with pytest.raises(UserError, match=r"a\.png.*3600000000 pixels"):
        load("folder", {"path": tmp_path})


def npz(path: Path, **shapes: tuple[int, ...]) -> Path:
    """Arrays whose headers state shapes of which hardly a byte is there."""
    with zipfile.ZipFile(path, "w") as archive:
        for name, shape in shapes.items():
            stream = io.BytesIO()
            header = {"descr": "|u1", "fortran_order": False, "shape": shape}
            np.lib.format.write_array_header_1_0(stream, header)
            archive.writestr(f"{name}.npy", stream.getvalue() + bytes(10))
    return path


def test_arrays_beyond_the_memory_are_refused_by_their_headers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = npz(tmp_path / "x.npz", images=(2**32, 32, 32, 1))
    with pytest.raises(UserError, match=r"x\.npz unpacks to 4,096\.0 GiB, and .* GiB of memory are free"):
        open_source(path)
    monkeypatch.setattr(array_images.psutil, "virtual_memory", lambda: type("Free", (), {"available": 10**6}))
    with pytest.raises(UserError, match="of memory are free"):
        open_source(npz(tmp_path / "y.npz", images=(1000, 32, 32, 1)))


def test_an_array_that_is_shorter_than_its_header_says_is_refused(tmp_path: Path):
    with pytest.raises(UserError, match=r"'images' of .*x\.npz cannot be read"):
        open_source(npz(tmp_path / "x.npz", images=(20, 32, 32, 1)))
    (tmp_path / "x.npy").write_bytes(zipfile.ZipFile(tmp_path / "x.npz").read("images.npy"))
    with pytest.raises(UserError, match="mmap length is greater"):
        open_source(tmp_path / "x.npy")
