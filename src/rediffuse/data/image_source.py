"""Images from wherever they lie, one batch at a time: folders and zips of pictures, arrays, prepared data sets."""

import hashlib
import os
import zipfile
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from threading import Lock

import numpy as np

from rediffuse.data.archive import is_picture
from rediffuse.data.array_images import open_array
from rediffuse.data.image_set import open_image_set
from rediffuse.data.picture import Picture, decode
from rediffuse.errors import UserError

ARRAY_SUFFIXES = (".npy", ".npz")


@dataclass(frozen=True, eq=False)
class ImageSource:
    """Images that are read when asked for.

    path: where they lie; kind: what that is, in words; count: how many there are; conversions: what is done to them on
    the way to uint8 [C, H, W]; read: gives the images at some positions (int64 [B]) as uint8 [B, C, H, W].
    """

    path: Path
    kind: str
    count: int
    conversions: tuple[str, ...]
    read: Callable[[np.ndarray], np.ndarray]

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


def open_source(path: Path, *, size: int | None = None) -> ImageSource:
    """The images of `path`: a folder or zip of pictures (taken recursively, sorted by name), a .npy or .npz array, a
    samples file, or the folder of a prepared data set (its training images).

    size: bring every picture to size × size (centre crop to a square, then bicubic); without it pictures of different
    sizes are refused. Raises UserError naming the file at fault.
    """
    if not path.exists():
        raise UserError(f"{path} does not exist: name a folder or zip of pictures, or a .npy or .npz array")
    prepared = path.is_dir() and (path / "card.json").is_file() and (path / "images.npy").is_file()
    if prepared or path.suffix.lower() in ARRAY_SUFFIXES:
        if size is not None:
            raise UserError(f"a size is for pictures; {path} holds an array, whose images have one size already")
        return _prepared(path) if prepared else _array(path)
    picture = Picture("rgb", size=size)
    if path.is_dir():
        files = sorted(file for file in path.rglob("*") if file.is_file())
        names = [PurePosixPath(file.relative_to(path).as_posix()) for file in files]
        chosen = [name for name in names if is_picture(name)]
        return _pictures(path, "folder of pictures", chosen, lambda name: (path / name).read_bytes(), picture)
    if zipfile.is_zipfile(path):
        return _zip(path, picture)
    raise UserError(f"{path} is neither a folder or zip of pictures nor a .npy or .npz array")


def _prepared(path: Path) -> ImageSource:
    image_set = open_image_set(path)
    train = image_set.indices("train")
    name = image_set.card["name"]
    return ImageSource(
        path, f"training images of the data set {name}", len(train), (), lambda at: image_set.images[train[at]]
    )


def _array(path: Path) -> ImageSource:
    array = open_array(path)
    return ImageSource(path, "array", array.count, array.conversions, array.read)


def _zip(path: Path, picture: Picture) -> ImageSource:
    try:
        archive, lock = zipfile.ZipFile(path), Lock()
    except (OSError, zipfile.BadZipFile) as damage:
        raise UserError(f"{path} is damaged: {damage}") from None
    members = sorted(PurePosixPath(info.filename) for info in archive.infolist() if not info.is_dir())

    def read(name: PurePosixPath) -> bytes:
        # One file position is shared by all threads that decode.
        with lock:
            return archive.read(name.as_posix())

    return _pictures(path, "zip of pictures", [name for name in members if is_picture(name)], read, picture)


def _pictures(
    path: Path,
    kind: str,
    names: list[PurePosixPath],
    read_bytes: Callable[[PurePosixPath], bytes],
    picture: Picture,
) -> ImageSource:
    if not names:
        raise UserError(f"{path} holds no pictures (.png, .jpg, .webp, ...)")

    def read_one(position: int) -> np.ndarray:
        name = names[position]
        try:
            return decode(read_bytes(name), picture)
        except (ValueError, OSError, RuntimeError, zipfile.BadZipFile, zlib.error) as damage:
            raise UserError(f"picture {name} of {path}: {damage}") from None

    first: list[tuple[PurePosixPath, tuple[int, ...]]] = []
    # Pillow lets go of the interpreter while it decodes, so threads are enough.
    decoders = ThreadPoolExecutor(min(8, os.cpu_count() or 1))

    def read(positions: np.ndarray) -> np.ndarray:
        pictures = list(decoders.map(read_one, positions.tolist()))
        for position, pixels in zip(positions.tolist(), pictures, strict=True):
            if not first:
                first.append((names[position], pixels.shape))
            name, shape = first[0]
            if pixels.shape != shape:
                raise UserError(
                    f"pictures of {path} differ in size: {name} is {_side(shape)}, {names[position]} is "
                    f"{_side(pixels.shape)}; make them alike, or give one size for all (--size)"
                )
        return np.stack(pictures)

    return ImageSource(path, kind, len(names), tuple(picture.describe()), read)


def _side(shape: tuple[int, ...]) -> str:
    return f"{shape[2]}x{shape[1]}"
