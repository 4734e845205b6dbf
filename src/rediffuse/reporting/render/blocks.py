"""What a chapter holds: paragraphs, tables, figures and commands, the same for every page format."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeAlias
from rediffuse.config.facts import HEADLINE_METRICS
from rediffuse.reporting import (
    ablation,
    colours,
    compute,
    compute_resolution,
    during_training,
    fidelity,
    figures,
    figures_more,
    grids,
    guidance,
    memorisation,
    mode_coverage,
    one_pass,
    one_pass_figures,
    restoration,
    sample_count,
    sentences,
    tables,
    tables_cost,
    tables_setup,
)
from rediffuse.reporting.ablation import CurrentKeys
from rediffuse.reporting.cells import Cells
from rediffuse.reporting.claims import Verdict, tally
from rediffuse.reporting.frames import Frames
from rediffuse.reporting.style import Picture, styled
from rediffuse.reporting.table import Table
from rediffuse.reporting.terms import NOT_RUN, counted, listed, metric_title, run_of_role


@dataclass(frozen=True)
class Text:
    """A paragraph; `code` stands in backquotes."""

    text: str
    kind: str = "text"


@dataclass(frozen=True)
class Bullets:
    """Paragraphs as a list."""

    texts: tuple[str, ...]
    kind: str = "bullets"


@dataclass(frozen=True)
class Code:
    """Commands, one a line, each with what it does."""

    lines: tuple[tuple[str, str], ...]
    kind: str = "code"


@dataclass(frozen=True)
class TableBlock:
    """A numbered table."""

    number: int
    table: Table
    kind: str = "table"


@dataclass(frozen=True)
class FigureBlock:
    """A numbered figure."""

    number: int
    picture: Picture
    kind: str = "figure"


Block: TypeAlias = Text | Bullets | Code | TableBlock | FigureBlock


Item: TypeAlias = str | Table | Picture | Bullets | Code | None


@dataclass(frozen=True)
class Section:
    """A titled part of the report."""

    id: str
    title: str
    blocks: tuple[Block, ...]


class _Counter:
    """Numbers tables and figures in the order in which they are read."""

    def __init__(self) -> None:
        self.tables, self.figures = 0, 0

    def number(self, items: Iterable["Item"]) -> tuple[Block, ...]:
        blocks: list[Block] = []
        for item in items:
            if isinstance(item, Table):
                self.tables += 1
                blocks.append(TableBlock(self.tables, item))
            elif isinstance(item, Picture):
                self.figures += 1
                blocks.append(FigureBlock(self.figures, item))
            elif isinstance(item, str):
                blocks += [Text(item)] if item else []
            elif item is not None:
                blocks.append(item)
        return tuple(blocks)

