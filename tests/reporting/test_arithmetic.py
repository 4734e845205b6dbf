"""What the report computes of formulas and precision, and the tests that it names."""

import ast
from pathlib import Path

import pytest
import torch

from rediffuse.diffusion.process import DiffusionProcess
from rediffuse.reporting.chapters import arithmetic

ROOT = Path(__file__).resolve().parents[2]
LINEAR = DiffusionProcess.create("linear", 1000)


@pytest.mark.parametrize("apart", [apart for _, apart in arithmetic.IDENTITIES], ids=lambda apart: apart.__name__)
def test_two_ways_to_one_thing_agree(apart) -> None:
    assert apart(LINEAR) < 1e-11


def test_a_wrong_posterior_is_seen() -> None:
    wrong = DiffusionProcess.create("linear", 1000)
    object.__setattr__(wrong, "posterior_variance", wrong.betas)  # fixed-large: a tenth off at t = 10 and more before
    assert arithmetic.bayes(wrong) > 0.1


def test_bfloat16_loses_the_first_step_whole_and_float32_four_digits_of_it() -> None:
    # Below 1 neighbours of bfloat16 are 1/256 apart, those of float32 2⁻²⁴: β₀ = 1e-4 is rounded to a multiple of it.
    _, first, _, _ = arithmetic.naive(LINEAR.betas, torch.bfloat16)
    assert first == 0
    _, first, _, _ = arithmetic.naive(LINEAR.betas, torch.float32)
    assert first == round(1e-4 * 2**24) / 2**24


@pytest.mark.parametrize(("error", "text"), [(0.0, "0"), (2e-13, "below 1e-12"), (9e-13, "below 1e-11")])
def test_an_error_of_rounding_is_told_by_a_power_of_ten_well_above_it(error: float, text: str) -> None:
    assert arithmetic.limit(error) == text


def test_the_tests_that_compare_with_others_are_there() -> None:
    for *_, name in arithmetic.HELD:
        file, test = name.split("::")
        functions = {
            node.name for node in ast.walk(ast.parse((ROOT / file).read_text())) if isinstance(node, ast.FunctionDef)
        }
        assert test in functions
