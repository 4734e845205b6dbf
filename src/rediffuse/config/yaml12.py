"""YAML as DVC reads it (version 1.2): 1e-3 is a number, `no` is a word, a key stands once."""

import re
from pathlib import Path
from typing import Any

import yaml

from rediffuse.errors import UserError


class _Loader(yaml.SafeLoader):
    """SafeLoader with YAML 1.2's core schema for scalars, refusing repeated keys."""


_Loader.yaml_implicit_resolvers = {}
for _tag, _pattern, _first in (
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("int", r"[-+]?[0-9]+", "-+0123456789"),
    ("float", r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?", "-+.0123456789"),
    ("float", r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)", "-+."),
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("merge", r"<<", "<"),
):
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(f"^(?:{_pattern})$"), list(_first))


def _mapping(loader: _Loader, node: yaml.MappingNode) -> dict[str, Any]:
    seen: set[str] = set()
    for key_node, _ in node.value:
        if key_node.tag == "tag:yaml.org,2002:merge":
            continue
        key = key_node.value
        if not isinstance(key_node, yaml.ScalarNode) or key in seen:
            what = f"the key {key!r} stands twice" if isinstance(key, str) else "a key is not a word"
            raise yaml.constructor.ConstructorError(None, None, f"{what}; use each once", key_node.start_mark)
        seen.add(key)
    loader.flatten_mapping(node)
    return {str(k.value): loader.construct_object(v, deep=True) for k, v in node.value}


_Loader.add_constructor("tag:yaml.org,2002:map", _mapping)


def read_yaml(path: str | Path) -> dict[str, Any]:
    """The mapping in a YAML file.

    Raises:
        UserError: the file is absent, not text, not YAML or not a mapping; the message names file and line.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; name a study such as studies/digits.yaml") from None
    except IsADirectoryError:
        raise UserError(f"{path}: is a folder; name a study file in it") from None
    except (UnicodeDecodeError, PermissionError) as error:
        raise UserError(
            f"{path}: cannot be read as text ({error.__class__.__name__}); use a YAML file in UTF-8"
        ) from None
    try:
        value = yaml.load(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"{path}:{mark.line + 1}:{mark.column + 1}" if mark else str(path)
        raise UserError(f"{where}: not valid YAML: {error.problem or error.context}") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise UserError(f"{path}: not valid YAML: {str(error).splitlines()[0]}") from None
    if not isinstance(value, dict):
        raise UserError(f"{path}: holds {_kind(value)}; a study is a mapping of keys such as study, title, runs")
    return value


def _kind(value: Any) -> str:
    return "nothing" if value is None else "a list" if isinstance(value, list) else "a single value"
