"""A study whose every word attacks what shows it: pages, Markdown, tables, figures, the terminal, commands, MLflow."""

import csv
import io
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from xml.etree import ElementTree

import pytest
import yaml
from markdown_it import MarkdownIt
from rich.console import Console

from rediffuse.config import load_study
from rediffuse.config.yaml12 import read_yaml
from rediffuse.errors import UserError
from rediffuse.files import read_json
from rediffuse.formats import write_json
from rediffuse.reporting import build_report
from rediffuse.reporting.build import terminal_summary
from rediffuse.reporting.render.blocks import Bullets, Chapter, Code, Folded, Lead, numbered
from rediffuse.reporting.render.pages import Part, page
from rediffuse.reporting.render.table import Table, headers, latex_escape
from tests.reporting.study_tree import PROJECT, StudyTree

WORDS = (
    "</title><script>alert(1)</script>",
    '"><img src=x onerror=alert(2)>',
    "' onmouseover='alert(3)",
    "&lt;b&gt; &amp; &#60;i&#62;",
    "[a](javascript:alert(4)) ![b](http://evil.example/c)",
    "**b** _i_ ~~s~~ <b>h</b>",
    "$x_{$ $\\frac{1}{2}$ \\(y\\)",
    "\\end{tabular}\\input{/etc/passwd}%",
    "| c || d \\| e",
    "=cmd|calc!A1",
    "[bold red]r[/bold red] [link=http://evil.example]l[/link]",
    "$(touch pwned) ; touch pwned #",
    "{wildcards.x} {input} ${item.run} {{ 7*7 }} {% x %}",
    "$\u0303 {\u0302 \\\u0304 a\u0303",
    "-->]]><!-- %s %n {0}",
)
ALL = " ".join(WORDS)
#: In no more letters than a question or a claim may have.
PARTS = [" ".join(WORDS[start::3])[:300] for start in range(3)]


def hostile_study() -> dict[str, Any]:
    """The smoke study's two main runs and an experiment of an arm for each of the words."""
    study = read_yaml(PROJECT / "studies" / "smoke.yaml")
    study |= {"title": ALL[:200], "summary": ALL, "corrections": None, "experiment_samplers": {"ddim": {"steps": [5]}}}
    study["runs"] = {
        name: {**study["runs"][name], "label": WORDS[n]} for n, name in enumerate(("baseline", "improved"))
    }
    arms = {f"arm-{n}": {"label": word, "training": {"steps": 61 + n}} for n, word in enumerate(WORDS)}
    claims = [
        {"claim": word, "source": word, "better": "improved/ddim-5", "worse": "baseline/ddim-5"} for word in WORDS
    ]
    quoted = [dict.fromkeys(("what", "value", "conditions", "source"), word) for word in WORDS]
    study["experiments"] = {
        "arms": {
            "question": PARTS[0],
            "source": PARTS[1],
            "chapter": "improved",
            "of": "improved",
            "arms": arms,
            "claims": claims,
            "quoted": quoted,
        },
        "lines": {
            "question": PARTS[2],
            "source": PARTS[0],
            "chapter": "reproduce",
            "of": ["baseline", "improved"],
            "vary": {"sampler": ["ancestral", "ddim"]},
            "picture": "line",
        },
    }
    return study


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> StudyTree:
    """Its report, of made-up numbers."""
    folder = tmp_path_factory.mktemp("hostile")
    (folder / "study.yaml").write_text(yaml.safe_dump(hostile_study(), allow_unicode=True))
    tree = StudyTree(folder / "project", folder / "study.yaml").everything()
    card = tree.root / "data" / "smoke" / "card.json"
    write_json(card, {**read_json(card), "title": ALL, "source": ALL, "licence": ALL, "citation": ALL})
    build_report(tree.loaded, tree.plan, tree.root, tree.out)
    return tree


