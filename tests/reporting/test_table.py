import csv
import html
import io
import re
from pathlib import Path

import pytest

from rediffuse.reporting.render.picture import finish, styled
from rediffuse.reporting.render.table import Column, Table, headers, latex_escape, markdown_escape
from rediffuse.reporting.values import Anchor, Estimate, Links, Mark
from tests.reporting.study_tree import PROJECT


def table(*rows: tuple, columns: tuple[Column, ...] | None = None) -> Table:
    columns = columns or (Column("Name"), Column("Time (s)"), Column("Distance"), Column("From"))
    return Table("test", "A caption", columns, rows)


ROWS = (("a|b", 12345, Estimate(84.213, 80.1, 88.329), Links(("P1", "P2"))), ("c", 1.5, Estimate(3687.2), Links(())))


def test_csv_holds_an_interval_in_columns_of_its_own() -> None:
    rows = list(csv.reader(io.StringIO(table(*ROWS).csv())))
    assert rows[0] == ["Name", "Time (s)", "Distance", "Distance low", "Distance high", "From"]
    assert rows[1] == ["a|b", "12345", "84.21", "80.10", "88.33", "P1 P2"]
    assert rows[2] == ["c", "1.500", "3687", "", "", ""]


def test_markdown_escapes_bars_and_links_to_the_pedigree() -> None:
    lines = table(*ROWS).markdown().splitlines()
    assert lines[1] == "| --- | ---: | ---: | --- |"
    assert lines[2] == "| a\\|b | 12,345 | 84.21 [80.10, 88.33] | [P1](#p1) [P2](#p2) |"


def test_on_another_page_links_lead_to_that_of_the_pedigree_but_those_of_times() -> None:
    made = table(("a", Links(("P1", "T2"))), columns=(Column("Name"), Column("From")))
    assert "[P1](report.md#p1) [T2](#t2)" in made.markdown(home="report.md")


def test_an_anchor_is_where_a_link_leads() -> None:
    assert '<a id="p1"></a>P1' in table((Anchor("P1"),), columns=(Column("Id"),)).markdown()


def test_a_spread_over_seeds_shows_as_plus_minus_and_has_a_csv_column() -> None:
    text = table(("a", Estimate(90.0, std=2.5)), columns=(Column("Name"), Column("D")))
    assert "90.00 ± 2.50" in text.markdown()
    assert text.csv().splitlines()[0] == "Name,D,D std over seeds"


def test_a_spread_over_something_else_is_not_said_to_be_over_seeds() -> None:
    text = Table("t", "", (Column("D"),), [(Estimate(9.0, std=0.3),)], spread="parts")
    assert text.csv().splitlines()[0] == "D,D std over parts"


@pytest.mark.parametrize("path", sorted((PROJECT / "reports").glob("*/tables/*.md")), ids=lambda path: path.stem)
def test_latex_has_every_sign_that_a_committed_table_has(path: Path) -> None:
    lost = {sign for sign in path.read_text(encoding="utf-8") if ord(sign) > 255 and latex_escape(f"x{sign}") == "x?"}
    assert not lost


def test_latex_escapes_what_latex_would_read() -> None:
    assert latex_escape("50 % of a_b & c #1 {x}") == r"50 \% of a\_b \& c \#1 \{x\}"
    assert latex_escape("β̃ ± 2 → 3") == r"$\tilde{\beta}$ $\pm$ 2 $\to$ 3"


def test_latex_holds_no_character_outside_latin_1() -> None:
    assert all(ord(c) < 256 for c in table(("ᾱ ≤ 1 — “x” 漢", 1, Estimate(1.0, 0.5, 1.5), Links(()))).latex())


def test_a_latex_row_that_begins_with_a_bracket_is_not_an_argument() -> None:
    assert "{}[x" in table(("[x", 1, 2, "")).latex()


def test_a_column_of_numbers_and_missing_values_is_aligned_to_the_right() -> None:
    made = table(("a", "not run", Estimate(1.0), ""), ("b", 2.0, "—", ""))
    assert [made.numeric(i) for i in range(4)] == [False, True, True, False]


def test_a_row_of_the_wrong_length_is_refused() -> None:
    with pytest.raises(ValueError, match="1 cells for 4 columns"):
        table(("a",))


def test_a_mark_has_a_sign_where_it_is_read_and_none_where_it_is_counted() -> None:
    made = table((Mark("✓", "holds", "holds"),), columns=(Column("Verdict"),))
    assert "| ✓ holds |" in made.markdown()
    assert made.csv().splitlines()[1] == "holds"
    assert r"$\surd$ holds" in made.latex()


@pytest.mark.parametrize(
    "text",
    [
        "$x_{$ costs $5",
        "a_b * c * _d_ ~~e~~",
        "<b>bold</b> &amp; &#36; a & b",
        "[text](https://example.org) ![x](y.png) [a][b] [1.2, 3.4]",
        r"C:\*x\_y \n \$",
        "a|b",
        "# no heading",
        "1. no list",
        "- no list",
        "[a]: no-definition",
    ],
)
def test_markdown_shows_the_words_of_a_study_as_they_are(text: str) -> None:
    from markdown_it import MarkdownIt

    reader = MarkdownIt("commonmark").enable(["table", "strikethrough"])
    paragraph = html.unescape(re.sub("<p>|</p>|\n", "", reader.render(markdown_escape(text))))
    assert paragraph == text
    page = reader.render(Table("t", "", headers("name | n"), [(text, 1)]).markdown())
    [cell] = re.findall("<td>(.*)</td>", page)
    assert html.unescape(cell) == text


def test_figures_show_the_words_of_a_study_as_they_are() -> None:
    from matplotlib import pyplot
    from matplotlib.font_manager import findfont, get_font

    with styled():
        figure, axes = pyplot.subplots()
        axes.plot([1, 2], label="DDPM $x_{$ for $5$")
        axes.legend()
        drawn = finish(figure, "f", "", "").svg.decode()
    dollar = get_font(findfont("DejaVu Sans")).get_char_index(ord("$"))
    assert drawn.count(f'href="#DejaVuSans-{dollar:x}"') == 4
