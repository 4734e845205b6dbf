"""The digest of the code that a job runs: the definitions it can reach, without comments, docstrings or layout.

A module is read as its top-level definitions (functions, classes, assigned names). Starting from a job's own function,
every name that a definition uses is followed to the definition it stands for, through imports, in this package. So an
import nobody uses, a new helper, or a constant of pictures concerns only the jobs that reach it.

Three things are left out because they decide no number: the arguments of `raise` and messages of `assert`, annotations
of functions, and the `description` of a setting. What stands at the top of a module besides definitions runs whenever
the module is imported, and always counts. Of a `Registry` in which code looks a name up, only the entries count that
the job's settings name; of one that it goes through, all. Their keyword arguments are facts, which a stage that decides
by them states in its settings.
"""

import ast
import contextlib
import functools
import hashlib
import re
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from rediffuse.files import read_json
from rediffuse.formats import write_json

PACKAGE = Path(__file__).resolve().parent.parent

#: These reach a result only through a job's settings, or carry and watch it without touching it.
EXCLUDED = tuple(
    f"rediffuse.{name}"
    for name in ("config", "pipeline", "tracking", "cli", "progress", "errors", "files", "registry", "options")
)
REFERENCE = re.compile(r"rediffuse(?:\.\w+)+:\w+")
ALWAYS, WHOLE = "", "*"

# A definition: {"text": digest, "uses": names and dotted names, "picks": those in which only a name is looked up,
# "says": the strings that are looked up, "refers": "module:attribute" strings}; of a registry, one for each entry.
Definition = dict[str, Any]
# A module: {"definitions": {name: ...}, "registries": {name: {entry: ...}}, "imports": {local name: [module, name]}}.
Module = dict[str, Any]


def code_digest(entry: str, said: Iterable[str] = ()) -> str:
    """Hexadecimal SHA-256 of all that `entry` ("rediffuse.module:definition") can reach.

    Args:
        said: strings of the job's settings, which choose among the entries of registries.
    """
    return _digest(entry, frozenset(said) & _entry_names())


@functools.cache
def _entry_names() -> frozenset[str]:
    """The names of all entries of registries: other strings choose nothing."""
    registries = [entries for module in _modules().values() for entries in module["registries"].values()]
    return frozenset(name for entries in registries for name in entries)


@functools.cache
def _digest(entry: str, said: frozenset[str]) -> str:
    hasher = hashlib.sha256()
    for module, name in sorted(reached(entry, said)):
        hasher.update(f"{module}:{name} {_text(module, name)}\n".encode())
    return hasher.hexdigest()


def strings(value: Any) -> set[str]:
    """Every string of nested settings, keys included."""
    if isinstance(value, dict):
        return set().union(*(strings(part) for item in value.items() for part in item))
    if isinstance(value, list | tuple):
        return set().union(*map(strings, value))
    return {value} if isinstance(value, str) else set()


def reached(entry: str, said: Iterable[str] = ()) -> set[tuple[str, str]]:
    """(module, definition) of all that `entry` can reach; registry entries as "REGISTRY[name]"."""
    modules = _modules()
    found: set[tuple[str, str]] = set()
    spoken = set(said)
    waiting: list[tuple[str, str]] = [_split(entry)]
    # Registries met so far: a string that code says later may name one more of their entries.
    while True:
        while waiting:
            place = waiting.pop()
            if place in found or place[0] not in modules or (found and place[0].startswith(EXCLUDED)):
                continue
            found.add(place)
            waiting += _next(modules, place, spoken)
        more = [
            (module, f"{name}[{chosen}]")
            for module, name in found
            if name in modules[module]["registries"]
            for chosen in _chosen(modules[module]["registries"][name], spoken)
        ]
        waiting = [place for place in more if place not in found]
        if not waiting:
            return found


def _chosen(entries: dict[str, Definition], spoken: set[str]) -> list[str]:
    """The entries that are named, all of them where none is."""
    return [name for name in entries if name in spoken] or list(entries)


def _next(modules: dict[str, Module], place: tuple[str, str], spoken: set[str]) -> list[tuple[str, str]]:
    name, definition = place
    module = modules[name]
    if definition == WHOLE:
        return [(name, each) for each in (*module["definitions"], *module["registries"])]
    always = [(name, ALWAYS)] if ALWAYS in module["definitions"] else []
    if definition in module["registries"]:
        return always
    content = _content(module, definition)
    if content is None:  # a name that the module only passes on, or finds in a way of its own
        return _resolve(modules, name, [definition]) if definition in module["imports"] else [(name, WHOLE)]
    if not definition.endswith("]"):
        spoken.update(content["says"])
    following = list(always)
    for used in content["picks"]:
        following += _resolve(modules, name, used.split("."))
    for used in content["uses"]:
        for home, found in _resolve(modules, name, used.split(".")):
            entries = modules[home]["registries"].get(found, {})
            following += [(home, found), *((home, f"{found}[{entry}]") for entry in entries)]
    return following + [_split(reference) for reference in content["refers"]]


