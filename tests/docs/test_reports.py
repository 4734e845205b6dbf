"""The committed reports: what they lead to is there."""

import re
from pathlib import Path

import pytest

REPORTS = sorted((Path(__file__).parents[2] / "reports").glob("*/*.md"))
assert REPORTS


@pytest.mark.parametrize("path", REPORTS, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_every_link_and_picture_of_a_report_leads_somewhere_and_pictures_have_words(path: Path):
    text = path.read_text(encoding="utf-8")
    anchors = re.findall(r'id="([^"]+)"', text)
    assert len(anchors) == len(set(anchors))
    links = re.findall(r"(!?)\[([^\]]*)\]\(([^)\s]+)\)", text)
    assert links
    for picture, words, target in links:
        file, _, anchor = target.partition("#")
        if "://" in target:
            continue
        if file:
            assert (path.parent / file).exists(), target
        elif not picture:
            assert anchor in anchors, target
        assert words, target
