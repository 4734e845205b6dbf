"""What a time was taken on, and the versions of what computes."""

import contextlib
import importlib
import os
import platform
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

PACKAGES = ("torch", "numpy", "scipy", "scikit-learn", "rediffuse")


def environment() -> dict[str, str]:
    """Versions of what computes."""
    versions = {}
    for name in PACKAGES:
        with contextlib.suppress(PackageNotFoundError):
            versions[name] = version(name)
    return {"python": platform.python_version(), "system": f"{sys.platform} {platform.machine()}", **versions}


def machine(device: str, threads: int) -> dict[str, Any]:
    """What a time was taken on."""
    processor = platform.processor() or platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        processor = next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        pass
    on = "cpu"
    if device == "cuda":
        on = importlib.import_module("torch").cuda.get_device_name()
    return {
        "cpu": processor,
        "cores": os.cpu_count(),
        "threads": threads,
        "device": on,
        "torch": version("torch"),
        "python": platform.python_version(),
        "platform": platform.platform(),
    }