def _resolve(modules: dict[str, Module], name: str, parts: list[str]) -> list[tuple[str, str]]:
    """Where a dotted name that module `name` uses is defined, if in this package."""
    module, first = modules[name], parts[0]
    if first in module["definitions"] or first in module["registries"]:
        return [(name, first)]
    found = []
    for target, attribute in module["imports"].get(first, ()):
        whole = f"{target}.{attribute}" if attribute else target
        rest = parts[1:]
        if not attribute and target.split(".")[-1] != first:  # `import rediffuse.a.b`: the name is that of the package
            whole, rest = first, parts[1:]
        while rest and f"{whole}.{rest[0]}" in modules:
            whole, rest = f"{whole}.{rest[0]}", rest[1:]
        if whole in modules and (attribute == "" or f"{target}.{attribute}" in modules):
            found.append((whole, rest[0] if rest else WHOLE))
        elif target in modules:
            found.append((target, attribute))
    return found


def _split(reference: str) -> tuple[str, str]:
    module, _, name = reference.partition(":")
    return module, name


def _content(module: Module, definition: str) -> Definition | None:
    if definition.endswith("]"):
        registry, _, entry = definition[:-1].partition("[")
        return module["registries"][registry][entry]
    return module["definitions"].get(definition)


def _text(module: str, definition: str) -> str:
    content = _content(_modules()[module], definition)
    return "" if content is None else content["text"]


@functools.cache
def _modules() -> dict[str, Module]:
    """Every module of the package by its name.

    Reading all of them takes a second or more, which each of a study's processes would pay: what was read is kept
    beside Python's own compiled files, by the digest of the source and of this file, which reads it.
    """
    kept = PACKAGE / "__pycache__" / f"definitions.{sys.implementation.cache_tag}.json"
    try:
        known = dict(read_json(kept))
    except (OSError, ValueError, TypeError):
        known = {}
    found: dict[str, Module] = {}
    current = {}
    reader = hashlib.sha256(Path(__file__).read_bytes()).digest()
    for path in sorted(PACKAGE.rglob("*.py")):
        content = path.read_bytes()
        digest = hashlib.sha256(reader + content).hexdigest()
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        name = ".".join(("rediffuse", *(part for part in parts if part != "__init__")))
        found[name] = current[digest] = known.get(digest) or _parse(content)
    if current.keys() != known.keys():
        with contextlib.suppress(OSError):  # a package that cannot be written to is read anew
            write_json(kept, current)
    return found


def _parse(content: bytes) -> Module:
    tree = _Clean().visit(ast.parse(content))
    imports: dict[str, list[tuple[str, str]]] = {}
    for node in ast.walk(tree):  # wherever the statement stands
        if isinstance(node, ast.Import):
            for alias in node.names:
                local = alias.asname or alias.name.split(".")[0]
                imports.setdefault(local, []).append((alias.name if alias.asname else local, ""))
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            for alias in node.names:
                imports.setdefault(alias.asname or alias.name, []).append((node.module, alias.name))
    own = {k: [p for p in v if p[0].split(".")[0] == "rediffuse"] for k, v in imports.items()}
    statements: dict[str, list[ast.stmt]] = {}
    registries = {}
    for statement in tree.body:
        if isinstance(statement, ast.Import | ast.ImportFrom):
            continue
        names = _bound(statement)
        call = getattr(statement, "value", None)
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == "Registry" and names:
            registries[names[0]] = {_entry_name(entry): _define([_facts_off(entry)]) for entry in call.args[1:]}
            continue
        for name in names or [ALWAYS]:
            statements.setdefault(name, []).append(statement)
    definitions = {name: _define(nodes) for name, nodes in statements.items()}
    return {"definitions": definitions, "registries": registries, "imports": {k: v for k, v in own.items() if v}}


def _bound(statement: ast.stmt) -> list[str]:
    """The names that a statement at the top of a module defines."""
    if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return [statement.name]
    if isinstance(statement, ast.Assign):
        targets: list[ast.expr] = statement.targets
    elif isinstance(statement, ast.AnnAssign | ast.AugAssign):
        targets = [statement.target]
    elif isinstance(statement, ast.If | ast.Try | ast.With):
        inner = [node for node in ast.walk(statement) if isinstance(node, ast.stmt) and node is not statement]
        return list(dict.fromkeys(name for node in inner for name in _bound(node)))
    else:
        return []
    flat = [node for target in targets for node in ast.walk(target)]
    if any(isinstance(node, ast.Attribute | ast.Subscript) for node in flat):
        return []  # it changes something else: that runs on import
    return [node.id for node in flat if isinstance(node, ast.Name)]


