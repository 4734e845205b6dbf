"""One definition of a table, written as CSV, Markdown, LaTeX and (by the page's template) HTML."""

import csv
import html
import io
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from rediffuse.evaluation.metrics import metric_short
from rediffuse.reporting.terms import aim
from rediffuse.reporting.values import (
    NOT_ASKED,
    NOT_RECORDED,
    NOT_RUN,
    Anchor,
    Estimate,
    Links,
    Mark,
    Value,
    number,
    whole,
)


@dataclass(frozen=True)
class Column:
    """A column: its title, with its unit in brackets at the end, and whether it is set in a fixed-width face."""

    title: str
    code: bool = False

    @property
    def header(self) -> str:
        """Title without unit."""
        return self.title.removesuffix(")").rpartition(" (")[0] if self.title.endswith(")") else self.title


def headers(*parts: str | Iterable[str]) -> tuple[Column, ...]:
    """Columns by their titles, "Run | Training time (s) | `File`", or from a list of them; in backquotes: as code."""
    titles = [title for part in parts for title in (part.split(" | ") if isinstance(part, str) else part)]
    return tuple(Column(title.strip("`"), code=title.startswith("`")) for title in titles)


class Rows(list[tuple[Value, ...]]):
    """The rows of a table in the making."""

    def add(self, *cells: Value) -> None:
        """One more row."""
        self.append(cells)


def metric_titles(metrics: Iterable[str], features: str) -> list[str]:
    """Titles of the columns of metrics, with which way each is better."""
    return [f"{metric_short(metric, features)} ({aim(metric)})" for metric in metrics]


@dataclass(frozen=True)
class Table:
    """A table with its caption and notes.

    marked: rows that stand out on the page; folded: it opens on demand; narrow: intervals may stand below their values,
    for tables of many columns. grouped: a column by which rows belong together: on the page, what is as in the row
    above stands there once. spread: of what a standard deviation of its estimates is, in the CSV.
    """

    name: str
    caption: str
    columns: tuple[Column, ...]
    rows: Sequence[tuple[Value, ...]]
    notes: tuple[str, ...] = ()
    marked: frozenset[int] = frozenset()
    folded: bool = False
    narrow: bool = False
    grouped: int | None = None
    spread: str = "seeds"

    def __post_init__(self) -> None:
        wrong = [row for row in self.rows if len(row) != len(self.columns)]
        if wrong:
            raise ValueError(f"table {self.name}: a row has {len(wrong[0])} cells for {len(self.columns)} columns")

    def csv(self) -> str:
        """Comma-separated values: plain numbers, an estimate's parts in columns of their own."""
        columns: list[list[str]] = []
        for index, column in enumerate(self.columns):
            values = [row[index] for row in self.rows]
            columns.append([column.title, *(_csv(value) for value in values)])
            if any(isinstance(value, Estimate) for value in values):
                parts = [value.parts()[1:] if isinstance(value, Estimate) else ("", "", "") for value in values]
                names = ("low", "high", f"std over {self.spread}")
                for name, filled in zip(names, zip(*parts, strict=True), strict=True):
                    if any(filled):
                        columns.append([f"{column.header} {name}", *filled])
        stream = io.StringIO()
        csv.writer(stream, lineterminator="\n").writerows(zip(*columns, strict=True))
        return stream.getvalue()

    def files(self) -> dict[str, str]:
        """Content of its files by suffix."""
        caption, *notes = map(markdown_escape, (self.caption, *self.notes))
        below = "".join(f"\n{note}\n" for note in notes)
        return {"csv": self.csv(), "md": f"{caption}\n\n{self.markdown()}{below}", "tex": self.latex()}

    def markdown(self, home: str = "") -> str:
        """GitHub's Markdown, without caption and notes; `home`: the page of the pedigree, where that is another."""
        head = [markdown_escape(column.title).replace("|", "\\|") for column in self.columns]
        align = ["---" if self._is_text(i) else "---:" for i in range(len(self.columns))]
        rows = [[_markdown(c, v, home) for c, v in zip(self.columns, row, strict=True)] for row in self.rows]
        return "".join(f"| {' | '.join(cells)} |\n" for cells in (head, align, *rows))

    def latex(self) -> str:
        """A LaTeX table environment (packages booktabs and, for its fonts, textcomp)."""
        align = "".join("l" if self._is_text(i) else "r" for i in range(len(self.columns)))
        lines = [
            "% needs \\usepackage{booktabs}",
            "\\begin{table}",
            "\\centering",
            f"\\caption{{{latex_escape(self.caption)}}}",
            f"\\label{{tab:{self.name}}}",
            f"\\begin{{tabular}}{{{align}}}",
            "\\toprule",
        ]
        lines += [" & ".join(latex_escape(column.title) for column in self.columns) + r" \\", "\\midrule"]
        for row in self.rows:
            cells = [_latex(column, value) for column, value in zip(self.columns, row, strict=True)]
            # A row that begins with a bracket would be read as the argument of the line break before it.
            lines.append(("{}" if cells[0].startswith("[") else "") + " & ".join(cells) + r" \\")
        lines += ["\\bottomrule", "\\end{tabular}"]
        lines += [f"\\par\\smallskip\\footnotesize {latex_escape(note)}" for note in self.notes]
        return "\n".join([*lines, "\\end{table}", ""])

    def numeric(self, index: int) -> bool:
        """Whether a column holds numbers, to be aligned to the right."""
        return not self._is_text(index)

    def _is_text(self, index: int) -> bool:
        values = [row[index] for row in self.rows if row[index] not in (NOT_RUN, NOT_RECORDED, NOT_ASKED)]
        return not values or not all(isinstance(value, int | float | Estimate) for value in values)


