"""What a study may say, written from the models themselves; and settings as lines."""

import json
from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from rediffuse.config.load import _models_in
from rediffuse.config.study import Study
from rediffuse.models.registry import MODELS


def json_schema() -> str:
    """JSON schema of a study, for editors."""
    return json.dumps(Study.model_json_schema(), indent=2, ensure_ascii=False)


def reference_page() -> str:
    """Markdown page with every key, its meaning, its type and its default."""
    lines = [
        "# What a study may say",
        "",
        "Written by `rediffuse schema --markdown` from the models in `src/rediffuse/config`; a test keeps it current.",
        "A run is a set of overrides on `defaults`: mappings merge key by key, lists and `samplers` are replaced whole.",
    ]
    sections = [*_sections(Study, "")]
    for name, kind in MODELS.items():
        if kind.one_pass:
            sections += [
                (kind.network_options, f"runs.<name>.network of {name}"),
                (kind.training_options, f"runs.<name>.training of {name}"),
            ]
    for model, where in sections:
        lines += ["", f"## {where or 'Top level'}", "", (model.__doc__ or "").strip(), ""]
        lines += ["| key | meaning | default |", "| --- | --- | --- |"]
        for name, field in model.model_fields.items():
            default = field.get_default(call_default_factory=True)
            if default is PydanticUndefined:
                shown = "required"
            elif isinstance(default, BaseModel) or (isinstance(default, dict) and default):
                shown = "see below"
            else:
                shown = f"`{json.dumps(default, ensure_ascii=False)}`"
            choices = getattr(field.annotation, "__args__", ())
            allowed = f" ({', '.join(choices)})" if choices and all(isinstance(c, str) for c in choices) else ""
            lines.append(f"| `{name}` | {field.description}{allowed} | {shown} |")
    return "\n".join(lines)


def _sections(model: type[BaseModel], where: str) -> Iterator[tuple[type[BaseModel], str]]:
    yield model, where
    for name, field in model.model_fields.items():
        for inner in _models_in(field.annotation):
            keyed = f"{name}.<name>" if getattr(field.annotation, "__origin__", None) is dict else name
            keyed = f"{name}[]" if getattr(field.annotation, "__origin__", None) is tuple else keyed
            yield from _sections(inner, f"{where}.{keyed}" if where else keyed)


def flatten(value: dict[str, Any], prefix: str = "") -> Iterator[str]:
    """`section.key: value` lines of a nested mapping."""
    for key, inner in value.items():
        if isinstance(inner, dict):
            yield from flatten(inner, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}: {json.dumps(inner, ensure_ascii=False)}"