def _entry_name(entry: ast.expr) -> str:
    first = entry.args[0] if isinstance(entry, ast.Call) and entry.args else None
    if not (isinstance(first, ast.Constant) and isinstance(first.value, str)):
        raise ValueError(f"an entry of a registry begins with its name as text, not {ast.unparse(entry)[:60]}")
    return first.value


def _facts_off(entry: ast.expr) -> ast.expr:
    assert isinstance(entry, ast.Call)
    return ast.Call(entry.func, entry.args, [])


def _define(nodes: list[Any]) -> Definition:
    uses: set[str] = set()
    picks: set[str] = set()
    says: set[str] = set()
    refers: set[str] = set()
    waiting: list[ast.AST] = list(nodes)
    while waiting:
        node = waiting.pop()
        if (picked := _picked(node)) is not None:
            looked_in, *rest = picked
            picks.add(str(_dotted(looked_in)))
            inside = [part for top in rest for part in ast.walk(top) if isinstance(part, ast.Constant)]
            says.update(part.value for part in inside if isinstance(part.value, str))
            waiting += rest
            continue
        if (dotted := _dotted(node)) is not None:
            uses.add(dotted)  # and not its parts, which name what leads to it
            continue
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and REFERENCE.fullmatch(node.value):
            refers.add(node.value)
        waiting += ast.iter_child_nodes(node)
    text = "\n".join(ast.unparse(node) for node in nodes)
    return {
        "text": hashlib.sha256(text.encode()).hexdigest(),
        "uses": sorted(uses),
        "picks": sorted(picks - uses),
        "says": sorted(says),
        "refers": sorted(refers),
    }


def _picked(node: ast.AST) -> list[ast.AST] | None:
    """Of `A[x]`, `A.get(x)`, `A.find(x)` and `x in A`: what is looked in, then the rest; None of all else."""
    found: list[ast.AST] = []
    if isinstance(node, ast.Subscript):
        found = [node.value, node.slice]
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in ("get", "find"):
        found = [node.func.value, *node.args, *node.keywords]
    elif isinstance(node, ast.Compare) and len(node.ops) == 1 and isinstance(node.ops[0], ast.In | ast.NotIn):
        found = [node.comparators[0], node.left]
    return found if found and _dotted(found[0]) is not None else None


def _dotted(node: ast.AST) -> str | None:
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute) and (base := _dotted(node.value)) is not None:
        return f"{base}.{node.attr}"
    return None


class _Clean(ast.NodeTransformer):
    """Takes out what decides no number; the tree is parsed, so comments and layout are gone already."""

    def visit(self, node: ast.AST) -> Any:
        """Docstrings, then what the visitor of its kind takes out."""
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            node.body = [s for s in node.body if not _is_text(s)] or [ast.Pass()]
        return super().visit(node)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> Any:
        """A function without its annotations."""
        node.returns = None
        every = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs, node.args.vararg, node.args.kwarg]
        for argument in filter(None, every):
            argument.annotation = None
        for inner in ast.walk(node):
            if isinstance(inner, ast.AnnAssign):
                inner.annotation = ast.Constant(None)
        return self.generic_visit(node)

    visit_AsyncFunctionDef = visit_FunctionDef  # type: ignore[assignment]

    def visit_If(self, node: ast.If) -> Any:
        """Nothing of what is for the type checker."""
        if isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            return None
        return self.generic_visit(node)

    def visit_Raise(self, node: ast.Raise) -> Any:
        """The kind of error, without its words."""
        kind = node.exc.func if isinstance(node.exc, ast.Call) else node.exc
        return ast.copy_location(ast.Raise(kind, None), node)

    def visit_Assert(self, node: ast.Assert) -> Any:
        """The test, without its words."""
        return ast.copy_location(ast.Assert(self.visit(node.test), None), node)

    def visit_Call(self, node: ast.Call) -> Any:
        """A setting without its description."""
        if isinstance(node.func, ast.Name) and node.func.id == "Field":
            node.keywords = [word for word in node.keywords if word.arg != "description"]
        return self.generic_visit(node)


def _is_text(statement: ast.stmt) -> bool:
    value = getattr(statement, "value", None)
    return isinstance(statement, ast.Expr) and isinstance(value, ast.Constant) and isinstance(value.value, str)
