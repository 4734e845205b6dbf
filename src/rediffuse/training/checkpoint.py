"""Resume state: one file, whole or absent, that belongs to one trainer at a time."""

import contextlib
import fcntl
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

NAME = "checkpoint.pt"


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


def save(state_dir: Path, stamp: str, state: dict[str, Any]) -> None:
    """Replace the checkpoint by `state` (tensors, numbers, strings, and lists and dicts of them)."""
    # Through a stream, because given a path torch.save writes the file's name into the file.
    temporary = (state_dir / NAME).with_suffix(".partial")
    with temporary.open("wb") as stream:
        torch.save({"stamp": stamp, "state": state}, stream)
        stream.flush()
        os.fsync(stream.fileno())
    temporary.replace(state_dir / NAME)


def load(state_dir: Path, stamp: str) -> dict[str, Any] | None:
    """The state saved under the same stamp, or None.

    A checkpoint of another stamp or one that cannot be read is removed, with a line on stderr: training starts afresh.
    """
    path = state_dir / NAME
    if not path.exists():
        return None
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
        found, state = content["stamp"], content["state"]
    except Exception as error:  # torch.load raises a dozen kinds on damaged files
        reason = f"it cannot be read ({type(error).__name__})"
    else:
        if found == stamp:
            return state
        reason = "it belongs to another configuration, data set or version of the code"
    print(f"discarding {path}: {reason}; training starts from the first step", file=sys.stderr, flush=True)
    path.unlink()
    return None
