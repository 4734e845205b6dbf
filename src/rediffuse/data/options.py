"""Options of a data source: a frozen dataclass, or a mapping that is checked and turned into one."""

import types
import typing
from collections.abc import Mapping
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

from rediffuse.errors import UserError


def read_options(source: str, kind: type, given: Any) -> Any:
    """Turn `given` (None, a mapping, or already a `kind`) into the dataclass `kind`.

    An unknown key, a missing one or a value of the wrong type raises a `UserError` that names it and what is allowed.
    """
    if isinstance(given, kind):
        return given
    if given is None:
        given = {}
    if not isinstance(given, Mapping):
        raise UserError(f"options of data source {source!r} must be a mapping, not {type(given).__name__}")
    known = {field.name: field for field in fields(kind)}
    hints = typing.get_type_hints(kind)
    values = {}
    for key, value in given.items():
        if key not in known:
            allowed = ", ".join(known) or "none"
            raise UserError(f"data source {source!r} has no option {key!r}; its options: {allowed}")
        values[key] = _checked(source, key, value, hints[key])
    for name, field in known.items():
        if name not in values and field.default is MISSING and field.default_factory is MISSING:
            raise UserError(f"data source {source!r} needs the option {name!r}")
    return kind(**values)


def _checked(source: str, key: str, value: Any, hint: Any) -> Any:
    alternatives = typing.get_args(hint) if typing.get_origin(hint) in (typing.Union, types.UnionType) else (hint,)
    for alternative in alternatives:
        if alternative is type(None):
            if value is None:
                return None
        elif alternative is Path:
            if isinstance(value, (str, Path)):
                return Path(value)
        elif typing.get_origin(alternative) is tuple:
            if isinstance(value, (list, tuple)) and all(isinstance(item, str) for item in value):
                return tuple(value)
        elif typing.get_origin(alternative) is typing.Literal:
            if value in typing.get_args(alternative):
                return value
        elif alternative is float:
            if isinstance(value, (int, float)) and not isinstance(value, bool):
                return float(value)
        elif isinstance(value, alternative) and (alternative is bool or not isinstance(value, bool)):
            return value
    wanted = " or ".join(_describe(alternative) for alternative in alternatives)
    raise UserError(f"option {key!r} of data source {source!r} must be {wanted}, not {value!r}")


def _describe(alternative: Any) -> str:
    if alternative is type(None):
        return "null"
    if typing.get_origin(alternative) is typing.Literal:
        return "one of " + ", ".join(str(value) for value in typing.get_args(alternative))
    if typing.get_origin(alternative) is tuple:
        return "a list of strings"
    if alternative is Path:
        return "a path"
    names = {int: "a whole number", float: "a number", bool: "true or false", str: "a string"}
    return names.get(alternative, str(alternative))
