"""What counts as the same number or file, on the same kind of machine and on another."""

import io
import json
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from rediffuse.verification.judge import EVIDENCE, METRICS, Judge, State
from rediffuse.verification.noise import Cell, Noise, measure
from rediffuse.verification.show import README, sentence

ROOT = Path(__file__).resolve().parents[2]
HERE = Judge(elsewhere=False)


def metrics(value: float) -> bytes:
    return json.dumps({"baseline": {"ddim-5": {"frechet_distance": value}}}).encode()


def csv(*rows: str) -> bytes:
    return "\n".join(rows).encode()


@pytest.mark.parametrize(
    ("made", "state"),
    [
        (400.0, State.EQUAL),
        (400.0 * (1 + 9e-7), State.WITHIN),
        (400.0 * (1 + 1.1e-6), State.DIFFERENT),
        (-400.0, State.DIFFERENT),
    ],
)
def test_floats_are_the_same_up_to_a_millionth(made: float, state: State):
    assert HERE.file(METRICS, metrics(400.0), metrics(made)).numbers == {state: 1}


def test_whole_numbers_are_the_same_or_not():
    said, made = (json.dumps({"seeds": seed}).encode() for seed in (10_000_000, 10_000_001))
    assert HERE.file("claims.json", said, made).state is State.DIFFERENT


@pytest.mark.parametrize(
    ("said", "made", "state"),
    [
        ("0.1921", "0.1922", State.WITHIN),  # either may be rounded from 0.19215
        ("0.1921", "0.1923", State.DIFFERENT),
        ("0.10", "0.11", State.DIFFERENT),  # two digits tell too little
        ("0.001", "0.00101", State.DIFFERENT),  # as settings are written: a hundredth more
        ("1993", "1994", State.DIFFERENT),  # might be a count
    ],
)
def test_printed_numbers_may_differ_by_rounding_of_the_last_of_four_digits(said: str, made: str, state: State):
    assert HERE.file("tables/a.csv", csv("x", said), csv("x", made)).numbers == {state: 1}


@pytest.mark.parametrize("made", ["6.636e-06", "6.635e-06"])
def test_the_last_digit_of_a_number_with_a_power_of_ten_is_that_small(made: str):
    assert HERE.file("tables/a.csv", csv("x", "6.635e-06"), csv("x", made)).state is not State.DIFFERENT
    assert HERE.file("tables/a.csv", csv("x", "9.876e-05"), csv("x", made)).numbers == {State.DIFFERENT: 1}


def test_where_the_unrounded_numbers_have_the_same_bytes_nothing_printed_or_drawn_may_differ():
    exact = Judge(elsewhere=False, exact=True)
    assert exact.file("tables/a.csv", csv("x", "0.1921"), csv("x", "0.1922")).state is State.DIFFERENT
    assert exact.file("figures/a.png", png(100), png(101)).state is State.DIFFERENT


@pytest.mark.parametrize("value", ["1e999", "-1e999", "NaN", "null", '"412"'])
def test_what_is_no_number_is_not_taken_for_one(value: str):
    said = f'{{"baseline": {{"ddim-5": {{"frechet_distance": {value}}}}}}}'.encode()
    for judge in (HERE, Judge(elsewhere=True, noise=noise())):
        assert judge.file(METRICS, said, metrics(412.0)).state is State.DIFFERENT


@pytest.mark.parametrize(
    ("path", "said"),
    [("figures/a.png", b"\x89PNG\r\n\x1a\nbroken"), ("tables/a.csv", b'"' + b"x" * 200_000), (METRICS, b"[" * 100_000)],
)
def test_a_damaged_file_is_different(path: str, said: bytes):
    made = {"figures/a.png": png(1), "tables/a.csv": csv("x", "1"), METRICS: metrics(1.0)}[path]
    [finding] = HERE.file(path, said, made).findings
    assert (finding.state, finding.why) == (State.DIFFERENT, "is damaged")


def test_a_digest_is_no_number():
    said, made = (csv("Key", f"8de563c2bd{end}") for end in ("12", "13"))
    assert HERE.file("tables/pedigree.csv", said, made).state is State.DIFFERENT


def test_words_between_equal_numbers_count():
    assert HERE.file("report.md", b"3 claims hold", b"3 claims fail").state is State.DIFFERENT


def test_a_line_more_leaves_the_numbers_of_the_others_equal():
    result = HERE.file("report.md", b"1.5\nold\n2.5\n", b"1.5\n2.5\n")
    assert result.numbers == {State.EQUAL: 2}
    assert [(one.place, one.state) for one in result.findings] == [("line 2", State.ABSENT)]


