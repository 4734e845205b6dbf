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


#: Instructions by which arithmetic libraries choose their code, the widest first: results differ in the last bits.
VECTORS = {"amx_tile": "AMX", "avx512_bf16": "AVX-512 BF16", "avx512f": "AVX-512", "avx2": "AVX2", "asimd": "NEON"}


def processor(described: str) -> str:
    """Name of the processor and its widest vector instructions, by the text of /proc/cpuinfo;
    "" where it tells none.
    """
    lines = [line.partition(":") for line in described.splitlines()]
    name = next((value.strip() for key, _, value in lines if key.strip() == "model name"), "")
    flags = next((value.split() for key, _, value in lines if key.strip() in ("flags", "Features")), [])
    widest = next((title for flag, title in VECTORS.items() if flag in flags), None)
    return f"{name} with {widest}" if name and widest else name


def machine(device: str, threads: int) -> dict[str, Any]:
    """What a time was taken on."""
    described = ""
    with contextlib.suppress(OSError):
        described = Path("/proc/cpuinfo").read_text()
    on = "cpu"
    if device == "cuda":
        on = importlib.import_module("torch").cuda.get_device_name()
    return {
        "cpu": processor(described) or platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "threads": threads,
        "device": on,
        "torch": version("torch"),
        "python": platform.python_version(),
        "platform": platform.platform(),
    }
