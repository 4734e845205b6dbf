"""What a chapter holds: paragraphs, tables, figures and commands, the same for every page format."""

from collections.abc import Iterable
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


#: A paragraph (`code` stands in backquotes), a list, commands, a table or a figure; what there is nothing of is None.
Item: TypeAlias = str | Table | Picture | Bullets | Code | None


class Chapter(NamedTuple):
    """A titled part of the report; its id is the address on the page."""

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


Block: TypeAlias = Text | Bullets | Code | TableBlock | FigureBlock


class Section(NamedTuple):
    """A chapter whose tables and figures have their numbers."""

    id: str
    title: str
    blocks: tuple[Block, ...]


def numbered(chapters: Iterable[Chapter], letter: str = "") -> list[Section]:
    """The chapters of a part with its tables and figures numbered as they are read, `letter` before each number."""
    tables = figures = 0
    sections = []
    for chapter in chapters:
        blocks: list[Block] = []
        for item in chapter.items:
            if isinstance(item, Table):
                tables += 1
                blocks.append(TableBlock(f"{letter}{tables}", item))
            elif isinstance(item, Picture):
                figures += 1
                blocks.append(FigureBlock(f"{letter}{figures}", item))
            elif isinstance(item, str):
                blocks.append(Text(item))
            elif item is not None:
                blocks.append(item)
        sections.append(Section(chapter.id, chapter.title, tuple(blocks)))
    return sections
