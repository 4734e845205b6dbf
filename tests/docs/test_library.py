"""The library's page is the generated one, and its example does what it says."""

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

DOCS = Path(__file__).resolve().parents[2] / "docs"


def test_the_page_is_the_generated_one():
    made = subprocess.run([sys.executable, DOCS / "make_library.py"], capture_output=True, text=True, check=True)
    assert made.stdout == (DOCS / "library.md").read_text()


def test_every_public_function_says_what_it_does():
    page = (DOCS / "library.md").read_text()
    assert [part for part in page.split("\n### ")[1:] if len(part.splitlines()) < 3] == []


def test_the_notebook_draws_from_the_mixture_with_every_sampler():
    cells = json.loads((DOCS / "example.ipynb").read_text())["cells"]
    [source] = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    *body, last = ast.parse(source).body
    names: dict[str, object] = {}
    exec(compile(ast.Module(body, []), "example", "exec"), names)
    shown = eval(compile(ast.Expression(last.value), "example", "eval"), names)
    assert set(shown) == {"ancestral", "ddim", "dpm-solver-pp", "ode-heun"}
    for mean, variance in shown.values():
        # 4,000 samples: a mean's standard error is 0.008, a variance's 0.002; fifty steps add a little.
        assert mean == pytest.approx(0, abs=0.03)
        assert variance == pytest.approx(0.26, abs=0.01)
