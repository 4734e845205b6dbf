"""Packages that pass on names of their modules, and import a module when one of its names is asked for."""

import sys
from types import ModuleType
from typing import Any

from rediffuse.registry import load


def passes_on(package: str, *references: str) -> list[str]:
    """Let `package` pass on "module:name" each, modules being named from the package on; the names, for `__all__`.

    A function may have the name of its module: `from package import ddim` is the function, whoever imported
    package.ddim before.
    """
    known = {reference.rpartition(":")[2]: f"{package}.{reference}" for reference in references}

    class Package(ModuleType):
        def __setattr__(self, name: str, value: Any) -> None:
            if not (name in known and isinstance(value, ModuleType)):
                super().__setattr__(name, value)

        def __getattr__(self, name: str) -> Any:
            if name not in known:
                raise AttributeError(f"module {package!r} has no attribute {name!r}")
            return load(known[name])

        def __dir__(self) -> list[str]:
            return sorted({*super().__dir__(), *known})

    sys.modules[package].__class__ = Package
    return sorted(known)
