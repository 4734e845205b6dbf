"""Any folder, tar or zip of pictures: flat, <class>/..., or train|test/<class>/....

Nothing is ever unpacked to disk: members are decoded as they stream by, and their names serve only to sort and label.
"""

import lzma
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal

import numpy as np

from rediffuse.data.image_set import ImageSet, make_card
from rediffuse.data.picture import Picture, decode
from rediffuse.data.splits import stratified_held_out
from rediffuse.download import OnProgress
from rediffuse.errors import UserError
from rediffuse.files import sha256

_SUFFIXES = {".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff", ".ppm", ".pgm", ".gif"}


@dataclass(frozen=True)
class ArchiveOptions:
    """path: a folder, .tar(.gz/.xz/.bz2) or .zip. channels, crop, size, resample: see `Picture`.

    held_out: how many images to hold out where the names tell no split (null: one in ten).
    """

    path: Path
    channels: Literal["rgb", "grey"] = "rgb"
    crop: int | None = None
    size: int | None = None
    resample: Literal["box", "bilinear", "bicubic", "lanczos"] = "bicubic"
    held_out: int | None = None


@dataclass(frozen=True)
class Layout:
    """What the names of the pictures say: order (positions sorted by name), labels and held_out in that order."""

    order: list[int]
    labels: np.ndarray | None
    class_names: tuple[str, ...]
    held_out: np.ndarray | None


def archive(options: ArchiveOptions, download_dir: Path, progress: OnProgress | None = None) -> ImageSet:
    """The pictures under `options.path`, sorted by name."""
    path = options.path
    title = f"Pictures of {path.name}"
    return read_pictures("archive", title, "not stated", "not stated", options, progress)


def read_pictures(
    name: str, title: str, licence: str, citation: str, options: ArchiveOptions, progress: OnProgress | None
) -> ImageSet:
    """Decode every picture under `options.path` into an `ImageSet` whose card carries the given words."""
    picture = Picture(options.channels, options.crop, options.size, options.resample)
    names: list[PurePosixPath] = []
    pictures: list[np.ndarray] = []
    for member, total, encoded in _members(options.path):
        try:
            pixels = decode(encoded, picture)
        except ValueError as damage:
            raise UserError(f"picture {member} of {options.path}: {damage}") from None
        if pictures and pixels.shape != pictures[0].shape:
            raise UserError(
                f"pictures of {options.path} differ in size: {names[0]} is {pictures[0].shape[1:]}, {member} is "
                f"{pixels.shape[1:]}; set the option 'size'"
            )
        names.append(member)
        pictures.append(pixels)
        if progress is not None:
            progress(len(pictures), total)
    if not pictures:
        raise UserError(f"{options.path} holds no pictures ({', '.join(sorted(_SUFFIXES))})")
    layout = read_layout(names)
    images = np.stack([pictures[position] for position in layout.order])
    held_out, split = _held_out(layout, options, len(images), name)
    kind = "folder" if options.path.is_dir() else f"sha256 {sha256(options.path)}"
    card = make_card(
        name,
        title=title,
        source=f"{options.path.name} ({kind})",
        licence=licence,
        citation=citation,
        preprocessing=[*picture.describe(), split],
        images=images,
        held_out=held_out,
    )
    return ImageSet(images, layout.labels, held_out, layout.class_names, card)


