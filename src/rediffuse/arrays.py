"""Named arrays in a file that is whole or counts as absent: unfinished work and samples."""

import zipfile
from pathlib import Path

import numpy as np

from rediffuse.files import atomic_path, remove


def write_arrays(path: Path, **arrays: np.ndarray) -> None:
    """Write an npz file, which holds a checksum of every array: the same bytes for the same arrays.

    `np.savez` does not give them: it makes every entry one of "zip64", whose header patch releases of Python write in
    different ways (3.11.2 and 3.11.7 do). Here an entry is one only where the array needs it.
    """
    if path.is_dir():
        remove(path)
    with atomic_path(path) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        for name, value in arrays.items():
            entry = zipfile.ZipInfo(f"{name}.npy")  # dated 1980
            entry.file_size = value.nbytes + 2**16  # by which zipfile decides; the true size it finds itself
            with archive.open(entry, "w") as file:
                np.lib.format.write_array(file, value, allow_pickle=False)


def read_arrays(path: Path) -> dict[str, np.ndarray] | None:
    """All arrays of an npz file; None when it is absent or damaged anywhere."""
    try:
        with np.load(path, allow_pickle=False) as content:
            return dict(content)
    except Exception:  # zipfile, zlib and NumPy raise a dozen kinds on damaged files
        return None
