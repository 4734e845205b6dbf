"""Files of arrays: the same arrays are the same bytes, whichever Python writes them."""

import io
import struct
import zlib
from pathlib import Path

import numpy as np

from rediffuse.arrays import read_arrays, write_arrays


def as_zip(entries: dict[str, bytes]) -> bytes:
    """A stored archive by the ZIP specification (APPNOTE 4.3):
    version 2.0, dated 1980, readable and writable by the owner.
    """
    local, central = b"", b""
    for name, content in entries.items():
        date = (1980 - 1980 << 9) + (1 << 5) + 1
        common = struct.pack("<3HHH3I2H", 20, 0, 0, 0, date, zlib.crc32(content), *[len(content)] * 2, len(name), 0)
        where = struct.pack("<3H2I", 0, 0, 0, 0o600 << 16, len(local))
        central += b"PK\x01\x02" + struct.pack("<BB", 20, 3) + common + where + name.encode()
        local += b"PK\x03\x04" + common + name.encode() + content
    counts = struct.pack("<4H2IH", 0, 0, len(entries), len(entries), len(central), len(local), 0)
    return local + central + b"PK\x05\x06" + counts


def test_the_bytes_are_those_of_the_specification_and_of_no_release_of_python(tmp_path: Path):
    arrays = {
        "first": np.arange(6, dtype=np.float32).reshape(2, 3),
        "second": np.array([[1, 2], [3, 4]], np.uint8)[:, ::-1],
    }
    write_arrays(tmp_path / "file.npz", **arrays)
    entries = {}
    for name, value in arrays.items():
        buffer = io.BytesIO()
        np.save(buffer, value, allow_pickle=False)
        entries[f"{name}.npy"] = buffer.getvalue()
    assert (tmp_path / "file.npz").read_bytes() == as_zip(entries)


def test_numpy_reads_what_was_written(tmp_path: Path):
    write_arrays(tmp_path / "file.npz", kept=np.eye(3), empty=np.zeros((0, 2)))
    with np.load(tmp_path / "file.npz", allow_pickle=False) as content:
        assert content["kept"].tolist() == np.eye(3).tolist()
    assert read_arrays(tmp_path / "file.npz")["empty"].shape == (0, 2)  # type: ignore[index]