class Read(HTMLParser):
    """Elements, attributes and visible text of a page; `bad`: ends that close nothing."""

    ALONE = ("meta", "input", "img", "br", "hr")

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements, self.attributes, self.addresses = set[str](), set[str](), set[str]()
        self.open, self.bad, self.words = list[str](), list[str](), list[str]()
        self.feed(text)
        self.close()
        self.text = " ".join("".join(self.words).split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.add(tag)
        self.attributes |= {name for name, _ in attrs}
        self.addresses |= {value or "" for name, value in attrs if name in ("href", "src")}
        self.let_out(*{"td": ("td",), "tr": ("td", "tr")}.get(tag, ()))
        if tag not in self.ALONE:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag == "tbody":
            self.let_out("td", "tr")
        if not self.open or self.open.pop() != tag:
            self.bad.append(tag)

    def let_out(self, *tags: str) -> None:
        """End what HTML ends by itself."""
        for tag in tags:
            if self.open[-1:] == [tag]:
                self.open.pop()

    def handle_data(self, data: str) -> None:
        if self.open[-1:] not in (["script"], ["style"]):
            self.words.append(data)

    def handle_comment(self, data: str) -> None:
        self.bad.append(data)


OURS = re.compile(
    "a|b|body|button|code|details|div|figcaption|figure|footer|h1|h2|h3|head|html|i|img|input|label|li|main|"
    "meta|nav|ol|p|script|section|span|style|summary|table|tbody|td|th|thead|title|tr|ul"
)
SAID = re.compile(
    "alt|aria-hidden|aria-label|charset|class|content|decoding|for|height|hidden|href|id|lang|name|role|"
    "scope|src|tabindex|type|width"
)


def check_page(text: str, words: tuple[str, ...] = WORDS) -> None:
    found = Read(text)
    assert [element for element in found.elements if not OURS.fullmatch(element)] == []
    assert [attribute for attribute in found.attributes if not SAID.fullmatch(attribute)] == []
    assert (found.bad, found.open) == ([], [])
    assert [address for address in found.addresses if not re.match("#|data:image/(webp|svg[+]xml);", address)] == []
    assert text.count("<script") == 2  # our own
    assert [word for word in words if " ".join(word.split()) not in found.text] == []


def test_the_page_shows_every_word_as_text(report: StudyTree):
    check_page((report.out / "report.html").read_text())


def test_any_part_of_a_page_shows_words_as_text():
    """As the pages of `verify` and `diagnose` are made, too."""
    items = (ALL, Lead(ALL), Bullets((ALL,)), Code(((ALL, ALL),)), Folded(ALL, (ALL,)))
    table = Table("t", ALL, headers([ALL], [f"`{ALL}`"]), [(ALL, ALL)], notes=(ALL,))
    chapter = Chapter("c", ALL, (*items, table, table.__class__(**{**vars(table), "folded": True})))
    check_page(page([Part("p", ALL, (ALL,), numbered([("g", ALL, [chapter])]), "", "")], ALL))


@pytest.mark.parametrize("words", ["`[y](report.md)`", "[`z](report.md)", "[`z`](timings.md)", "[a](report.md) `<b>`"])
def test_code_and_references_do_not_cross(words: str):
    check_page(page([Part("p", words, (words,), numbered([("g", words, [Chapter("c", "", (words,))])]), "", "")]), ())


def test_markdown_shows_every_word_as_text(report: StudyTree):
    render = MarkdownIt("commonmark").enable(["table", "strikethrough"]).render
    for path in (report.out / "report.md", report.out / "timings.md", *report.out.glob("tables/*.md")):
        found = Read(render(path.read_text()))
        assert [element for element in found.elements if not re.fullmatch(f"{OURS.pattern}|strong", element)] == []
        assert found.attributes <= {"id", "href", "src", "alt", "style"}, path.name
        ours = r"#[\w-]+|(tables|figures|timings)/[\w.-]+|(report|timings)\.md(#[\w-]+)?"
        assert [address for address in found.addresses if not re.fullmatch(ours, address)] == []
    whole = Read(render((report.out / "report.md").read_text())).text
    assert [word for word in WORDS if " ".join(word.split()) not in whole] == []


def test_no_cell_of_a_table_is_a_formula_to_a_spreadsheet(report: StudyTree):
    cells = [cell for path in report.out.glob("tables/*.csv") for row in csv.reader(path.open()) for cell in row]
    assert f"'{WORDS[9]}" in cells
    assert [cell for cell in cells if re.match(r"[=+@-](?![\d.]*$)", cell)] == []


#: What LaTeX reads as text: letters, escaped signs, macros without arguments, and formulas of our own.
LATEX = re.compile(
    r"(?:[^\\{}$&#%_^~]|\\[{}$&#%_]|\\text\w+\{\}|\\dots\{\}|"
    r"\$(?:-|\^2|_0|\\(?:tilde|bar|hat)\{(?:[^\\{}$]|\\[{}$&#%_]|\\text\w+\{\})*\}|\\\w+(?: ?\\?\w+)?)\$)*"
)


def test_latex_is_given_text_alone(report: StudyTree):
    assert all(LATEX.fullmatch(latex_escape(word)) for word in (*WORDS, ALL))
    for path in report.out.glob("tables/*.tex"):
        text = path.read_text()
        ours = ("{table}", "{tabular}")
        assert [text.count(f"\\{end}{name}") for name in ours for end in ("begin", "end")] == [1] * 4
        assert "\\input{" not in text


def test_figures_hold_paths_and_pictures_alone(report: StudyTree):
    for path in report.out.glob("figures/*.svg"):
        for element in ElementTree.parse(path).iter():
            name = element.tag.rpartition("}")[2]
            assert name in [
                "svg",
                "metadata",
                "RDF",
                "Work",
                "type",
                "format",
                "defs",
                "style",
                "g",
                "path",
                "use",
                "clipPath",
                "rect",
                "image",
            ]
            links = [value for key, value in element.attrib.items() if key.endswith("href")]
            assert all(link.startswith(("#", "data:image/png;base64,")) for link in links)


def test_the_terminal_shows_words_as_they_are(report: StudyTree):
    stream = io.StringIO()
    Console(file=stream, width=5000).print(terminal_summary(report.loaded, report.plan, report.root))
    shown = stream.getvalue()
    assert [word for word in WORDS if word not in shown] == []
    assert "\x1b" not in shown


def test_commands_paths_and_names_of_runs_hold_names_alone(report: StudyTree):
    for job in report.plan.jobs.values():
        said = [job.name, job.command, *map(str, (job.folder, job.receipt, *job.outputs))]
        assert all(re.fullmatch(r"[\w./ -]+", word) for word in said)


def test_mlflow_is_told_where_the_images_are_from_in_whatever_words(report: StudyTree):
    from rediffuse.tracking.jobs import _log_dataset

    logged: list[Any] = []
    client = SimpleNamespace(
        get_run=lambda run_id: SimpleNamespace(inputs=None),
        log_inputs=lambda run_id, datasets: logged.extend(datasets),
    )
    context = SimpleNamespace(data_folder=report.root / "data" / "smoke")
    _log_dataset(SimpleNamespace(client=client), context, "a run")  # type: ignore[arg-type]
    assert json.loads(logged[0].dataset.source) == {"source": ALL}


PLACES: list[tuple[str, ...]] = [
    ("study",),
    ("data", "name"),
    ("runs", "baseline"),
    ("experiments", "lines"),
    ("experiments", "arms", "arms", "arm-0"),
    ("defaults", "sampling", "samplers", "ddim"),
]


NAMES = ["../x", "x;y", "<b>", "a b", "\u202ex", "X", "-x"]


@pytest.mark.parametrize(
    ("place", "name"), [*((place, "$(x)") for place in PLACES), *((PLACES[0], name) for name in NAMES)]
)
def test_names_that_are_part_of_paths_and_commands_are_refused(tmp_path: Path, place: tuple[str, ...], name: str):
    study = inside = hostile_study()
    for key in place[:-1]:
        inside = inside[key]
    if place[-1] in ("study", "name"):
        inside[place[-1]] = name
    else:
        inside[name] = inside.pop(place[-1])
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(study, allow_unicode=True))
    with pytest.raises(UserError) as refused:
        load_study(tmp_path / "study.yaml")
    assert str(refused.value).isprintable()


@pytest.mark.parametrize("word", ["\x1b[31mred", "a\x07b", "\u202eright to left", "_left out of legends"])
def test_words_that_no_terminal_or_figure_shows_are_refused(tmp_path: Path, word: str):
    study = hostile_study()
    study["experiments"]["arms"]["arms"]["arm-0"]["label"] = word
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(study, allow_unicode=True))
    with pytest.raises(UserError, match=r"experiments\.arms\.arms\.arm-0\.label"):
        load_study(tmp_path / "study.yaml")
