"""Entries by name, declared in one line each and imported when they are used.

    SAMPLERS = Registry("sampler", Sampler("ddim", "rediffuse.samplers.ddim:ddim", 1, source="Song et al. 2021"), …)

An entry is a frozen dataclass whose first field is its name. Code is named as text, "module:attribute", and loaded by
`load`: looking a name up imports nothing, and `rediffuse.pipeline.code` counts only the entries that a job names.

In a registry, positional arguments decide what is computed: they count in the key of every job that uses the entry.
Keyword arguments are facts about it (titles, directions, sizes): a stage that decides by one states it in its settings.
"""

import functools
import importlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Any, Generic, Protocol, TypeVar

from rediffuse.errors import UserError


class Named(Protocol):
    """What an entry must have."""

    @property
    def name(self) -> str:
        """What it is looked up by."""
        ...


Entry = TypeVar("Entry", bound=Named)


class Registry(Mapping[str, Entry], Generic[Entry]):
    """Entries of one kind by name, in the order of their declaration."""

    def __init__(self, kind: str, *entries: Entry) -> None:
        self.kind = kind
        self._entries = {entry.name: entry for entry in entries}

    def __getitem__(self, name: str) -> Entry:
        return self._entries[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def facts(self) -> dict[str, dict[str, Any]]:
        """The keyword-only fields of every entry by name: what a stage states in its settings
        when it decides by one.
        """
        return {
            name: {
                field.name: getattr(entry, field.name)
                for field in fields(entry)  # type: ignore[arg-type]
                if field.kw_only
            }
            for name, entry in self._entries.items()
        }

    def find(self, name: str) -> Entry:
        """The entry `name`. Raises UserError that lists the names there are."""
        if name not in self._entries:
            raise UserError(f"{self.kind} {name!r} is unknown; use one of {', '.join(self._entries)}")
        return self._entries[name]


@functools.cache
def load(reference: str) -> Any:
    """What "module:attribute" names."""
    module, _, attribute = reference.partition(":")
    return getattr(importlib.import_module(module), attribute)


@dataclass(frozen=True)
class Way:
    """The code that does a thing in one of several ways, as "module:function"."""

    name: str
    code: str
