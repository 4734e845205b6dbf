"""Files of samples: what stages `sample` and `follow` write, and stages `evaluate` and `examine` read."""

import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rediffuse.errors import UserError
from rediffuse.files import atomic_path


@dataclass(frozen=True, eq=False)
class Samples:
    """images: uint8 [N, C, H, W]; nfe: network evaluations of each; stamp: digest of what they were made from."""

    images: np.ndarray
    nfe: int | None
    stamp: str

    def write(self, path: Path) -> None:
        """Write `path`, an npz file, whole or not at all."""
        with atomic_path(path) as temporary:
            np.savez(temporary, images=self.images, nfe=np.array(self.nfe or 0), stamp=np.array(self.stamp))


def read_samples(path: Path) -> Samples:
    """Read what `Samples.write` wrote. Raises UserError when there is none."""
    try:
        with np.load(path, allow_pickle=False) as content:
            return Samples(content["images"], int(content["nfe"]) or None, str(content["stamp"]))
    except (OSError, KeyError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise UserError(f"{path}: no samples ({error.__class__.__name__}); run `rediffuse sample`") from None


def has_stamp(path: Path, stamp: str) -> bool:
    """Whether `path` holds samples made from what `stamp` digests."""
    try:
        with np.load(path, allow_pickle=False) as content:
            return str(content["stamp"]) == stamp and "nfe" in content
    except (OSError, KeyError, ValueError, EOFError, zipfile.BadZipFile):
        return False


def write_of_training(path: Path, samples: dict[str, np.ndarray]) -> None:
    """Write what was drawn at one step of training, by weights ("averaged", "raw"): uint8 [N, C, H, W] each."""
    with atomic_path(path) as temporary:
        np.savez(temporary, **samples)  # type: ignore[arg-type]
