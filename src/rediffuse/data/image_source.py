"""Images from wherever they lie, one batch at a time: folders and zips of pictures, arrays, prepared data sets."""

import hashlib
import os
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

import numpy as np

from rediffuse.data.array_images import Span, open_array
from rediffuse.data.image_set import open_image_set
from rediffuse.data.picture import Picture, in_words
from rediffuse.data.picture_files import PictureFiles, by_name, open_pictures
from rediffuse.data.swollen import check_pictures
from rediffuse.errors import UserError

ARRAY_SUFFIXES = (".npy", ".npz")


@dataclass(frozen=True, eq=False)
class ImageSource:
    """Images that are read when asked for.

    path: where they lie; kind: what that is, in words; count: how many there are; conversions: what is done to all on
    the way to uint8 [C, H, W], and what there is passed over; read: gives the images at some positions (int64 [B]) as
    uint8 [B, C, H, W]; notes: what was done to single images so far (`picture.in_words`).
    """

    path: Path
    kind: str
    count: int
    conversions: tuple[str, ...]
    read: Callable[[np.ndarray], np.ndarray]
    notes: list[str] = field(default_factory=list)

    def described(self) -> list[str]:
        """The conversions, those of single images included, once all that is wanted has been read."""
        return [*self.conversions, *in_words(self.notes)]

    def batches(self, order: np.ndarray, size: int) -> Iterator[np.ndarray]:
        """The images at positions `order` in batches of `size`: uint8 [≤ size, C, H, W].

        The next batch is read while the caller works on one; no more than three are in memory at a time.
        """
        with ThreadPoolExecutor(1) as reader:
            ahead: Future[np.ndarray] | None = None
            for start in range(0, len(order), size):
                batch = self.read(order[:size]) if ahead is None else ahead.result()
                following = order[start + size : start + 2 * size]
                ahead = reader.submit(self.read, following) if len(following) else None
                yield batch
                del batch


class StreamDigest:
    """SHA-256 of images that arrive in batches: equal to `image_set.images_digest` of all of them in one array."""

    def __init__(self, count: int) -> None:
        self.count = count
        self._running = hashlib.sha256()
        self.shape: tuple[int, ...] | None = None

    def update(self, batch: np.ndarray) -> None:
        """Take in uint8 images [B, C, H, W]."""
        if self.shape is None:
            self.shape = batch.shape[1:]
            self._running.update(f"{batch.dtype.str}{(self.count, *self.shape)}".encode())
        self._running.update(np.ascontiguousarray(batch).data)

    def hexdigest(self) -> str:
        """Hexadecimal digest of what came so far."""
        return self._running.hexdigest()


def open_source(
    path: Path, *, size: int | None = None, white: int | None = None, span: Span | None = None
) -> ImageSource:
    """The images of `path`: a folder, zip or plain tar of pictures (taken recursively, sorted by name), a .npy or .npz
    array, a samples file, or the folder of a prepared data set (its training images).

    size: bring every picture to size × size (centre crop to a square, then bicubic); without it pictures of different
    sizes are refused. white: of pictures of 16 bits, see `Picture`; span: of arrays of floats, see `open_array`. Raises
    UserError naming the file at fault.
    """
    if not path.exists():
        raise UserError(f"{path} does not exist: name a folder or zip of pictures, or a .npy or .npz array")
    prepared = path.is_dir() and (path / "card.json").is_file() and (path / "images.npy").is_file()
    if prepared or path.suffix.lower() in ARRAY_SUFFIXES:
        if size is not None:
            raise UserError(f"a size is for pictures; {path} holds an array, whose images have one size already")
        return _prepared(path) if prepared else _array(path, span)
    picture = Picture("rgb", size=size, white=white)
    check_pictures(path)
    files = open_pictures(path)
    if files.rereads:
        raise UserError(
            f"{path} is a compressed tar, which is read from its beginning only: unpack it, name the folder"
        )
    return _pictures(files, picture)


def _prepared(path: Path) -> ImageSource:
    image_set = open_image_set(path)
    train = image_set.indices("train")
    name = image_set.card["name"]
    return ImageSource(
        path, f"training images of the data set {name}", len(train), (), lambda at: image_set.images[train[at]]
    )


def _array(path: Path, span: Span | None) -> ImageSource:
    array = open_array(path, span)
    return ImageSource(path, "array", array.count, array.conversions, array.read)


def _pictures(files: PictureFiles, picture: Picture) -> ImageSource:
    names, notes = [files.names[position] for position in by_name(files.names)], list[str]()
    first: list[tuple[PurePosixPath, tuple[int, ...]]] = []
    # Pillow lets go of the interpreter while it decodes, so threads are enough.
    decoders = ThreadPoolExecutor(min(8, os.cpu_count() or 1))

    def read(positions: np.ndarray) -> np.ndarray:
        pictures = list(decoders.map(lambda at: files.decode(names[at], picture, notes), positions.tolist()))
        for position, pixels in zip(positions.tolist(), pictures, strict=True):
            if not first:
                first.append((names[position], pixels.shape))
            name, shape = first[0]
            if pixels.shape != shape:
                raise UserError(
                    f"pictures of {files.path} differ in size: {name} is {_side(shape)}, {names[position]} is "
                    f"{_side(pixels.shape)}; make them alike, or give one size for all (--size)"
                )
        return np.stack(pictures)

    return ImageSource(files.path, files.kind, len(names), (*picture.describe(), *files.passed_over), read, notes)


def _side(shape: tuple[int, ...]) -> str:
    return f"{shape[2]}x{shape[1]}"
