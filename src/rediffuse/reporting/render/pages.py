"""The pages: Markdown for each part of the report, HTML for both, from one context, so that they say the same."""

import html
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import jinja2
from markupsafe import Markup

from rediffuse.reporting.render.blocks import Block, FigureBlock, Group, TableBlock, every
from rediffuse.reporting.render.table import MARKED, cell_html, markdown_escape

TEMPLATES = Path(__file__).parent / "templates"


@dataclass(frozen=True)
class Part:
    """One page of Markdown: its name, its questions, where its tables and figures lie; home: the pedigree's page."""

    name: str
    title: str
    introduction: tuple[str, ...]
    groups: list[Group]
    tables: str
    figures: str
    home: str = ""

    def blocks(self) -> Iterator[Block]:
        """All of its blocks, in order."""
        return (block for group in self.groups for section in group.sections for block in every(section.blocks))

    def files(self) -> dict[str, str | bytes]:
        """The files of its tables and figures by path, relative to the report's folder."""
        files: dict[str, str | bytes] = {}
        for block in self.blocks():
            if isinstance(block, TableBlock):
                for suffix, content in block.table.files().items():
                    files[f"{self.tables}/{block.table.name}.{suffix}"] = content
            elif isinstance(block, FigureBlock):
                files[f"{self.figures}/{block.picture.name}.png"] = block.picture.png
                files[f"{self.figures}/{block.picture.name}.svg"] = block.picture.svg
        return files


def markdown(part: Part) -> str:
    """A part as Markdown."""
    return _tidy(_environment(autoescape=False).get_template("report.md.j2").render({"part": part}))


def page(parts: list[Part], footer: str = "") -> str:
    """All parts as one page of HTML that needs no other file;
    `footer`: its last line, where that is not the report's.
    """
    return _environment(autoescape=True).get_template("report.html.j2").render({"parts": parts, "footer": footer})


def _environment(autoescape: bool) -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=autoescape,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True,
    )
    environment.filters["inline"] = _inline
    environment.filters["md"] = markdown_escape
    environment.filters["cell"] = lambda value, column: Markup(cell_html(column, value))
    return environment


def _inline(text: str) -> Markup:
    """Text with `code` and [references](report.md) to the parts as HTML."""
    text = re.sub(
        r"(?<=\d) %|(?<=\bn) = (?=\d)", lambda found: found[0].replace(" ", "\xa0"), text
    )  # lines end elsewhere
    parts = [html.escape(part) for part in MARKED.split(text)]
    for i in range(1, len(parts), 2):
        name, _, page = parts[i][1:].rpartition("](")
        code = parts[i].startswith("`")
        parts[i] = f"<code>{parts[i][1:-1]}</code>" if code else f'<a href="#part-{page[:-4]}">{name}</a>'
    return Markup("".join(parts))


def _tidy(text: str) -> str:
    """No trailing spaces, no more than one blank line."""
    return re.sub(r"\n{3,}", "\n\n", re.sub(r"[ \t]+\n", "\n", text)).strip() + "\n"
