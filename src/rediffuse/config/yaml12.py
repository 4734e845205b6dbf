"""YAML as DVC reads it (version 1.2): 1e-3 is a number, `no` is a word, a key stands once. Files of any origin are read
in bounded time: neither depth nor aliases nor tags of other languages are followed far.
"""

import re
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml
from yaml.composer import ComposerError
from yaml.constructor import ConstructorError

from rediffuse.errors import UserError, shown

#: A study is a page or two: more bytes, more depth, or more values once aliases are unfolded, are no study.
MOST_BYTES, DEEPEST, MOST_VALUES = 10**6, 20, 10**5
CORE = "tag:yaml.org,2002:"
MERGE = f"{CORE}merge"
#: The scalars of YAML 1.2's core schema: pattern, letters that it may begin with, conversion. What fits none is text.
SCALARS: dict[str, tuple[str, list[str], Callable[[str], Any]]] = {
    "bool": ("true|True|TRUE|false|False|FALSE", list("tTfF"), lambda text: text.lower() == "true"),
    "int": ("[-+]?[0-9]{1,40}", list("-+0123456789"), int),
    "float": (
        r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)",
        list("-+.0123456789"),
        lambda text: float(text.lower().replace(".inf", "inf").replace(".nan", "nan")),
    ),
    "null": ("~|null|Null|NULL|", ["~", "n", "N", ""], lambda text: None),
}


class _Loader(yaml.SafeLoader):
    """SafeLoader with the core schema for scalars, refusing repeated keys, every other tag, and what has no end."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._depth = 0
        self._values: dict[yaml.Node, int] = {}

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        """A node with all that is in it, counted as often as aliases repeat it."""
        mark = self.peek_event().start_mark
        if self._depth > DEEPEST:
            raise ComposerError(None, None, f"more than {DEEPEST} levels deep; a study has 6", mark)
        alias = self.check_event(yaml.AliasEvent)
        self._depth += 1
        node = super().compose_node(parent, index)
        self._depth -= 1
        if node is None or (alias and node not in self._values):
            raise ComposerError(None, None, "an anchor stands within itself", mark)
        parts = [] if isinstance(node.value, str) else node.value
        inside = [part for item in parts for part in (item if isinstance(item, tuple) else (item,))]
        self._values[node] = 1 + sum(self._values[part] for part in inside)
        if self._values[node] > MOST_VALUES:
            raise ComposerError(None, None, f"more than {MOST_VALUES:,} values, aliases unfolded", mark)
        return node


def _refuse(node: yaml.Node, why: str) -> ConstructorError:
    return ConstructorError(None, None, why, node.start_mark)


def _scalar(kind: str) -> Callable[[_Loader, yaml.Node], Any]:
    pattern, _, convert = SCALARS[kind]

    def construct(loader: _Loader, node: yaml.Node) -> Any:
        if not isinstance(node, yaml.ScalarNode) or re.fullmatch(pattern, node.value) is None:
            raise _refuse(node, f"{shown(node.value)} is no {kind}")
        return convert(node.value)

    return construct


def _text(loader: _Loader, node: yaml.ScalarNode) -> str:
    text = loader.construct_scalar(node)
    if not text.isascii() and any("\ud800" <= letter <= "\udfff" for letter in text):
        raise _refuse(node, f"{shown(text)} holds half of a character")
    return text


def _mapping(loader: _Loader, node: yaml.Node) -> dict[str, Any]:
    if not isinstance(node, yaml.MappingNode):
        raise _refuse(node, f"{shown(node.value)} is no mapping")
    seen: set[str] = set()
    for key, _ in node.value:
        if key.tag == MERGE:
            continue
        if not isinstance(key, yaml.ScalarNode):
            raise _refuse(key, "a key is not a word")
        if key.tag != f"{CORE}str":
            raise _refuse(key, f"the key {shown(key.value)} is not text; put it in quotes")
        if key.value in seen:
            raise _refuse(key, f"the key {shown(key.value)} stands twice; use each once")
        seen.add(key.value)
    loader.flatten_mapping(node)
    return {loader.construct_object(key): loader.construct_object(value, deep=True) for key, value in node.value}


def _list(loader: _Loader, node: Any) -> list[Any]:
    return loader.construct_sequence(node, deep=True)


def _other(loader: _Loader, node: yaml.Node) -> None:
    raise _refuse(node, f"the tag {shown(node.tag.replace(CORE, '!!'))} is not for studies; leave it out")


_Loader.yaml_implicit_resolvers, _Loader.yaml_constructors = {}, {}
for _kind, (_pattern, _first, _) in SCALARS.items():
    _Loader.add_implicit_resolver(f"{CORE}{_kind}", re.compile(f"^(?:{_pattern})$"), _first)
    _Loader.add_constructor(f"{CORE}{_kind}", _scalar(_kind))
_Loader.add_implicit_resolver(MERGE, re.compile("^(?:<<)$"), ["<"])
_Loader.add_constructor(f"{CORE}str", _text)
_Loader.add_constructor(f"{CORE}map", _mapping)
_Loader.add_constructor(f"{CORE}seq", _list)
_Loader.add_constructor(None, _other)


def read_yaml(path: str | Path) -> dict[str, Any]:
    """The mapping in a YAML file.

    Raises:
        UserError: the file is absent, not text, not YAML or not a mapping; the message names file and line.
    """
    text = _read(Path(path))
    try:
        value = yaml.load(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"{path}:{mark.line + 1}:{mark.column + 1}" if mark else str(path)
        raise UserError(f"{where}: not valid YAML: {', '.join(filter(None, (error.context, error.problem)))}") from None
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise UserError(f"{path}:{line}: not valid YAML: U+{error.character:04X} is no letter of a text") from None
    except (yaml.YAMLError, ValueError) as error:
        raise UserError(f"{path}: not valid YAML: {error}") from None
    if not isinstance(value, dict):
        what = "nothing" if value is None else "a list" if isinstance(value, list) else "a single value"
        raise UserError(f"{path}: holds {what}; a study is a mapping of keys such as study, title, runs")
    return value


def _read(path: Path) -> str:
    try:
        status = path.stat()
        if stat.S_ISDIR(status.st_mode):
            raise UserError(f"{path}: is a folder; name a study file in it")
        if not stat.S_ISREG(status.st_mode):
            raise UserError(f"{path}: is no ordinary file; name a study file")
        if status.st_size > MOST_BYTES:
            raise UserError(f"{path}: holds {status.st_size:,} bytes; a study has at most {MOST_BYTES:,}")
        return path.read_bytes().decode()
    except (FileNotFoundError, NotADirectoryError):
        raise UserError(f"{path}: no such file; {where_to_go(path)}") from None
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: byte {error.start} is not text in UTF-8; save the study in that encoding") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); name a study file") from None


def where_to_go(path: Path) -> str:
    """What to do where a study is not found: verbs work in the project's folder, not below it or elsewhere."""
    here = Path.cwd()
    home = next((folder for folder in here.parents if (folder / "params.yaml").is_file()), None)
    if path.is_absolute() or (here / "params.yaml").is_file():
        return "name a study such as studies/digits.yaml"
    return f"go to {home} first" if home else "go to the project's folder first, or name a study file"
