"""The digest of the code a stage runs: every module it can import, without comments, docstrings or layout."""

import ast
import contextlib
import functools
import hashlib
import json
import sys
from pathlib import Path

from rediffuse.files import read_json, write_json

PACKAGE = Path(__file__).resolve().parent.parent

# These reach a stage only through its resolved settings, or watch it without touching its results.
EXCLUDED = ("rediffuse.config", "rediffuse.pipeline", "rediffuse.tracking", "rediffuse.cli", "rediffuse.progress")


@functools.cache
def code_digest(entry: str) -> str:
    """Hexadecimal SHA-256 of the statements of module `entry` and of every rediffuse module it imports.

    Reformatting or documenting a file does not change it, so cosmetic edits rerun nothing; data files lying
    in the packages of the closure (templates) count byte by byte.
    """
    hasher = hashlib.sha256()
    for name in sorted(modules(entry)):
        statements, _ = _parsed()[name]
        hasher.update(f"{name} {statements}\n".encode())
        path = _path(name)
        if path.name == "__init__.py":
            for data in sorted(p for p in path.parent.rglob("*") if p.suffix in {".j2", ".css"}):
                hasher.update(data.read_bytes())
    return hasher.hexdigest()


def modules(entry: str) -> frozenset[str]:
    """Names of the rediffuse modules in the import closure of `entry`, itself included.

    A package counts where something is imported from it, not where it is only on the way to one of its modules: its
    __init__ holds imports and nothing else, so a new sampler beside the one a stage uses does not concern that stage.
    """
    found: set[str] = set()
    queue = [entry]
    while queue:
        name = queue.pop()
        if name in found or name.startswith(EXCLUDED):
            continue
        found.add(name)
        _, imports = _parsed()[name]
        for module, imported in imports:
            # `from package import name` imports the module package.name if there is one, else what __init__ holds.
            queue += [n for n in (f"{module}.{imported}", module) if n in _parsed()][:1]
    return frozenset(found)


def _path(name: str) -> Path:
    base = PACKAGE.joinpath(*name.split(".")[1:])
    return base / "__init__.py" if base.is_dir() else base.with_suffix(".py")


# What is known of a module: the digest of its statements, and (module, name) for each import from this package.
Parsed = tuple[str, list[tuple[str, str]]]


@functools.cache
def _parsed() -> dict[str, Parsed]:
    """Every module of the package by its name.

    Reading all of them takes a second or more, which each of a study's processes would pay: what was read is kept
    beside Python's own compiled files, by the digest of the source and of this file, which reads it.
    """
    kept = PACKAGE / "__pycache__" / f"statements.{sys.implementation.cache_tag}.json"
    try:
        known = read_json(kept)
    except (OSError, json.JSONDecodeError):
        known = {}
    found: dict[str, Parsed] = {}
    current = {}
    reader = Path(__file__).read_bytes()
    for path in PACKAGE.rglob("*.py"):
        content = path.read_bytes()
        digest = hashlib.sha256(reader + content).hexdigest()
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        name = ".".join(("rediffuse", *(part for part in parts if part != "__init__")))
        found[name] = current[digest] = known.get(digest) or _parse(content)
    if current.keys() != known.keys():
        with contextlib.suppress(OSError):  # a package that cannot be written to is read anew
            write_json(kept, current)
    return found


def _parse(content: bytes) -> Parsed:
    tree = ast.parse(content)
    imports: list[tuple[str, str]] = []
    for node in ast.walk(tree):  # wherever the statement stands
        if isinstance(node, ast.Import):
            imports += [(alias.name, "") for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            imports += [(node.module, alias.name) for alias in node.names]
    own = [(module, name) for module, name in imports if module.split(".")[0] == "rediffuse"]
    return hashlib.sha256(_statements(tree).encode()).hexdigest(), own


def _statements(tree: ast.Module) -> str:
    tree = ast.parse(ast.unparse(tree))
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[0] if node.body else None
            if (
                isinstance(first, ast.Expr)
                and isinstance(first.value, ast.Constant)
                and isinstance(first.value.value, str)
            ):
                node.body = node.body[1:] or [ast.Pass()]
    return ast.unparse(tree)