def read_layout(names: list[PurePosixPath]) -> Layout:
    """Sort names and read split and classes from their folders, after those folders that all of them share."""
    order = sorted(range(len(names)), key=lambda position: names[position].as_posix())
    folders = [names[position].parts[:-1] for position in order]
    while folders[0] and folders[0][0] not in ("train", "test") and len({parts[:1] for parts in folders}) == 1:
        folders = [parts[1:] for parts in folders]
    tops = {parts[0] if parts else "" for parts in folders}
    held_out = None
    if tops & {"train", "test"}:
        others = sorted(tops - {"train", "test"})
        if others:
            other = repr(others[0]) if others[0] else "a picture in no folder"
            raise UserError(f"beside the folders train and test there is {other}: leave only those two")
        if len(tops) == 2:
            held_out = np.array([parts[0] == "test" for parts in folders])
        folders = [parts[1:] for parts in folders]
    classes = [parts[0] if parts else None for parts in folders]
    if None in classes:
        if any(label is not None for label in classes):
            example = names[order[classes.index(None)]]
            raise UserError(f"some pictures lie in class folders and some do not, such as {example}")
        return Layout(order, None, (), held_out)
    class_names = tuple(sorted({label for label in classes if label is not None}))
    position = {label: index for index, label in enumerate(class_names)}
    labels = np.array([position[label] for label in classes if label is not None], dtype=np.int64)
    return Layout(order, labels, class_names, held_out)


def _held_out(layout: Layout, options: ArchiveOptions, count: int, name: str) -> tuple[np.ndarray, str]:
    if layout.held_out is not None:
        if options.held_out is not None:
            raise UserError("the option 'held_out' is for pictures without train and test folders: leave it out")
        return layout.held_out, "held out: the folder test"
    wanted = count // 10 if options.held_out is None else options.held_out
    if not 0 <= wanted < count:
        raise UserError(f"the option 'held_out' must leave something to train on: 0..{count - 1}, not {wanted}")
    labels = layout.labels if layout.labels is not None else np.zeros(count, dtype=np.int64)
    return stratified_held_out(labels, wanted, name), f"{wanted} held out, stratified by class, fixed"


def _members(path: Path) -> Iterator[tuple[PurePosixPath, int, bytes]]:
    """Yield (name, number of pictures or 0 while unknown, encoded bytes) of every picture under `path`."""
    if not path.exists():
        raise UserError(f"{path} does not exist: name a folder, tar or zip of pictures")
    if path.is_dir():
        files = sorted(file for file in path.rglob("*") if file.is_file())
        inside = [(PurePosixPath(file.relative_to(path).as_posix()), file) for file in files]
        chosen = [(name, file) for name, file in inside if is_picture(name)]
        for name, file in chosen:
            yield name, len(chosen), file.read_bytes()
    elif zipfile.is_zipfile(path):
        yield from _zip_members(path)
    elif tarfile.is_tarfile(path):
        yield from _tar_members(path)
    else:
        raise UserError(f"{path} is neither a folder nor a tar or zip archive")


def _zip_members(path: Path) -> Iterator[tuple[PurePosixPath, int, bytes]]:
    try:
        with zipfile.ZipFile(path) as file:
            inside = [(_inside(path, info.filename), info) for info in file.infolist() if not info.is_dir()]
            chosen = [(name, info) for name, info in inside if is_picture(name)]
            for name, info in chosen:
                yield name, len(chosen), file.read(info)
    except (zipfile.BadZipFile, zlib.error, OSError, EOFError, RuntimeError) as damage:
        raise UserError(f"{path} is damaged: {damage}") from None


def _tar_members(path: Path) -> Iterator[tuple[PurePosixPath, int, bytes]]:
    try:
        with tarfile.open(path) as file:
            for info in file:
                name = _inside(path, info.name)
                stream = file.extractfile(info) if info.isreg() and is_picture(name) else None
                if stream is not None:
                    yield name, 0, stream.read()
    except (tarfile.TarError, lzma.LZMAError, zlib.error, OSError, EOFError) as damage:
        raise UserError(f"{path} is damaged: {damage}") from None


def _inside(path: Path, member: str) -> PurePosixPath:
    name = PurePosixPath(member.replace("\\", "/"))
    if name.is_absolute() or ".." in name.parts:
        raise UserError(f"{path} has a member that points outside it, {member!r}: it is not to be trusted")
    return name


def is_picture(name: PurePosixPath) -> bool:
    """Whether the name is that of a picture, and neither hidden nor a Macintosh's double of one."""
    hidden = any(part.startswith(".") or part == "__MACOSX" for part in name.parts)
    return name.suffix.lower() in _SUFFIXES and not hidden
