"""CelebA: 202,599 aligned photographs of faces, cropped and resized, with the official partition.

The files are not fetched: their licence wants each user to take them from the authors' page.
"""

import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal

import numpy as np

from rediffuse.data.image_set import ImageSet, make_card
from rediffuse.data.picture import Picture, decode
from rediffuse.data.swollen import check_pictures
from rediffuse.download import OnProgress
from rediffuse.errors import UserError
from rediffuse.files import sha256

_PAGE = "https://mmlab.ie.cuhk.edu.hk/projects/CelebA.html"
_PARTS = {"train": 0, "validation": 1, "test": 2}


@dataclass(frozen=True)
class CelebAOptions:
    """archive: img_align_celeba.zip; partition: list_eval_partition.txt, null for the one beside the archive.

    crop: side of the centred square of the 178×218 photograph; size: side of the result; held_out: which official part
    is held out (the other one is left out altogether). The defaults are those of score-based models at 64×64 (Song et
    al. 2021); DDIM crops 128 pixels off-centre instead.
    """

    archive: Path
    partition: Path | None = None
    crop: int = 140
    size: int = 64
    resample: Literal["box", "bilinear", "bicubic", "lanczos"] = "bilinear"
    held_out: Literal["test", "validation"] = "test"


def celeba(options: CelebAOptions, download_dir: Path, progress: OnProgress | None = None) -> ImageSet:
    """CelebA, 3×size×size, in the order of the file names."""
    partition = options.partition or options.archive.parent / "list_eval_partition.txt"
    for path in (options.archive, partition):
        if not path.is_file():
            raise UserError(f"{path} does not exist: take {path.name} from {_PAGE}")
    check_pictures(options.archive)
    parts = _read_partition(partition)
    wanted = {_PARTS["train"], _PARTS[options.held_out]}
    picture = Picture("rgb", options.crop, options.size, options.resample)
    try:
        with zipfile.ZipFile(options.archive) as file:
            members = {PurePosixPath(name).name: name for name in file.namelist() if name.endswith(".jpg")}
            names = sorted(name for name, part in parts.items() if part in wanted)
            missing = next((name for name in names if name not in members), None)
            if missing is not None:
                raise UserError(f"{options.archive} holds no {missing}, which {partition.name} lists")
            images = np.empty((len(names), 3, options.size, options.size), dtype=np.uint8)
            for index, name in enumerate(names):
                images[index] = _decode(file.read(members[name]), picture, name, options.archive)
                if progress is not None:
                    progress(index + 1, len(names))
    except (zipfile.BadZipFile, zlib.error, OSError, EOFError, RuntimeError) as damage:
        raise UserError(f"{options.archive} is damaged: {damage}") from None
    held_out = np.array([parts[name] != _PARTS["train"] for name in names], dtype=bool)
    card = make_card(
        "celeba",
        title="CelebA",
        source=f"{options.archive.name} (sha256 {sha256(options.archive)}), {_PAGE}",
        licence="non-commercial research only",
        citation="Z. Liu, P. Luo, X. Wang and X. Tang, Deep Learning Face Attributes in the Wild, ICCV 2015",
        preprocessing=[*picture.describe(), f"held out: the official {options.held_out} part; the third is left out"],
        images=images,
        held_out=held_out,
    )
    return ImageSet(images, None, held_out, (), card)


def _decode(encoded: bytes, picture: Picture, name: str, archive: Path) -> np.ndarray:
    try:
        return decode(encoded, picture)
    except ValueError as damage:
        raise UserError(f"picture {name} of {archive}: {damage}") from None


def _read_partition(path: Path) -> dict[str, int]:
    """File name → 0 (training), 1 (validation) or 2 (test), from lines "000001.jpg 0"."""
    parts = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        fields = line.split()
        if not fields:
            continue
        if len(fields) != 2 or fields[1] not in ("0", "1", "2"):
            raise UserError(f"{path} line {number} is not 'name 0|1|2': {line[:60]!r}")
        parts[fields[0]] = int(fields[1])
    if not parts:
        raise UserError(f"{path} lists no images")
    return parts
