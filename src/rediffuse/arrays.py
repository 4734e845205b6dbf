"""Named arrays in a file that is whole or counts as absent: unfinished work and samples."""

from pathlib import Path

import numpy as np

from rediffuse.files import atomic_path, remove


def write_arrays(path: Path, **arrays: np.ndarray) -> None:
    """Write an npz file, which holds a checksum of every array."""
    if path.is_dir():
        remove(path)
    with atomic_path(path) as temporary:
        np.savez(temporary, **arrays)  # type: ignore[arg-type]


def read_arrays(path: Path) -> dict[str, np.ndarray] | None:
    """All arrays of an npz file; None when it is absent or damaged anywhere."""
    try:
        with np.load(path, allow_pickle=False) as content:
            return dict(content)
    except Exception:  # zipfile, zlib and NumPy raise a dozen kinds on damaged files
        return None
