"""Any folder, tar or zip of pictures: flat, <class>/..., or train|test/<class>/.... Names serve to sort and label."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal

import numpy as np

from rediffuse.data.image_set import ImageSet, make_card
from rediffuse.data.picture import Picture, in_words
from rediffuse.data.picture_files import by_name, open_pictures
from rediffuse.data.splits import stratified_held_out
from rediffuse.download import OnProgress
from rediffuse.errors import UserError
from rediffuse.files import sha256


@dataclass(frozen=True)
class ArchiveOptions:
    """path: a folder, .tar(.gz/.xz/.bz2) or .zip. channels, crop, size, resample, white: see `Picture`.

    held_out: how many images to hold out where the names tell no split (null: one in ten).
    """

    path: Path
    channels: Literal["rgb", "grey"] = "rgb"
    crop: int | None = None
    size: int | None = None
    resample: Literal["box", "bilinear", "bicubic", "lanczos"] = "bicubic"
    held_out: int | None = None
    white: int | None = None


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
    picture = Picture(options.channels, options.crop, options.size, options.resample, options.white)
    files, notes = open_pictures(options.path), list[str]()
    pictures: list[np.ndarray] = []
    for member in files.names:
        pixels = files.decode(member, picture, notes)
        if pictures and pixels.shape != pictures[0].shape:
            raise UserError(
                f"pictures of {options.path} differ in size: {files.names[0]} is {pictures[0].shape[1:]}, {member} is "
                f"{pixels.shape[1:]}; set the option 'size'"
            )
        pictures.append(pixels)
        if progress is not None:
            progress(len(pictures), len(files.names))
    layout = read_layout(files.names)
    images = np.stack([pictures[position] for position in layout.order])
    held_out, split = _held_out(layout, options, len(images), name)
    kind = "folder" if options.path.is_dir() else f"sha256 {sha256(options.path)}"
    card = make_card(
        name,
        title=title,
        source=f"{options.path.name} ({kind})",
        licence=licence,
        citation=citation,
        preprocessing=[*picture.describe(), *in_words(notes), *files.passed_over, split],
        images=images,
        held_out=held_out,
    )
    return ImageSet(images, layout.labels, held_out, layout.class_names, card)


def read_layout(names: Sequence[PurePosixPath]) -> Layout:
    """Sort names and read split and classes from their folders, after those folders that all of them share."""
    order = by_name(names)
    folders = [names[position].parts[:-1] for position in order]
    _check_case({part for parts in folders for part in parts})
    while folders[0] and not _split(folders[0]) and len({parts[:1] for parts in folders}) == 1:
        folders = [parts[1:] for parts in folders]
    folders = [(_split(parts), *parts[1:]) if _split(parts) else parts for parts in folders]
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


def _split(folders: tuple[str, ...]) -> str:
    """Which split the first of some folders is, in letters of any case; "" for none."""
    first = folders[0].lower() if folders else ""
    return first if first in ("train", "test") else ""


def _check_case(folders: set[str]) -> None:
    known: dict[str, str] = {}
    for folder in sorted(folders):
        if (other := known.setdefault(folder.lower(), folder)) != folder:
            raise UserError(f"the folders {other} and {folder} differ only in the case of letters: give them one name")


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
