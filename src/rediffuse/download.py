"""Downloads that are verified, resumed where they broke off, and tried from several mirrors."""

import hashlib
import http.client
import os
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from rediffuse.errors import UserError

#: Called with (done, total) while something long goes on; total is 0 while unknown.
OnProgress = Callable[[int, int], None]

_CHUNK = 1 << 20
#: The most bytes that are taken of a file whose size is not published: more would fill the disk.
_MOST = 1 << 30
#: Bytes a second below which a mirror is left, and how often one that breaks off is asked for the rest.
_SLOWEST, _CONTINUED = 256, 100


class _TooSlow(OSError):
    """A mirror that keeps a transfer alive and hardly moves it."""


def _opener() -> urllib.request.OpenerDirector:
    """Follows addresses and redirections to the web alone: urllib's own would also open ftp, files and data."""
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler,
        urllib.request.HTTPHandler,
        urllib.request.HTTPSHandler,
        urllib.request.HTTPDefaultErrorHandler,
        urllib.request.HTTPRedirectHandler,
        urllib.request.HTTPErrorProcessor,
        urllib.request.UnknownHandler,
    ):
        opener.add_handler(handler())
    return opener


@dataclass(frozen=True)
class RemoteFile:
    """A published file: its name, the addresses that hold it (tried in order), and the checksum that proves it.

    algorithm: a name that hashlib knows; size in bytes, None where it is not published.
    """

    name: str
    urls: tuple[str, ...]
    algorithm: str
    checksum: str
    size: int | None = None


def checksum(path: str | Path, algorithm: str) -> str:
    """Hexadecimal digest of a file."""
    with Path(path).open("rb") as stream:
        return hashlib.file_digest(stream, algorithm).hexdigest()


def verify(path: str | Path, file: RemoteFile) -> str | None:
    """What is wrong with the local copy `path` of `file` in a few words, or None if it is whole."""
    size = Path(path).stat().st_size
    if file.size is not None and size != file.size:
        return f"it has {size:,} bytes, not {file.size:,}"
    found = checksum(path, file.algorithm)
    return None if found == file.checksum else f"its {file.algorithm} is {found}, not {file.checksum}"


def obtain(file: RemoteFile, local: Path | None, folder: Path, progress: OnProgress | None) -> Path:
    """A verified copy of `file`: the user's `local` one if that is named, else one in `folder`, fetched if absent."""
    if local is None:
        return fetch(file, folder, progress)
    if not local.is_file():
        raise UserError(f"{local} does not exist: name a copy of {file.name}, or none to fetch it")
    wrong = verify(local, file)
    if wrong is not None:
        raise UserError(f"{local} is not {file.name}: {wrong}")
    return local


def fetch(file: RemoteFile, folder: str | Path, progress: OnProgress | None = None, *, timeout_s: float = 30.0) -> Path:
    """Give the path of a verified copy of `file` in `folder`, fetching what is missing.

    Bytes go to <name>.part, which a later call continues; it takes the name only when its checksum agrees, whichever
    host they came from. A mirror that fails, stalls or crawls for `timeout_s` or serves other bytes is left for the
    next. If none serves, a `UserError` says what each did and how to provide the file by hand. `progress(done, total)`
    counts bytes; total is 0 while unknown.
    """
    folder = Path(folder)
    path = folder / file.name
    if path.is_file() and verify(path, file) is None:
        return path
    folder.mkdir(parents=True, exist_ok=True)
    part = folder / f"{file.name}.part"
    failures = []
    for url in file.urls:
        failure = _fetch_from(url, part, file, progress, timeout_s)
        if failure is None:
            part.replace(path)
            return path
        failures.append(f"{url}: {failure}")
    raise UserError(
        f"cannot fetch {file.name}: check the network, or put the file at {path} by hand ({'; '.join(failures)})"
    )


def _fetch_from(url: str, part: Path, file: RemoteFile, progress: OnProgress | None, timeout_s: float) -> str | None:
    """Complete `part` from one address; None when it is whole and verified, else why not.

    A transfer that breaks off after bringing something is continued at once. Bytes that fail the checksum are thrown
    away, and fetched once more if some of them were left from an earlier attempt.
    """
    continued = 0
    while True:
        before = _size(part)
        try:
            _continue_transfer(url, part, file, progress, timeout_s)
        except (OSError, http.client.HTTPException, ValueError) as failure:
            if _size(part) > before and continued < _CONTINUED and not isinstance(failure, _TooSlow):
                continued += 1
                continue
            return str(failure) or type(failure).__name__
        wrong = verify(part, file)
        if wrong is None:
            return None
        part.unlink()
        if before == 0:
            return wrong


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _continue_transfer(url: str, part: Path, file: RemoteFile, progress: OnProgress | None, timeout_s: float) -> None:
    """Append what is missing of `part`; raises OSError or HTTPException when the transfer fails or breaks off."""
    if not url.startswith(("http://", "https://")):
        raise ValueError("only http and https addresses are fetched")
    have, most = _size(part), file.size or _MOST
    if file.size is not None and have >= file.size:
        return
    request = urllib.request.Request(url, headers={"User-Agent": "rediffuse"})
    if have:
        request.add_header("Range", f"bytes={have}-")
    try:
        response = _opener().open(request, timeout=timeout_s)
    except urllib.error.HTTPError as error:
        if error.code == 416 and have:
            # Nothing lies beyond what we have: it is whole, or not this file at all. The checksum tells.
            return
        raise
    with response:
        resumes = response.status == 206 and response.headers.get("Content-Range", "").startswith(f"bytes {have}-")
        have = have if resumes else 0
        length = response.headers.get("Content-Length")
        total = have + int(length) if length is not None else (file.size or 0)
        with part.open("ab" if resumes else "wb") as sink:
            since, then = time.monotonic(), have
            while chunk := response.read1(_CHUNK):  # what there is: `read` would wait for all of it
                have += len(chunk)
                if have > most:
                    raise OSError(f"it sends more than the {most:,} bytes of the file")
                sink.write(chunk)
                if (waited := time.monotonic() - since) > timeout_s:
                    if have - then < _SLOWEST * waited:
                        raise _TooSlow(f"it sends less than {_SLOWEST} bytes a second")
                    since, then = time.monotonic(), have
                if progress is not None:
                    progress(have, total)
            sink.flush()
            os.fsync(sink.fileno())
        if have < total:
            raise OSError(f"the transfer broke off after {have:,} of {total:,} bytes")
