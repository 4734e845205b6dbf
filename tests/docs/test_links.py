"""The pages of the repository: what they lead to is there."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
REPORTS = sorted((ROOT / "reports").glob("*/*.md"))
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), *REPORTS]
assert REPORTS

LINK = re.compile(r"(!?)\[([^\]]*)\]\(([^)\s]+)\)")


def _read(page: Path) -> str:
    """The text of a page without its blocks of code."""
    return re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)


def _anchors(text: str) -> list[str]:
    """Where a link into a page may lead: ids written out, and headings by the rule of GitHub."""
    headings = re.findall(r"^#+ +(.+?) *$", text, flags=re.MULTILINE)
    slugs = [re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings]
    return [*re.findall(r'id="([^"]+)"', text), *slugs]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_and_picture_leads_somewhere_and_has_words(page: Path):
    prose = re.sub(r"`[^`]*`", "code", _read(page))
    for _, words, target in LINK.findall(prose):
        file, _, anchor = target.partition("#")
        if "://" in target:
            continue
        other = page.parent / file if file else page
        assert other.exists(), target
        if anchor:
            assert anchor in _anchors(_read(other)), target
        assert words, target


@pytest.mark.parametrize("page", REPORTS, ids=lambda page: f"{page.parent.name}/{page.name}")
def test_a_report_has_links_and_no_anchor_twice(page: Path):
    text = _read(page)
    anchors = re.findall(r'id="([^"]+)"', text)
    assert len(anchors) == len(set(anchors))
    assert LINK.search(text)
