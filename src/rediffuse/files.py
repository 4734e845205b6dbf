"""Files and folders that are either whole or absent: write to a temporary name, fsync, rename."""

import contextlib
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rediffuse.errors import UserError


@contextlib.contextmanager
def atomic_path(path: str | Path, *, lasting: bool = True) -> Iterator[Path]:
    """Yield a temporary path beside `path`; when the block ends well, fsync it and rename it to `path`.

    lasting: False leaves out fsync, which takes milliseconds: after a loss of power the file may be empty.

    The temporary file keeps the suffix of `path`, because writers such as `numpy.save` choose a format by it.
    If the block raises, the temporary file is removed and `path` stays as it was.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.stem}-", suffix=path.suffix)
    except OSError as error:  # whose own name nobody knows
        raise OSError(error.errno, error.strerror, str(path)) from None
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        # mkstemp makes files private; results are meant to be read by everyone the umask allows.
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)
        if lasting:
            with temporary.open("rb") as stream:
                os.fsync(stream.fileno())
        temporary.replace(path)
        if lasting:
            _sync_folder(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def atomic_folder(path: str | Path) -> Iterator[Path]:
    """Yield a new folder beside `path`; when the block ends well, rename it to `path`, which may be an empty folder.

    If the block raises, the new folder is removed and nothing is at `path`.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name[:40]}-"))
    try:
        yield temporary
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o777 & ~umask)
        temporary.replace(path)
        _sync_folder(path.parent)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def why_not_writable(path: str | Path) -> str | None:
    """Why nothing could be made at `path`, or None: found without making anything, before long work is done."""
    path = Path(path).absolute()
    try:
        above = next(place for place in (*path.parents, path) if place.exists())
        if len(path.name.encode()) > os.pathconf(above, "PC_NAME_MAX") - 60:
            return "its name is too long"
    except (OSError, ValueError) as error:
        return getattr(error, "strerror", None) or str(error)
    if not above.is_dir():
        return f"{above} is a file"
    return None if os.access(above, os.W_OK | os.X_OK) else f"{above} cannot be written"


def _sync_folder(folder: Path) -> None:
    """Make a rename itself durable (a no-op where folders cannot be opened)."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def write_atomically(path: str | Path, content: bytes | str, *, lasting: bool = True) -> None:
    """Write `content` (text as UTF-8) to `path`, whole or not at all (`lasting`: see `atomic_path`)."""
    with atomic_path(path, lasting=lasting) as temporary:
        temporary.write_bytes(content.encode() if isinstance(content, str) else content)


def files_below(folder: Path) -> list[str]:
    """Every file below a folder, relative to it and sorted; links are followed, what is hidden is left alone.

    Raises:
        UserError: a folder cannot be listed, or a link leads to a folder or file that is there already: it would count
            twice, or never end.
    """
    found: list[str] = []
    links: list[str] = []
    seen: dict[tuple[int, int], str] = {}

    def list_one(inside: str) -> None:
        _once(folder, seen, inside)
        with os.scandir(folder / inside) as listed:
            entries = sorted(listed, key=lambda entry: entry.name)
        for entry in entries:
            name = f"{inside}/{entry.name}" if inside else entry.name
            if entry.name.startswith(".") or entry.name == "__MACOSX":
                continue
            if entry.is_dir():
                list_one(name)
                continue
            found.append(name)
            if entry.is_symlink() and entry.is_file():
                links.append(name)

    try:
        list_one("")
        if links:
            # Two names of one file that are no links are copies to their owner.
            seen = {_identity(folder / name): name for name in found if not (folder / name).is_symlink()}
        for name in links:
            _once(folder, seen, name)
    except OSError as error:
        raise UserError(f"{error.filename or folder} cannot be read: {error.strerror or error}") from None
    return sorted(found)


def _identity(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_dev, status.st_ino


def _once(folder: Path, seen: dict[tuple[int, int], str], name: str) -> None:
    identity = _identity(folder / name)
    if identity in seen:
        raise UserError(
            f"{folder / seen[identity]} and {folder / name} are the same by a link: its files would count twice; "
            "remove one"
        )
    seen[identity] = name


def remove(path: str | Path) -> None:
    """Delete a file, a link or a whole folder; nothing where there is none."""
    path = Path(path)
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def read_json(path: str | Path) -> Any:
    """Read a JSON file."""
    return json.loads(Path(path).read_text(encoding="utf-8"))


def sha256(path: str | Path) -> str:
    """Hexadecimal SHA-256 of a file's bytes."""
    with Path(path).open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def digest(value: Any) -> str:
    """Hexadecimal SHA-256 of a JSON-serialisable value in canonical form (sorted keys, no spaces)."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def kind_of_file(path: str | Path) -> str | None:
    """In words what a file holds that is not what its name says; None where its first bytes do not tell."""
    with Path(path).open("rb") as stream:
        start = stream.read(200)
    if start.startswith(_PICTURES):
        return "it is a single picture, where a folder or archive of them is wanted"
    return kind_of_bytes(start)


def kind_of_bytes(start: bytes) -> str | None:
    """The same of the first bytes of a file."""
    start = start[:200]
    for beginning, words in _KINDS.items():
        if start.lower().startswith(beginning):
            return words
    if not start:
        return "it is empty (0 bytes)"
    try:
        text = start[:40].decode("ascii")
    except ValueError:
        return None
    return f"it is text: {text!r}" if text.isprintable() or "\n" in text else None


_PICTURES = (b"\x89PNG", b"\xff\xd8\xff")
_KINDS = {
    b"version https://git-lfs": "it is a pointer of Git LFS, not the file itself (`git lfs pull` fetches it)",
    b"<!doctype html": "it is a web page, not the file itself",
    b"<html": "it is a web page, not the file itself",
    b"rar!": "it is a RAR archive: unpack it and name the folder",
    b"7z\xbc\xaf": "it is a 7z archive: unpack it and name the folder",
    b"\x89hdf": "it is an HDF5 file: save its images as one uint8 array in .npy",
    b"par1": "it is a Parquet file: save its images as pictures, or as one uint8 array in .npy",
    b"\x93numpy": "it is one array, which should end in .npy",
    b"\x80": "it is a pickle of Python objects, which is never loaded, as that would run its code",
}
