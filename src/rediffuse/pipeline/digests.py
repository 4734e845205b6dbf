"""Digests of files, computed once as long as a file stays as it is."""

import os
from pathlib import Path
from typing import Any

from rediffuse.files import digest, read_json, sha256
from rediffuse.formats import write_json


class Digests:
    """SHA-256 of files and folders, remembered by (size, modification time, inode) so that nothing is read twice.

    kept: whether what was learned is written down; a dry run writes nothing.
    """

    kept = True

    def __init__(self, root: Path, cache: Path = Path("state/digests.json")) -> None:
        self.root, self.cache = root, root / cache
        try:
            self.known: dict[str, list[Any]] = dict(read_json(self.cache))
        except (OSError, ValueError, TypeError):
            self.known = {}
        self.learned = False

    def of(self, path: Path) -> str | None:
        """The digest of `path` (relative to the root), None when there is nothing; of a folder, of all files in it."""
        whole = self.root / path
        try:
            status = whole.stat()
        except OSError:
            return None
        if whole.is_dir():
            return digest({name: self.of(path / name) for name in sorted(_files(whole))})
        stamp = [status.st_size, status.st_mtime_ns, status.st_ino]
        entry = self.known.get(str(path))
        if not isinstance(entry, list) or entry[:3] != stamp or len(entry) != 4:
            try:
                entry = self.known[str(path)] = [*stamp, sha256(whole)]
            except OSError:
                return None
            self.learned = True
        return entry[3]

    def save(self) -> None:
        """Keep what was learned; losing it only costs time."""
        if self.learned and self.kept:
            write_json(self.cache, self.known)


def _files(folder: Path) -> list[str]:
    """Every file below a folder, relative to it; hidden ones are nobody's result."""
    found = []
    for place, folders, names in os.walk(folder, followlinks=True):
        folders[:] = [name for name in folders if not name.startswith(".")]
        inside = os.path.relpath(place, folder)
        found += [os.path.normpath(os.path.join(inside, name)) for name in names if not name.startswith(".")]
    return found
