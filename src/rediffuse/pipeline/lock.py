"""A lock that a killed process cannot leave behind."""

import fcntl
import os
import sys
from pathlib import Path

from rediffuse.errors import UserError


def lock(path: Path, what: str, *, wait: bool = False) -> int:
    """Hold an exclusive lock for the life of this process; with `wait` after whoever holds it.

    Returns the descriptor, which the caller keeps open.

    Raises:
        UserError: another process holds it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        owner = os.read(descriptor, 100).decode(errors="replace").strip()
        if not wait:
            os.close(descriptor)
            raise UserError(f"{what} is already running here (process {owner}); wait for it or stop it") from None
        print(f"{what} is already running here (process {owner}): waiting for it", file=sys.stderr, flush=True)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, str(os.getpid()).encode(), 0)
    return descriptor
