"""Digests of files, computed once as long as a file stays as it is."""

from pathlib import Path
from typing import Any

from rediffuse.files import digest, files_below, read_json, sha256
from rediffuse.formats import write_json


class Digests:
    """SHA-256 of files and folders, remembered by size, times and inode, so that nothing is read twice.

    The time of change counts, too: the date of a file can be set back, and its content replaced in place.

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
            return digest({name: self.of(path / name) for name in files_below(whole)})
        stamp = [status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino]
        entry = self.known.get(str(path))
        if not isinstance(entry, list) or entry[:-1] != stamp:
            try:
                entry = self.known[str(path)] = [*stamp, sha256(whole)]
            except OSError:
                return None
            self.learned = True
        return entry[-1]

    def save(self) -> None:
        """Keep what was learned; losing it only costs time."""
        if self.learned and self.kept:
            write_json(self.cache, self.known)
