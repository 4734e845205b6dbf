"""A lock that a killed process cannot leave behind."""

import fcntl
import os
from pathlib import Path

from rediffuse.errors import UserError


def lock(path: Path, what: str) -> int:
    """Hold an exclusive lock for the life of this process.

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
        os.close(descriptor)
        raise UserError(f"{what} is already running here (process {owner}); wait for it or stop it") from None
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, str(os.getpid()).encode(), 0)
    return descriptor
