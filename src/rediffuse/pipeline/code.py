"""The digest of the code a stage runs: every module it can import, without comments, docstrings or layout."""

import ast
import functools
import hashlib
from pathlib import Path

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
        hasher.update(f"{name}\n{_statements(name)}\n".encode())
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
        queue.extend(_imports(name))
    return frozenset(found)


def _path(name: str) -> Path:
    base = PACKAGE.joinpath(*name.split(".")[1:])
    return base / "__init__.py" if base.is_dir() else base.with_suffix(".py")


def _exists(name: str) -> bool:
    return _path(name).is_file()


@functools.cache
def _tree(name: str) -> ast.Module:
    return ast.parse(_path(name).read_text(encoding="utf-8"))


@functools.cache
def _imports(name: str) -> tuple[str, ...]:
    """The rediffuse modules that module `name` imports, wherever the import statement stands."""
    targets: list[str] = []
    for node in ast.walk(_tree(name)):
        if isinstance(node, ast.Import):
            targets += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            # `from package import name` imports the module package.name if there is one, else what __init__ holds.
            for alias in node.names:
                submodule = f"{node.module}.{alias.name}"
                targets.append(submodule if _exists(submodule) else node.module)
    return tuple(t for t in targets if t.startswith("rediffuse.") and _exists(t))


@functools.cache
def _statements(name: str) -> str:
    tree = ast.parse(ast.unparse(_tree(name)))
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
