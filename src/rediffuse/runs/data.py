"""The study's data section under the names that its source has for it."""

from dataclasses import fields
from pathlib import Path
from typing import Any

from rediffuse.config.sections import Data
from rediffuse.data.registry import find_source
from rediffuse.errors import UserError

# A study says `path` and `image_size`; each source has the option that its own users would look for.
_PATH_OPTIONS, _SIZE_OPTIONS = ("path", "archive", "folder"), ("size",)


def source_options(data: Data, root: Path) -> dict[str, Any]:
    """The study's data settings under the names of its source's options.

    Raises:
        UserError: the source has no such option.
    """
    known = {field.name for field in fields(find_source(data.source_name).options)}
    options: dict[str, Any] = {}
    for key, value, names in (("path", data.path, _PATH_OPTIONS), ("image_size", data.image_size, _SIZE_OPTIONS)):
        if value is None:
            continue
        found = [name for name in names if name in known]
        if not found:
            raise UserError(f"data.{key}: data source {data.source_name!r} takes none; leave it out")
        options[found[0]] = value
    return options
