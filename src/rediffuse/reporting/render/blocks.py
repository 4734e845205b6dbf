"""What a chapter holds: paragraphs, tables, figures and commands, the same for every page format."""

import itertools
from collections.abc import Iterable, Iterator
from typing import NamedTuple, TypeAlias

from rediffuse.reporting.render.picture import Picture
from rediffuse.reporting.render.table import Table


class Bullets(NamedTuple):
    """Paragraphs as a list."""

    texts: tuple[str, ...]
    kind: str = "bullets"


class Code(NamedTuple):
    """Commands, one a line, each with what it does."""

    lines: tuple[tuple[str, str], ...]
    kind: str = "code"


class Folded(NamedTuple):
    """Items that few readers need, under a line that opens them: "How it was done"."""

    title: str
    items: tuple["Item", ...]


class Lead(NamedTuple):
    """A paragraph in larger letters: the question that a chapter answers."""

    text: str
    kind: str = "lead"


#: A paragraph (`code` stands in backquotes), a list, commands, a table or a figure; what there is nothing of is None.
Item: TypeAlias = "str | Table | Picture | Bullets | Code | Folded | Lead | None"


class Chapter(NamedTuple):
    """A titled part of the report; its id is the address on the page.
    One without a title has only that of its question.
    """

    id: str
    title: str
    items: tuple[Item, ...]


def chapter_of(name: str, title: str, *items: Item) -> Chapter | None:
    """A chapter of the items that there are, None without any."""
    there = tuple(item for item in items if item)
    return Chapter(name, title, there) if there else None


class Text(NamedTuple):
    """A paragraph."""

    text: str
    kind: str = "text"


class TableBlock(NamedTuple):
    """A numbered table."""

    number: str
    table: Table
    kind: str = "table"


class FigureBlock(NamedTuple):
    """A numbered figure."""

    number: str
    picture: Picture
    kind: str = "figure"


class FoldedBlock(NamedTuple):
    """Blocks that open on demand."""

    title: str
    blocks: tuple["Block", ...]
    kind: str = "folded"


Block: TypeAlias = "Text | Lead | Bullets | Code | TableBlock | FigureBlock | FoldedBlock"


class Section(NamedTuple):
    """A chapter whose tables and figures have their numbers."""

    id: str
    title: str
    blocks: tuple[Block, ...]


class Group(NamedTuple):
    """Chapters under one heading, a question of the study."""

    id: str
    title: str
    sections: list[Section]


Questions: TypeAlias = Iterable[tuple[str, str, Iterable[Chapter]]]


def numbered(questions: Questions, letter: str = "") -> list[Group]:
    """Each (id, title, chapters) that has chapters, its tables and figures numbered
    as they are read, after `letter`.
    """
    tables, figures = itertools.count(1), itertools.count(1)

    def blocks(items: Iterable[Item]) -> Iterator[Block]:
        for item in items:
            if isinstance(item, Table):
                yield TableBlock(f"{letter}{next(tables)}", item)
            elif isinstance(item, Picture):
                yield FigureBlock(f"{letter}{next(figures)}", item)
            elif isinstance(item, Folded):
                yield FoldedBlock(item.title, tuple(blocks(item.items)))
            elif isinstance(item, str):
                yield Text(item)
            elif item is not None:
                yield item

    groups = [
        Group(name, title, [Section(one.id, one.title, tuple(blocks(one.items))) for one in chapters])
        for name, title, chapters in questions
    ]
    return [group for group in groups if group.sections]


def every(blocks: Iterable[Block]) -> Iterator[Block]:
    """The blocks, with those inside folded ones in their place."""
    for block in blocks:
        if isinstance(block, FoldedBlock):
            yield from every(block.blocks)
        else:
            yield block
