"""A section of a study held against its class: the first mistake in one line that names its key."""

import difflib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from rediffuse.errors import UserError, one_of, shown
from rediffuse.options import in_words

Model = TypeVar("Model", bound=BaseModel)


def validate(model: type[Model], raw: Any, path: str | Path, where: tuple[str, ...]) -> Model:
    """A section of the file `path`, whose place in it is `where`.

    Raises:
        UserError: `FILE: key: what is wrong; what would be right`, for the first mistake found.
    """
    # Strict JSON validation: "3" is no number and true is no count, but a list may fill a tuple.
    try:
        taken = model.model_validate_json(json.dumps(raw), strict=True)
    except ValidationError as error:
        # A misspelt key also leaves the right one missing: name the misspelling.
        errors = sorted(error.errors(include_url=False), key=lambda e: e["type"] != "extra_forbidden")
        more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
        raise UserError(f"{path}: {_line(model, errors[0], where)}{more}") from None
    except (TypeError, ValueError) as error:
        raise UserError(f"{path}: {'.'.join(where) or 'study'}: {error}") from None
    for place, given, number in _turned(raw, taken):
        raise UserError(f"{path}: {'.'.join((*where, *place))}: {given} is not allowed; use a number such as {number}")
    return taken


def _turned(raw: Any, taken: Any) -> Iterator[tuple[tuple[str, ...], Any, int]]:
    """Where true, false or 1.0 was taken for a choice of that number: to Python they are the same."""
    if isinstance(taken, int) and type(taken) is not type(raw):
        yield (), raw, taken
    elif isinstance(raw, list) and isinstance(taken, tuple):
        for index, (item, found) in enumerate(zip(raw, taken, strict=True)):
            yield from (((str(index), *place), *rest) for place, *rest in _turned(item, found))
    elif isinstance(raw, dict):
        for key, item in raw.items():
            found = taken.get(key) if isinstance(taken, dict) else getattr(taken, key)
            yield from (((key, *place), *rest) for place, *rest in _turned(item, found))


def _line(model: type[BaseModel], error: Any, where: tuple[str, ...]) -> str:
    location = [*where, *(_part(str(part)) for part in error["loc"] if part != "[key]")]
    kind, context = error["type"], error.get("ctx", {})
    key = ".".join(location) or "study"
    if kind == "extra_forbidden":
        allowed = _keys_at(model, [str(part) for part in error["loc"][:-1]])
        close = difflib.get_close_matches(str(error["loc"][-1]), allowed, n=1)
        hint = f"did you mean {close[0]!r}?" if close else one_of(error["loc"][-1], allowed)
        return f"{key}: unknown key; {hint}"
    if kind == "missing":
        return f"{key}: is missing; give it"
    if kind == "value_error":
        message = str(context["error"])
        # A message that begins with a key stands at that key, any other at the place itself.
        joint = "." if re.match(r"[\w.-]+: ", message) else ": "
        return f"{key}{joint}{message}" if location else message
    given = error["input"]
    it = shown(given)
    if kind == "literal_error":
        close = difflib.get_close_matches(
            str(given), [part.strip("'") for part in context["expected"].replace(" or ", ", ").split(", ")], n=1
        )
        hint = f" (did you mean {close[0]!r}?)" if close else ""
        return f"{key}: {it} is not allowed; use {context['expected']}{hint}"
    if kind == "string_pattern_mismatch":
        return f"{key}: {it} is not a name; use lower-case letters, digits and hyphens"
    if kind == "model_type":
        return f"{key}: {it} is not allowed; it should be a mapping of keys"
    return f"{key}: {it} is not allowed; {in_words(error['msg'])}"


def _part(key: str) -> str:
    """A key as it stands in the study, in quotes where it is no word."""
    return key if re.fullmatch(r"[\w-]{1,60}", key) else shown(key)


def _keys_at(model: type[BaseModel], location: list[str]) -> list[str]:
    """The keys allowed at a place, found by walking the models along `location`."""
    current: Any = model
    for part in location:
        fields = getattr(current, "model_fields", None)
        annotation = fields[part].annotation if fields is not None and part in fields else None
        if annotation is None:
            continue  # a key of a mapping or an index: stays with the model of its values
        models = list(models_in(annotation))
        current = models[0] if models else current
    return list(getattr(current, "model_fields", {}))


def models_in(annotation: Any) -> list[type[BaseModel]]:
    """The classes of options that an annotation names."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for part in getattr(annotation, "__args__", ()) for model in models_in(part)]
