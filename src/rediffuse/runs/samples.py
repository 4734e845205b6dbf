"""Files of samples: what stages `sample` and `follow` write, and stages `evaluate` and `examine` read."""

import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from rediffuse.arrays import read_arrays, write_arrays
from rediffuse.errors import UserError
from rediffuse.files import atomic_path, remove

#: A member of an npz file bears no date: equal content makes equal files.
UINT8 = {"descr": "|u1", "fortran_order": False}


@dataclass(frozen=True, eq=False)
class Samples:
    """images: uint8 [N, C, H, W]; nfe: network evaluations of each; stamp: digest of what they were made from."""

    images: np.ndarray
    nfe: int | None
    stamp: str

    def write(self, path: Path) -> None:
        """Write `path`, an npz file, whole or not at all."""
        write_samples(path, self.images.shape, [self.images], self.nfe, self.stamp)


def write_samples(path: Path, shape: Iterable[int], parts: Iterable[Any], nfe: int | None, stamp: str) -> None:
    """Write the file of `Samples` whose images are `parts` (uint8 arrays or tensors) one after another: only one part
    is in memory. `shape`: of all images, [N, C, H, W]. The bytes are those of `numpy.savez`.
    """
    if path.is_dir():
        remove(path)
    with atomic_path(path) as temporary, zipfile.ZipFile(temporary, "w", allowZip64=True) as archive:
        with archive.open("images.npy", "w", force_zip64=True) as member:
            np.lib.format.write_array_header_1_0(member, {**UINT8, "shape": tuple(shape)})
            for part in parts:
                member.write(np.ascontiguousarray(part, dtype=np.uint8).data)
        for name, value in (("nfe", np.array(nfe or 0)), ("stamp", np.array(stamp))):
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                np.lib.format.write_array(member, value, allow_pickle=False)


def read_samples(path: Path) -> Samples:
    """Read what `Samples.write` wrote. Raises UserError when there is none."""
    content = read_arrays(path)
    if content is None or not {"images", "nfe", "stamp"} <= content.keys():
        state = "damaged" if path.exists() else "missing"
        raise UserError(f"{path}: no samples, the file is {state}; run `rediffuse sample`")
    return Samples(content["images"], int(content["nfe"]) or None, str(content["stamp"]))


def has_stamp(path: Path, stamp: str) -> bool:
    """Whether `path` holds whole samples made from what `stamp` digests."""
    try:
        return read_samples(path).stamp == stamp
    except UserError:
        return False


def write_of_training(path: Path, samples: dict[str, np.ndarray]) -> None:
    """Write what was drawn at one step of training, by weights ("averaged", "raw"): uint8 [N, C, H, W] each."""
    write_arrays(path, **samples)
