"""Shim until `rediffuse.runs.facts` is there."""

from pathlib import Path
from typing import Any, TypeAlias

from rediffuse.config import LoadedStudy, ResolvedGenerator

Run: TypeAlias = Any


def main_runs(loaded: LoadedStudy) -> list[Run]:
    return [*loaded.runs.values(), *loaded.generators.values()]


def is_one_pass(run: Run) -> bool:
    return isinstance(run, ResolvedGenerator)


def folder(run: Run, seed: int) -> Path:
    return run.folder(seed)


def settings(run: Run) -> list[tuple[str, str, int]]:
    return run.settings()


def shown_setting(run: Run) -> tuple[str, str, int]:
    return run.shown_setting()


def comparable_settings(run: Run) -> list[tuple[str, str, int]]:
    return run.comparable_settings()


def asks_classes(run: Run, key: str) -> bool:
    return run.asks_classes(key)


def preview_steps(run: Run) -> list[int]:
    return run.preview_steps


def bounds_likelihood(run: Run) -> bool:
    return not is_one_pass(run) or run.kind == "vae"
