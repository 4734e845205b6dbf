"""Inside the library nothing goes through a package that passes names on: what a file needs is then in the file."""

import ast
from pathlib import Path

import pytest

SRC = Path(__file__).resolve().parents[2] / "src"
FILES = sorted((SRC / "rediffuse").rglob("*.py"))
LAZY = {
    ".".join(path.parent.relative_to(SRC).parts)
    for path in FILES
    if path.name == "__init__.py" and "passes_on(" in path.read_text()
}


def is_module(name: str) -> bool:
    path = SRC / Path(*name.split("."))
    return path.is_dir() or path.with_suffix(".py").is_file()


def through_a_package(code: str, module: str = "rediffuse.some") -> list[str]:
    """The names that a file takes from packages that pass them on."""
    found = []
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.ImportFrom):
            package = node.module or ""
            if node.level:
                above = module.split(".")[: -node.level]
                package = ".".join([*above, *filter(None, [node.module])])
            if package in LAZY:
                found += [f"{package}.{a.name}" for a in node.names if not is_module(f"{package}.{a.name}")]
    return found


def test_packages_that_pass_names_on_are_found():
    assert {"rediffuse.models", "rediffuse.samplers"} <= LAZY


@pytest.mark.parametrize(
    ("code", "found"),
    [
        ("from rediffuse.models import UNet", ["rediffuse.models.UNet"]),
        ("def f():\n    from rediffuse.samplers import SAMPLERS, registry", ["rediffuse.samplers.SAMPLERS"]),
        ("from .models import UNet", ["rediffuse.models.UNet"]),
        ("from rediffuse.models import unet", []),
        ("from rediffuse.models.unet import UNet", []),
    ],
)
def test_a_name_taken_through_a_package_is_told_from_a_module(code: str, found: list[str]):
    assert through_a_package(code) == found


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(SRC / "rediffuse")))
def test_no_file_takes_a_name_through_a_package(path: Path):
    module = ".".join(path.relative_to(SRC).with_suffix("").parts)
    assert through_a_package(path.read_text(), module) == []
