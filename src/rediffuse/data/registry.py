"""The data sources by name: one file a source, one line here."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rediffuse.data import archive, celeba, cifar10, cifar10_jpeg, digits, mnist
from rediffuse.data.image_set import ImageSet
from rediffuse.data.options import read_options
from rediffuse.errors import UserError

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Source:
    """A data source: `build(options, download_dir, progress)` reads it; `options` is its dataclass of options."""

    summary: str
    options: type
    build: Callable[[Any, Path, Progress | None], ImageSet]


SOURCES: dict[str, Source] = {
    "digits": Source("1,797 real 8x8 scans of digits, inside scikit-learn", digits.DigitsOptions, digits.digits),
    "smoke": Source("64 of the digits, for tests", digits.DigitsOptions, digits.smoke),
    "cifar10": Source(
        "60,000 colour photographs, 32x32, fetched or from a local archive", cifar10.Cifar10Options, cifar10.cifar10
    ),
    "cifar10-jpeg": Source(
        "CIFAR-10 as a folder or archive of JPEGs", cifar10_jpeg.Cifar10JpegOptions, cifar10_jpeg.cifar10_jpeg
    ),
    "mnist": Source("70,000 digits, 28x28 or padded to 32x32, fetched or local", mnist.MnistOptions, mnist.mnist),
    "celeba": Source("202,599 faces from a local img_align_celeba.zip", celeba.CelebAOptions, celeba.celeba),
    "archive": Source("any tar or zip of pictures", archive.ArchiveOptions, archive.archive),
    "folder": Source("any folder of pictures", archive.ArchiveOptions, archive.archive),
}


def load(
    name: str,
    options: Mapping[str, Any] | object | None = None,
    download_dir: str | Path = Path("data/downloads"),
    progress: Progress | None = None,
) -> ImageSet:
    """Read the data source `name`.

    `options` is its options dataclass or a mapping with the same keys; downloaded files are kept in `download_dir` and
    used again; `progress(done, total)` is called while bytes arrive or images are decoded.
    """
    source = find_source(name)
    return source.build(read_options(name, source.options, options), Path(download_dir), progress)


def find_source(name: str) -> Source:
    """The source called `name`, or a `UserError` that lists the names there are."""
    if name not in SOURCES:
        raise UserError(f"no data source named {name!r}; there are: {', '.join(sorted(SOURCES))}")
    return SOURCES[name]
