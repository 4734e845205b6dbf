"""Prints docs/library.md: `python docs/make_library.py > docs/library.md`. A test keeps the page current."""

import dataclasses
import importlib
import inspect
import re
from collections.abc import Mapping

INTRODUCTION = """# The library

Written by `python docs/make_library.py` from the docstrings; a test keeps it current. These names, arguments and
meanings are the stable interface of `rediffuse.diffusion` and `rediffuse.samplers`; everything else may change.

[example.ipynb](example.ipynb) samples a mixture of Gaussians, whose exact score is known, in ten lines.

## Conventions

- Time: t counts from 0 (least noise) to T − 1; ᾱ at "t = −1" is 1. Interpolants have t in [0, 1], 0 being data.
- Images: floating point [B, C, H, W] in [−1, 1]. Functions keep the caller's dtype and device: float64 in, float64 out.
- Tables of coefficients are float64, computed once, and cast to the dtype of the tensor that they meet.
- `Time` is an int, or an int64 tensor [B]. A `Level` is a number, or a tensor that broadcasts against the images.
- Likelihoods are in bits/dim, except where a docstring says nats.
- A network is called as model(x, t) or model(x, t, y) with t int64 [B] as `process.timestep_map` gives it.
- Noise comes from a source with `initial()` and `step(k)`: a function of (seed, sample, step), never of the batch.
- A wrong request raises `rediffuse.errors.UserError` (a ValueError) whose text names it and what would be right.
"""
PARTS = {
    "rediffuse.diffusion": "The forward process, its targets, objectives and likelihood.",
    "rediffuse.samplers": "From noise to images.",
}


def main() -> None:
    """Print the page."""
    print(INTRODUCTION)
    for name, summary in PARTS.items():
        module = importlib.import_module(name)
        print(f"## `{name}`\n\n{summary}\n")
        for public in sorted(module.__all__, key=str.lower):
            print(entry(public, getattr(module, public)))


def entry(name: str, value: object) -> str:
    """One name: its signature and what its docstring says, or its value."""
    if inspect.isclass(value):
        text = f"### class `{name}`\n\n```python\n{name}{signature(value)}\n```\n\n{documentation(value)}\n"
        return text + "".join(members(value))
    if inspect.isfunction(value):
        return f"### `{name}`\n\n```python\n{name}{signature(value)}\n```\n\n{documentation(value)}\n"
    shown = ", ".join(f"`{key}`" for key in value) if isinstance(value, Mapping | tuple) else f"`{value}`"
    return f"### `{name}`\n\n{type(value).__name__}: {shown}\n"


def members(kind: type) -> list[str]:
    """The public methods and properties of a class, with their docstrings."""
    found = []
    fields = {field.name for field in dataclasses.fields(kind)} if dataclasses.is_dataclass(kind) else set()
    for name, member in vars(kind).items():
        function = member.__func__ if isinstance(member, classmethod | staticmethod) else member
        if (name.startswith("_") and name != "__call__") or name in fields or not inspect.getdoc(function):
            continue
        if isinstance(member, property):
            found.append(f"- `.{name}`: {flat(member)}\n")
        elif inspect.isfunction(function):
            shown = "" if name == "__call__" else f".{name}"
            line = " ".join(signature(function).split()).replace("( ", "(").replace(", )", ")")
            found.append(f"- `{shown}{line}`: {flat(function)}\n")
    return [*found, "\n"] if found else []


def signature(value: object) -> str:
    """Arguments and result without module names, an argument a line where they are many."""
    try:
        found = inspect.signature(value)  # type: ignore[arg-type]
    except ValueError:
        return "(...)"
    parts, named_only = [], False
    for parameter in found.parameters.values():
        if parameter.kind is parameter.KEYWORD_ONLY and not named_only:
            parts, named_only = [*parts, "*"], True
        parts.append(argument(parameter))
    result = "" if found.return_annotation in (found.empty, None) else f" -> {annotation(found.return_annotation)}"
    line = f"({', '.join(parts)}){result}"
    return line if len(line) < 80 else "(\n    " + ",\n    ".join(parts) + f",\n){result}"


def argument(parameter: inspect.Parameter) -> str:
    """One argument: name, kind and default."""
    stars = {parameter.VAR_POSITIONAL: "*", parameter.VAR_KEYWORD: "**"}
    text = stars.get(parameter.kind, "") + parameter.name
    if parameter.annotation is not parameter.empty:
        text += f": {annotation(parameter.annotation)}"
    if parameter.default is not parameter.empty:
        default = parameter.default
        text += f" = {default.__name__ if inspect.isfunction(default) else repr(default)}"
    return text.replace("<factory>", "...")


def annotation(kind: object) -> str:
    """A type without the names of modules."""
    text = kind if isinstance(kind, str) else inspect.formatannotation(kind)
    return re.sub(r"(?:[A-Za-z_]+\.)+([A-Za-z_]+)", r"\1", text).replace("'", "")


def documentation(value: object) -> str:
    """A docstring as Markdown: its sections as they stand."""
    text = inspect.getdoc(value) or ""
    return f"```text\n{text}\n```" if re.search(r"^(Args|Attributes|Returns|Raises):", text, re.M) else text


def flat(value: object) -> str:
    """A docstring's first paragraph on one line."""
    return " ".join((inspect.getdoc(value) or "").split("\n\n")[0].split())


if __name__ == "__main__":
    main()
