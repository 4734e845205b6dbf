"""The data sources by name: one file a source, one line here."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rediffuse.registry import Registry
from rediffuse.registry import load as find

if TYPE_CHECKING:
    from rediffuse.data.image_set import ImageSet

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Source:
    """A data source: `build(options, download_dir, progress)` reads it; `options` is its dataclass of options.

    channels, image_size, images, held_out, classes: its shape and counts; None where only the images themselves can
    tell, no classes being 0. sized: whether a study has to say which side to use.
    """

    name: str
    options_code: str
    build_code: str
    summary: str = ""
    channels: int | None = None
    image_size: int | None = None
    images: int | None = None
    held_out: int | None = None
    classes: int | None = None
    sized: bool = False

    @property
    def options(self) -> type:
        """Its dataclass of options."""
        return find(self.options_code)

    @property
    def build(self) -> "Callable[[Any, Path, Progress | None], ImageSet]":
        """What reads it."""
        return find(self.build_code)


SOURCES: Registry[Source] = Registry(
    "data source",
    Source(
        "digits",
        "rediffuse.data.digits:DigitsOptions",
        "rediffuse.data.digits:digits",
        summary="1,797 real 8x8 scans of digits, inside scikit-learn",
        channels=1,
        image_size=8,
        images=1797,
        held_out=360,
        classes=10,
    ),
    Source(
        "smoke",
        "rediffuse.data.digits:DigitsOptions",
        "rediffuse.data.digits:smoke",
        summary="64 of the digits, for tests",
        channels=1,
        image_size=8,
        images=64,
        held_out=24,
        classes=10,
    ),
    Source(
        "cifar10",
        "rediffuse.data.cifar10:Cifar10Options",
        "rediffuse.data.cifar10:cifar10",
        summary="60,000 colour photographs, 32x32, fetched or from a local archive",
        channels=3,
        image_size=32,
        images=60000,
        held_out=10000,
        classes=10,
    ),
    Source(
        "cifar10-jpeg",
        "rediffuse.data.cifar10_jpeg:Cifar10JpegOptions",
        "rediffuse.data.cifar10_jpeg:cifar10_jpeg",
        summary="CIFAR-10 as a folder or archive of JPEGs",
        channels=3,
        image_size=32,
        images=60000,
        held_out=10000,
        classes=10,
    ),
    Source(
        "mnist",
        "rediffuse.data.mnist:MnistOptions",
        "rediffuse.data.mnist:mnist",
        summary="70,000 digits, 28x28 or padded to 32x32, fetched or local",
        channels=1,
        image_size=32,
        images=70000,
        held_out=10000,
        classes=10,
    ),
    Source(
        "celeba",
        "rediffuse.data.celeba:CelebAOptions",
        "rediffuse.data.celeba:celeba",
        summary="202,599 faces from a local img_align_celeba.zip",
        channels=3,
        images=202599,
        held_out=19962,
        classes=0,
        sized=True,
    ),
    Source(
        "archive",
        "rediffuse.data.archive:ArchiveOptions",
        "rediffuse.data.archive:archive",
        summary="any tar or zip of pictures",
        sized=True,
    ),
    Source(
        "folder",
        "rediffuse.data.archive:ArchiveOptions",
        "rediffuse.data.archive:archive",
        summary="any folder of pictures",
        sized=True,
    ),
)


def load(
    name: str,
    options: Mapping[str, Any] | object | None = None,
    download_dir: str | Path = Path("data/downloads"),
    progress: Progress | None = None,
) -> "ImageSet":
    """Read the data source `name`.

    `options` is its options dataclass or a mapping with the same keys; downloaded files are kept in `download_dir` and
    used again; `progress(done, total)` is called while bytes arrive or images are decoded.
    """
    source, read_options = find_source(name), find("rediffuse.data.options:read_options")
    return source.build(read_options(name, source.options, options), Path(download_dir), progress)


def find_source(name: str) -> Source:
    """The source called `name`, or a `UserError` that lists the names there are."""
    return SOURCES.find(name)