def test_files_that_are_gone_are_absent_and_new_ones_different():
    assert HERE.file(METRICS, metrics(1.0), None).numbers == {State.ABSENT: 1}
    assert HERE.file(METRICS, None, metrics(1.0)).state is State.DIFFERENT


def png(level: int) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(np.full((4, 4, 3), level, np.uint8)).save(stream, "png")
    return stream.getvalue()


def test_a_figure_may_differ_by_two_levels_and_is_not_judged_elsewhere():
    assert HERE.file("figures/a.png", png(100), png(102)).state is State.WITHIN
    assert HERE.file("figures/a.png", png(100), png(103)).state is State.DIFFERENT
    assert Judge(elsewhere=True).file("figures/a.png", png(100), png(103)).state is State.UNJUDGED


def noise() -> Noise:
    """Of three seeds whose variance is that of their standard errors: 1, 2, 3 have 1."""
    found = measure([Cell("baseline", "ddim-5", "frechet_distance", s, 1.0 + s, 1.0) for s in range(3)], {}, {}, 1)
    assert found is not None
    return found


def test_elsewhere_a_number_may_move_as_far_as_other_seeds_do():
    # Student's t with 2 degrees of freedom at 1 - 0.01 / 2 is 9.925; times √2 · 1 · 1.
    judge = Judge(elsewhere=True, noise=noise())
    assert judge.file(METRICS, metrics(1.0), metrics(1.0 + 14.0)).numbers == {State.WITHIN: 1}
    assert judge.file(METRICS, metrics(1.0), metrics(1.0 + 14.1)).numbers == {State.DIFFERENT: 1}


def test_a_number_that_was_edited_does_not_widen_its_own_interval():
    # The usual standard error is a half of the value: of the larger of the two the interval would reach any number.
    judge = Judge(elsewhere=True, noise=noise())
    assert judge.file(METRICS, metrics(1e9), metrics(1.0)).numbers == {State.DIFFERENT: 1}


def test_elsewhere_numbers_without_a_measure_of_noise_are_counted_as_not_judged():
    assert Judge(elsewhere=True).file(METRICS, metrics(1.0), metrics(2.0)).numbers == {State.UNJUDGED: 1}


def test_elsewhere_what_is_stated_must_be_the_same():
    said, made = (csv("Setting,DDPM", f"training.learning_rate,{rate}") for rate in ("0.001", "0.00101"))
    assert Judge(elsewhere=True).file("tables/settings.csv", said, made).state is State.DIFFERENT


@pytest.mark.parametrize("form", ["data.csv: {},{},P1", "data.md: | {} | {} | P1 |", "data.tex: {} & {} & P1"])
def test_elsewhere_only_the_digest_of_what_a_network_computed_may_be_another(form: str):
    name, row = form.split(": ")

    def judged(what: str) -> State:
        said, made = (csv("What,Value,From", row.format(what, digest * 16)) for digest in ("8de5", "8de6"))
        return Judge(elsewhere=True).file(f"tables/{name}", said, made).state

    assert judged("SHA-256 of the reference") is State.UNJUDGED
    assert judged("SHA-256 of the images") is State.DIFFERENT


def test_elsewhere_a_verdict_may_become_undecided_but_not_turn_over():
    said, made, turned = (json.dumps([{"verdict": word}]).encode() for word in ("holds", "undecided", "does not hold"))
    assert Judge(elsewhere=True).file("claims.json", said, made).state is State.WITHIN
    assert Judge(elsewhere=True).file("claims.json", said, turned).state is State.DIFFERENT


def test_elsewhere_an_unknown_verdict_is_different():
    said, made = (json.dumps([{"verdict": word}]).encode() for word in ("quite so", "undecided"))
    assert Judge(elsewhere=True).file("claims.json", said, made).state is State.DIFFERENT


def test_evidence_that_was_taken_as_it_is_proves_nothing():
    said = json.dumps([{"final_loss": 0.1}]).encode()
    assert Judge(elsewhere=False, kept=True).file(EVIDENCE, said, said).numbers == {State.UNJUDGED: 1}


def test_the_readme_says_what_the_badges_say():
    readme = (ROOT / README).read_text()
    for begin, shown in re.findall(r"<!-- verified (\S+) -->(.*?)<!-- /verified -->", readme, re.DOTALL):
        badge = ROOT / "reports" / begin / "verified.json"
        assert shown == (sentence(json.loads(badge.read_text())) if badge.exists() else "")
