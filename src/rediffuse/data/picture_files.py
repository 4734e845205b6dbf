"""Where pictures lie, a folder, zip or tar, read in one way by all that takes pictures.

Nothing is unpacked to disk. Nothing is dropped or taken twice without a word: what is no picture is named in
`passed_over`, and a place that names a picture twice, by a link or as two members, is refused.
"""

import io
import lzma
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from threading import Lock

import numpy as np

from rediffuse.data.picture import Picture, decode
from rediffuse.errors import UserError
from rediffuse.files import files_below, kind_of_bytes, kind_of_file

SUFFIXES = {".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff", ".ppm", ".pgm", ".gif"}
_DAMAGE = (zipfile.BadZipFile, tarfile.TarError, lzma.LZMAError, zlib.error, OSError, EOFError, RuntimeError)


@dataclass(frozen=True, eq=False)
class PictureFiles:
    """The pictures of a place.

    kind: what it is, in words; names: in the order in which they are read fastest; passed_over: what else lies there,
    in words; read: name → encoded bytes, from any thread. rereads: whether going back reads it from its beginning.
    """

    path: Path
    kind: str
    names: tuple[PurePosixPath, ...]
    passed_over: tuple[str, ...]
    read: Callable[[PurePosixPath], bytes]
    rereads: bool = False

    def decode(self, name: PurePosixPath, picture: Picture, notes: list[str]) -> np.ndarray:
        """uint8 [C, H, W] of one picture; UserError naming it. notes: see `picture.decode`."""
        encoded = b""
        try:
            encoded = self.read(name)
            return decode(encoded, picture, notes)
        except (ValueError, MemoryError, *_DAMAGE) as damage:
            what = kind_of_bytes(encoded) if "no picture begins" in str(damage) else None
            raise UserError(f"picture {name} of {self.path}: {what or damage}") from None


def open_pictures(path: Path) -> PictureFiles:
    """The pictures below a folder, links followed, or in a zip or tar.
    Raises UserError saying what is wrong with it.
    """
    if not path.exists():
        raise UserError(f"{path} does not exist: name a folder, tar or zip of pictures")
    try:
        if path.is_dir():
            return _folder(path)
        if zipfile.is_zipfile(path):
            return _zip(path)
        if tarfile.is_tarfile(path):
            return _tar(path)
    except _DAMAGE as damage:
        raise UserError(f"{path} is damaged: {damage}") from None
    found = kind_of_file(path) or "it is another kind of file, or damaged"
    raise UserError(
        f"{path} is neither a folder nor a tar or zip archive of pictures, nor a .npy or .npz array: {found}"
    )


def by_name(names: Sequence[PurePosixPath]) -> list[int]:
    """The positions of names in their order: that of the characters of whole names."""
    return sorted(range(len(names)), key=lambda position: names[position].as_posix())


def _folder(path: Path) -> PictureFiles:
    names = [PurePosixPath(name) for name in files_below(path)]
    broken = next((name for name in names if _is_picture(name) and not (path / name).is_file()), None)
    if broken is not None:
        raise UserError(f"{path / broken} is no file, or a link to nothing: remove it")
    return _of(path, "folder of pictures", names, lambda name: (path / name).read_bytes())


def _zip(path: Path) -> PictureFiles:
    archive, lock = zipfile.ZipFile(path), Lock()
    members: dict[PurePosixPath, zipfile.ZipInfo] = {}
    for info in archive.infolist():
        name = _inside(path, info.filename)
        if info.is_dir() or _is_hidden(name):
            continue
        if stat.S_ISLNK(info.external_attr >> 16):
            raise UserError(f"{path} holds a link, {name}: make it again with what the link names (zip follows links)")
        if info.flag_bits & 1:
            raise UserError(f"{path} is encrypted: unpack it with its password, and name the folder")
        _check_new(path, members, name)
        members[name] = info

    def read(name: PurePosixPath) -> bytes:
        with lock:  # one file position is shared by all threads that decode
            return archive.read(members[name])

    return _of(path, "zip of pictures", list(members), read)


def _tar(path: Path) -> PictureFiles:
    archive = tarfile.open(path)  # noqa: SIM115 - it stays open for as long as its pictures are wanted
    lock = Lock()
    members: dict[PurePosixPath, tarfile.TarInfo] = {}
    for info in archive:
        name = _inside(path, info.name)
        if info.isdir() or _is_hidden(name):
            continue
        if info.issym() or info.islnk():
            raise UserError(
                f"{path} holds a link, {name}: make it again with tar's options --dereference --hard-dereference"
            )
        _check_new(path, members, name)
        members[name] = info

    def read(name: PurePosixPath) -> bytes:
        with lock:
            stream = archive.extractfile(members[name])
            if stream is None:
                raise OSError("it is no file")
            return stream.read()

    return _of(path, "tar of pictures", list(members), read, rereads=not isinstance(archive.fileobj, io.BufferedReader))


def _check_new(path: Path, members: Container[PurePosixPath], name: PurePosixPath) -> None:
    if name in members and _is_picture(name):
        raise UserError(f"{path} holds two members called {name}: make it again with each once")


def _of(
    path: Path,
    kind: str,
    names: list[PurePosixPath],
    read: Callable[[PurePosixPath], bytes],
    rereads: bool = False,
) -> PictureFiles:
    chosen = tuple(name for name in names if _is_picture(name))
    others = sorted(name.as_posix() for name in names if not _is_picture(name))
    shown = ", ".join(others[:3]) + ", ..." * (len(others) > 3)
    if not chosen:
        held = f"; it holds {shown}" if others else ""
        raise UserError(f"{path} holds no pictures (.png, .jpg, .webp, ...){held}")
    words = (f"passed over as no picture{'s' * (len(others) > 1)}: {len(others)} ({shown})",) if others else ()
    return PictureFiles(path, kind, chosen, words, read, rereads)


def _inside(path: Path, member: str) -> PurePosixPath:
    name = PurePosixPath(member.replace("\\", "/"))
    if name.is_absolute() or ".." in name.parts:
        raise UserError(f"{path} has a member that points outside it, {member!r}: it is not to be trusted")
    return name


def _is_picture(name: PurePosixPath) -> bool:
    return name.suffix.lower() in SUFFIXES


def _is_hidden(name: PurePosixPath) -> bool:
    """Whether a name is hidden, or in a Macintosh's folder of doubles."""
    return any(part.startswith(".") or part == "__MACOSX" for part in name.parts)