def plain(value: Value) -> str:
    """A cell as text, counts with separators of thousands."""
    if isinstance(value, int):
        return whole(value)
    if isinstance(value, float):
        return number(value)
    if isinstance(value, Links):
        return " ".join(value.ids)
    return value.id if isinstance(value, Anchor) else str(value)


def _csv(value: Value) -> str:
    if isinstance(value, Estimate):
        return value.parts()[0]
    if isinstance(value, Mark):
        return value.text
    return number(value) if isinstance(value, int | float) else _no_formula(plain(value))


def _no_formula(text: str) -> str:
    """Text that a spreadsheet shows: what begins as a formula does would be computed, but for a quote before it."""
    return f"'{text}" if re.match(r"[=+@-](?![\d.]*$)", text) else text


def _markdown(column: Column, value: Value, home: str) -> str:
    if isinstance(value, Links):
        # Files of times have their rows on the page itself.
        return " ".join(f"[{i}]({'' if i.startswith('T') else home}#{i.lower()})" for i in value.ids)
    if isinstance(value, Anchor):
        return f'<a id="{value.id.lower()}"></a>{value.id}'
    text = plain(value)
    return (f"`{text}`" if column.code and text else markdown_escape(text)).replace("|", "\\|")


def cell_html(column: Column, value: Value) -> str:
    """A cell as HTML."""
    if isinstance(value, Links):
        return " ".join(f"<a href=#{i.lower()}>{i}</a>" for i in value.ids)  # letters and digits
    if isinstance(value, Anchor):
        return f"<i id={value.id.lower()}>{value.id}</i>"
    if isinstance(value, Estimate):
        head, gap, tail = str(value).partition(" ")
        return head + (f" <i>{html.escape(tail)}</i>" if gap else "")
    text = html.escape(plain(value))
    if isinstance(value, Mark):
        return f'<span class="{value.tone}">{text}</span>'
    return f"<code>{text}</code>" if column.code and text else text


def _latex(column: Column, value: Value) -> str:
    text = latex_escape(plain(value))
    return f"\\texttt{{{text}}}" if column.code and text else text


#: What stays as it is: code, and references to the report's parts.
MARKED = re.compile(r"(`[^`]*`|\[[^]]*\]\((?:report|timings)\.md\))")
#: Backslashes, signs of emphasis, mathematics and entities, ends of links, and signs that begin a heading or a list.
_MARKS_OF_MARKDOWN = (
    (r"\\(?=[!-/:-@\[-`{-~])", r"\\\\"),
    (r"([*_$~`])", r"\\\1"),
    (r"\](?=[(\[:])", r"\\]"),
    (r"&(?=#?\w+;)", "&amp;"),
    ("<", "&lt;"),
    (">", "&gt;"),
)


def markdown_escape(text: str) -> str:
    """Text that Markdown shows as it is, apart from `code` in backquotes and [references](report.md) to the parts."""
    parts = MARKED.split(text)
    for i in range(0, len(parts), 2):
        for sign, escaped in _MARKS_OF_MARKDOWN:
            parts[i] = re.sub(sign, escaped, parts[i])
    parts[0] = re.sub(r"^(\d*|#*|-*)([#+.)-])(?=\s|$)", r"\1\\\2", parts[0])
    return "".join(parts)


_SPECIAL = {character: f"\\{character}" for character in "{}$&#%_"}
_MACROS = "textbackslash textasciicircum textasciitilde textless textgreater dots"
_TEXT = {character: f"\\{name}{{}}" for character, name in zip("\\^~<>…", _MACROS.split(), strict=True)}
_SIGNS = "pm times to le ge approx cdot infty alpha beta gamma epsilon eta lambda mu rho sigma tau nabla | surd"
_MATHS = {character: f"$\\{name}$" for character, name in zip("±×→≤≥≈·∞αβγεηλμρστ∇‖√", _SIGNS.split(), strict=True)}
_MARKS = {
    "✓": r"$\surd$",
    "✗": r"$\times$",
    "`": "'",
    "—": "---",
    "–": "--",
    "−": "$-$",
    "²": "$^2$",
    "₀": "$_0$",
    "ᵀ": "$^T$",
    "ᵖ": "$^p$",
    "’": "'",
    "“": "``",
    "”": "''",
}
_LATEX = {**_SPECIAL, **_TEXT, **_MATHS, **_MARKS, "ᾱ": r"$\bar\alpha$"}
# Letters with a combining tilde, bar or hat come as two characters.
_COMBINING = {"\u0303": r"\tilde", "\u0304": r"\bar", "\u0302": r"\hat"}


def latex_escape(text: str) -> str:
    """Text that LaTeX (with UTF-8 input) sets as it is; characters outside Latin-1 without a macro become "?"."""
    out: list[str] = []
    for character in text:
        if character in _COMBINING:
            base = out.pop() if out else ""
            base = base if base == r"\$" else base.strip("$")
            out.append(f"${_COMBINING[character]}{{{base}}}$")
        elif character in _LATEX:
            out.append(_LATEX[character])
        else:
            out.append(character if ord(character) < 256 else "?")
    return "".join(out)
