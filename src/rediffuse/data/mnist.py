"""MNIST: 70,000 handwritten digits of 28×28 pixels, the 10,000 test images held out.

Files are IDX: a big-endian header (two zero bytes, the type 0x08 = uint8, the number of dimensions, then each dimension
as uint32) and the values.
"""

import gzip
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from rediffuse.data.image_set import ImageSet, make_card
from rediffuse.download import OnProgress, RemoteFile, obtain
from rediffuse.errors import UserError

_MIRRORS = (
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
)


def _remote(name: str, md5: str, size: int) -> RemoteFile:
    return RemoteFile(name, tuple(mirror + name for mirror in _MIRRORS), "md5", md5, size)


@dataclass(frozen=True)
class MnistFiles:
    """The four published files."""

    train_images: RemoteFile
    train_labels: RemoteFile
    test_images: RemoteFile
    test_labels: RemoteFile


FILES = MnistFiles(
    train_images=_remote("train-images-idx3-ubyte.gz", "f68b3c2dcbeaaa9fbdd348bbdeb94873", 9_912_422),
    train_labels=_remote("train-labels-idx1-ubyte.gz", "d53e105ee54ea40749a09fcbcd1e9432", 28_881),
    test_images=_remote("t10k-images-idx3-ubyte.gz", "9fb629c4189551a2d022fa330f9573f3", 1_648_877),
    test_labels=_remote("t10k-labels-idx1-ubyte.gz", "ec29112dd5afa0611ce80d1b7f02629c", 4_542),
)


@dataclass(frozen=True)
class MnistOptions:
    """folder: where the four .gz files lie, or null to fetch them. size: 28, or 32 with a black border of 2 pixels.

    A U-Net that halves the image three times needs 32: 28 has only two halvings.
    """

    folder: Path | None = None
    size: Literal[28, 32] = 32


def mnist(
    options: MnistOptions,
    download_dir: Path,
    progress: OnProgress | None = None,
    *,
    files: MnistFiles = FILES,
) -> ImageSet:
    """MNIST, 1×size×size: the training images, then the test images."""

    def read(file: RemoteFile, dimensions: int) -> np.ndarray:
        local = None if options.folder is None else options.folder / file.name
        path = obtain(file, local, download_dir, progress)
        try:
            return read_idx(gzip.decompress(path.read_bytes()), dimensions)
        except (OSError, EOFError, zlib.error, ValueError) as damage:
            raise UserError(f"{path} is not an IDX file of MNIST: {damage}") from None

    train, test = read(files.train_images, 3), read(files.test_images, 3)
    labels = np.concatenate([read(files.train_labels, 1), read(files.test_labels, 1)]).astype(np.int64)
    images = np.concatenate([train, test])[:, None]
    if len(labels) != len(images):
        raise UserError(f"the files of MNIST do not belong together: {len(images)} images, {len(labels)} labels")
    border = (options.size - 28) // 2
    images = np.pad(images, ((0, 0), (0, 0), (border, border), (border, border)))
    held_out = np.arange(len(images)) >= len(train)
    card = make_card(
        "mnist",
        title="MNIST",
        source=f"{files.train_images.name} and its three companions, verified by md5",
        licence="CC BY-SA 3.0",
        citation="Y. LeCun, C. Cortes and C. J. C. Burges, The MNIST database of handwritten digits, 1998",
        preprocessing=[f"black border of {border} pixels" if border else "none", "held out: the official test images"],
        images=images,
        held_out=held_out,
    )
    return ImageSet(images, labels, held_out, tuple("0123456789"), card)


def read_idx(content: bytes, dimensions: int) -> np.ndarray:
    """The uint8 array of an IDX file with that many dimensions; raises ValueError for anything else."""
    header = 4 + 4 * dimensions
    if content[:4] != bytes([0, 0, 8, dimensions]) or len(content) < header:
        raise ValueError(f"its header is not that of {dimensions}-dimensional uint8 values")
    shape = struct.unpack(f">{dimensions}I", content[4:header])
    if len(content) - header != int(np.prod(shape)):
        raise ValueError(f"it holds {len(content) - header} values, its header says {shape}")
    return np.frombuffer(content, dtype=np.uint8, offset=header).reshape(shape)
