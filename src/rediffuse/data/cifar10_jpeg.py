"""CIFAR-10 as a folder or archive of JPEGs, train|test/<class>/*.jpg: the same photographs after lossy compression."""

from dataclasses import dataclass
from pathlib import Path

from rediffuse.data.archive import ArchiveOptions, read_pictures
from rediffuse.data.cifar10 import CITATION, CLASS_NAMES, LICENCE
from rediffuse.data.image_set import ImageSet
from rediffuse.download import OnProgress
from rediffuse.errors import UserError


@dataclass(frozen=True)
class Cifar10JpegOptions:
    """path: the folder, tar or zip."""

    path: Path


def cifar10_jpeg(options: Cifar10JpegOptions, download_dir: Path, progress: OnProgress | None = None) -> ImageSet:
    """CIFAR-10 from JPEGs, 3×32×32; the pixels differ from the originals, so scores are not those of `cifar10`."""
    title = "CIFAR-10, recompressed as JPEG"
    given = ArchiveOptions(path=options.path)
    image_set = read_pictures("cifar10-jpeg", title, LICENCE, CITATION, given, progress)
    if image_set.class_names != CLASS_NAMES or image_set.shape != (3, 32, 32):
        classes = ", ".join(image_set.class_names) or "no classes"
        raise UserError(f"{options.path} is not CIFAR-10: it has {classes}, pictures {image_set.shape}")
    return image_set
