"""The look of the page: its colours, from its style sheet."""

import re

import pytest

from rediffuse.reporting.render.pages import TEMPLATES

PAIRS = re.findall(r"--(\w+): light-dark\((#\w+), (#\w+)\)", (TEMPLATES / "report.css").read_text())
COLOURS = {name: {"light": light, "dark": dark} for name, light, dark in PAIRS}


def luminance(colour: str) -> float:
    """Relative luminance of "#rgb" or "#rrggbb" (WCAG 2.2)."""
    digits = colour[1:] if len(colour) == 7 else "".join(2 * digit for digit in colour[1:])
    shares = [int(digits[i : i + 2], 16) / 255 for i in (0, 2, 4)]
    red, green, blue = (s / 12.92 if s <= 0.04045 else ((s + 0.055) / 1.055) ** 2.4 for s in shares)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("ground", ["paper", "side", "here", "mark", "goal"])
@pytest.mark.parametrize("letters", ["ink", "soft", "link", "good", "bad"])
def test_letters_stand_out_from_every_ground_as_wcag_asks(letters: str, ground: str, theme: str) -> None:
    dark, light = sorted(luminance(COLOURS[name][theme]) for name in (letters, ground))
    assert (light + 0.05) / (dark + 0.05) >= 4.5
