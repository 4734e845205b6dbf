"""How Snakemake is called: from DVC's stages, and where a study is verified."""

import contextlib
import os
import sys
from collections.abc import Mapping
from pathlib import Path


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
