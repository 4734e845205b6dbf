"""Folders and archives of pictures, looked at before they are read: what would fill the memory, and names that no page
or terminal can show as they are.
"""

import lzma
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from rediffuse.data.picture_files import SUFFIXES
from rediffuse.errors import UserError, shown
from rediffuse.files import files_below

#: Bytes of an encoded picture, and of what a tar says of a member beside its data.
MOST, MOST_SAID = 1 << 30, 1 << 20


class _Careful(tarfile.TarFile):
    """A tar whose headers are no longer than headers are: tarfile reads each whole, whatever length it states."""

    def __init__(self, name: str, mode: Any = "r", fileobj: Any = None, **options: Any) -> None:
        stream = Path(name).open("rb") if fileobj is None else fileobj  # noqa: SIM115 - as long as the tar is
        read = stream.read

        def bounded(size: int = -1) -> bytes:
            if not 0 <= size <= MOST_SAID:
                raise UserError(f"{name} has a header of {size:,} bytes: it is not to be trusted")
            return read(size)

        self._below = stream
        try:
            super().__init__(name, mode, _Stream(stream, bounded), **options)  # type: ignore[arg-type]
        except BaseException:
            stream.close()
            raise

    def close(self) -> None:
        """Close it, and the file that was opened for it."""
        super().close()
        self._below.close()


class _Stream:
    """A stream with another way to read it."""

    def __init__(self, stream: Any, read: Any) -> None:
        self.read, self.seek, self.tell, self.close = read, stream.seek, stream.tell, stream.close


def check_pictures(path: Path) -> None:
    """Look at the names and sizes of all files below a folder, in a zip or in a tar; nothing is unpacked.

    Raises:
        UserError: a picture would unpack to more than any has, or a name holds what does not print.
    """
    try:
        for name, size in _members(path):
            if not name.isprintable():
                raise UserError(f"{path} holds a name with signs that do not print, {shown(name)}: rename it")
            if size > MOST and PurePosixPath(name).suffix.lower() in SUFFIXES:
                raise UserError(
                    f"{path} holds {shown(name)} of {size:,} bytes, more than any picture: it is not to be trusted"
                )
    except (zipfile.BadZipFile, tarfile.TarError, lzma.LZMAError, zlib.error, OSError, EOFError):
        pass  # whoever reads it says what is damaged


def _members(path: Path) -> Iterator[tuple[str, int]]:
    if path.is_dir():
        yield from ((name, (path / name).stat().st_size) for name in files_below(path) if (path / name).is_file())
    elif zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            yield from ((member.filename, member.file_size) for member in archive.infolist())
    elif path.is_file():
        with _Careful.open(path) as tar:
            yield from ((member.name, member.size) for member in tar)
