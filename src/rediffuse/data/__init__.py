"""Data sources and the form data sets take on disk."""

from typing import Any


def __getattr__(name: str) -> Any:
    # Until stages/prepare.py imports from the modules themselves.
    from rediffuse.registry import load

    home = {"find_source": "registry", "load": "registry", "save_image_set": "image_set"}.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return load(f"rediffuse.data.{home}:{name}")
