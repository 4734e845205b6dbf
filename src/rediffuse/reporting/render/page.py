"""Pages from the same sections, so that HTML and Markdown say the same."""

import re
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jinja2
from markupsafe import Markup

from rediffuse.config import LoadedStudy
from rediffuse.reporting.render.table import Column, Value, cell_html, markdown_escape

if TYPE_CHECKING:
    from rediffuse.reporting.chapters.contents import Section

TEMPLATES = Path(__file__).parent / "templates"


def html(loaded: LoadedStudy, sections: "list[Section]", timings: "list[Section]") -> str:
    """report.html: what is the same everywhere, then what is this machine's."""
    context: dict[str, Any] = {"study": loaded.study, "sections": sections, "timings": timings}
    return _environment(autoescape=True).get_template("report.html.j2").render(context)


def markdown(loaded: LoadedStudy, sections: "list[Section]", tables: str, figures: str, what: str = "") -> str:
    """A page of sections; `tables` and `figures`: folders beside it; `what`: what it holds, of a page beside the report."""
    context: dict[str, Any] = {
        "study": loaded.study,
        "sections": sections,
        "tables": tables,
        "figures": figures,
        "what": what,
    }
    return _tidy(_environment(autoescape=False).get_template("report.md.j2").render(context))


def _environment(autoescape: bool) -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES), autoescape=autoescape, trim_blocks=True, lstrip_blocks=True,
        undefined=jinja2.StrictUndefined, keep_trailing_newline=True,
    )  # fmt: skip
    environment.filters["inline"] = _inline
    environment.filters["md"] = markdown_escape
    environment.filters["cell"] = _cell
    return environment


def _cell(value: Value, column: Column) -> Markup:
    return Markup(cell_html(column, value))


def _inline(text: str) -> Markup:
    """Text with `code` as HTML."""
    return Markup(re.sub(r"`([^`]*)`", r"<code>\1</code>", escape(text)))


def _tidy(text: str) -> str:
    """No trailing spaces, no more than one blank line."""
    return re.sub(r"\n{3,}", "\n\n", re.sub(r"[ \t]+\n", "\n", text)).strip() + "\n"
