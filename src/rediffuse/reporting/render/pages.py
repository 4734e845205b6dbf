"""The pages: Markdown for each part, HTML for both, from one context, so that they say the same."""

import html
import re
from pathlib import Path
from typing import Any
import jinja2
from markupsafe import Markup
from rediffuse.config import LoadedStudy
from rediffuse.reporting.sections import Section
from rediffuse.reporting.table import Column, Value, cell_html, markdown_escape


TEMPLATES = Path(__file__).parent / "templates"


def render(loaded: LoadedStudy, sections: list[Section]) -> tuple[str, str]:
    """(report.html, report.md)."""
    context: dict[str, Any] = {"study": loaded.study, "sections": sections}
    page = _environment(autoescape=True).get_template("report.html.j2").render(context)
    return page, _tidy(_environment(autoescape=False).get_template("report.md.j2").render(context))


def _environment(autoescape: bool) -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES), autoescape=autoescape, trim_blocks=True, lstrip_blocks=True,
        undefined=jinja2.StrictUndefined, keep_trailing_newline=True,
    )
    environment.filters["inline"] = _inline
    environment.filters["md"] = markdown_escape
    environment.filters["cell"] = _cell
    return environment


def _cell(value: Value, column: Column) -> Markup:
    return Markup(cell_html(column, value))


def _inline(text: str) -> Markup:
    """Text with `code` as HTML."""
    return Markup(re.sub(r"`([^`]*)`", r"<code>\1</code>", html.escape(text)))


def _tidy(text: str) -> str:
    """No trailing spaces, no more than one blank line."""
    return re.sub(r"\n{3,}", "\n\n", re.sub(r"[ \t]+\n", "\n", text)).strip() + "\n"

