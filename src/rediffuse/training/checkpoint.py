"""Resume state: one file a stamp, whole or absent, that belongs to one trainer at a time."""

import contextlib
import fcntl
import os
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from rediffuse.files import remove

#: How many resume states of other stamps are kept beside that of a training.
OTHERS_KEPT = 2


@contextlib.contextmanager
def locked(state_dir: Path) -> Iterator[None]:
    """Hold `state_dir/lock` for the length of the block, waiting for whoever holds it.

    The lock is the kernel's (flock): it vanishes with its holder, however that died. A trainer started while an orphan
    of a killed pipeline still runs waits for it, and then goes on from what the orphan left.
    """
    path = state_dir / "lock"
    with contextlib.ExitStack() as stack:
        while True:
            state_dir.mkdir(parents=True, exist_ok=True)
            stream = stack.enter_context(path.open("a+"))
            try:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                stream.seek(0)
                holder = stream.read().strip() or "unknown"
                print(f"waiting for the trainer that holds {path} (process {holder})", file=sys.stderr, flush=True)
                fcntl.flock(stream, fcntl.LOCK_EX)
            # Whoever held it may have removed the folder: then this lock is on a file that nobody else can see.
            if path.exists() and path.samefile(f"/dev/fd/{stream.fileno()}"):
                break
        stream.truncate(0)
        stream.write(str(os.getpid()))
        stream.flush()
        yield


def name(stamp: str) -> str:
    """The file of the resume state of a stamp: each has its own, so that a setting changed and
    changed back loses none.
    """
    return f"checkpoint.{stamp[:16]}.pt"


def save(state_dir: Path, stamp: str, state: dict[str, Any]) -> None:
    """Replace the checkpoint of `stamp` by `state` (tensors, numbers, strings, and lists and dicts of them)."""
    # Through a stream, because given a path torch.save writes the file's name into the file.
    path = state_dir / name(stamp)
    temporary = path.with_suffix(".partial")
    with temporary.open("wb") as stream:
        torch.save({"stamp": stamp, "state": state}, stream)
        stream.flush()
        os.fsync(stream.fileno())
    temporary.replace(path)


def load(state_dir: Path, stamp: str) -> dict[str, Any] | None:
    """The state saved under the same stamp, or None; one that cannot be read is removed, with a line on stderr."""
    path = state_dir / name(stamp)
    if not path.exists():
        return None
    try:
        with zipfile.ZipFile(path) as whole:  # torch.load does not look at the checksums
            if (damaged := whole.testzip()) is not None:
                raise ValueError(damaged)
        content = torch.load(path, map_location="cpu", weights_only=True)
        if content["stamp"] == stamp:
            return content["state"]
        reason = "it belongs to another configuration"
    except Exception as error:  # torch.load raises a dozen kinds on damaged files
        reason = f"it cannot be read ({type(error).__name__})"
    discard(state_dir, stamp, reason)
    return None


def discard(state_dir: Path, stamp: str, reason: str) -> None:
    """Remove the checkpoint of a stamp and say why."""
    path = state_dir / name(stamp)
    print(f"discarding {path}: {reason}; training starts from the first step", file=sys.stderr, flush=True)
    remove(path)


def tidy(state_dir: Path, stamp: str) -> None:
    """Remove what killed writes left, and of the states of other stamps all but the newest: a setting that is changed
    back finds its own.
    """
    for path in (*state_dir.glob("checkpoint.*.partial"), *(state_dir / "snapshots").glob("*/.*")):
        remove(path)
    others = [path for path in state_dir.glob("checkpoint.*.pt") if path.name != name(stamp)]
    others.sort(key=lambda path: path.stat().st_mtime_ns, reverse=True)
    for path in others[OTHERS_KEPT:]:
        print(f"removing {path}: {OTHERS_KEPT} newer ones of other settings are kept", file=sys.stderr, flush=True)
        remove(path)
    kept = {name(stamp), *(path.name for path in others[:OTHERS_KEPT])}
    for folder in (state_dir / "snapshots").glob("*"):
        if name(folder.name) not in kept:
            remove(folder)
