"""How Snakemake is called, from DVC's stages and where a study is verified, and what is put right before it begins."""

import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import FrameType


def command(*targets: str, cores: str = "all") -> list[str]:
    """The command that makes targets, all at once, and says which jobs it does."""
    return [sys.executable, "-m", "snakemake", "--cores", cores, "--quiet", "rules", "--", *targets]


def with_a_cache(environment: Mapping[str, str]) -> dict[str, str]:
    """An environment with a place for Snakemake's cache where the home folder takes none."""
    cache = Path.home() / ".cache"
    with contextlib.suppress(OSError):
        cache.mkdir(parents=True, exist_ok=True)
    here = {} if os.access(cache, os.W_OK) else {"XDG_CACHE_HOME": str(Path(".snakemake/cache").resolve())}
    return {**here, **environment}


def answer_from_a_thread(number: int) -> None:
    """Have what answers a signal do so from a thread of its own.

    Snakemake's answer to SIGTERM takes a lock (of its scheduler, 9.27). Python answers between two statements of the
    main thread, which may hold that lock: the answer, and with it all of Snakemake, would wait for ever. Seen where the
    signal comes as a job ends, as it does when it is sent to all processes of a build.
    """
    answer = signal.getsignal(number)
    if not callable(answer):
        return

    def answered(number: int, frame: FrameType | None) -> None:
        threading.Thread(target=answer, args=(number, frame)).start()

    signal.signal(number, answered)


def date_back(paths: Iterable[Path]) -> None:
    """Date what was written in the future, by a clock that has been set back since, to now.

    No date counts here, but Snakemake takes what it has just made for older than such files, and deletes it.
    """
    now = time.time()
    for path in paths:
        with contextlib.suppress(OSError):  # as of one that is not there
            if path.stat().st_mtime > now:
                os.utime(path, (now, now))
