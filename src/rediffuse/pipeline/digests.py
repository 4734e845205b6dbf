"""Digests of files, computed once as long as a file stays as it is."""

import contextlib
import json
import stat
import time
from pathlib import Path
from typing import Any

from rediffuse.files import digest, files_below, sha256, write_atomically

#: A file that changed so recently might change again under the same time, as clocks of file systems tick slowly.
SETTLED_NS = 50_000_000


class Digests:
    """SHA-256 of files and folders, remembered by (size, times of modification and change, inode), so that nothing is
    read twice. No tool can set the time of change: a file given the size and date of another is read again.

    kept: whether what was learned is written down; a dry run writes nothing.
    """

    kept = True

    def __init__(self, root: Path, cache: Path = Path("state/digests")) -> None:
        self.root, self.cache = root, root / cache
        self.known: dict[str, list[Any]] = {}
        with contextlib.suppress(OSError, ValueError):
            # The first line is the digest of the rest: what was damaged is worth nothing.
            said, text = self.cache.read_text(encoding="utf-8").split("\n", 1)
            self.known = json.loads(text) if said == digest(text) else {}
        self.learned = False

    def of(self, path: Path) -> str | None:
        """The digest of `path` (relative to the root), None when there is nothing; of a folder, of all files in it."""
        whole = self.root / path
        try:
            status = whole.stat()
        except (OSError, ValueError):  # a damaged file may name what is no path at all
            return None
        if stat.S_ISDIR(status.st_mode):
            return digest({name: self.of(path / name) for name in files_below(whole)})
        stamp = [status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino]
        *seen, found = self.known.get(str(path), [None])
        if seen == stamp:
            return found
        try:
            found = sha256(whole) if stat.S_ISREG(status.st_mode) else None
        except OSError:
            found = None
        if found is None:
            return None
        if abs(time.time_ns() - status.st_ctime_ns) > SETTLED_NS:
            self.known[str(path)] = [*stamp, found]
            self.learned = True
        return found

    def save(self) -> None:
        """Keep what was learned; losing it only costs time."""
        if self.learned and self.kept:
            text = json.dumps(self.known, separators=(",", ":"))
            with contextlib.suppress(OSError):
                write_atomically(self.cache, f"{digest(text)}\n{text}")
