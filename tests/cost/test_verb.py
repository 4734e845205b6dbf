"""`rediffuse cost` as a user meets it: tables on stdout, one line and exit code 2 for what cannot be."""

import json
import sys
from pathlib import Path

import pytest

from rediffuse.cli import main
from rediffuse.cost.exact import exact_cost
from rediffuse.models.presets import PRESETS

PROJECT = Path(__file__).resolve().parents[2]


def run(monkeypatch: pytest.MonkeyPatch, folder: Path, *arguments: str) -> int:
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "argv", ["rediffuse", "cost", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    return int(ended.value.code or 0)


def test_exact_counts_of_a_preset_need_no_study(monkeypatch, capsys, tmp_path: Path):
    assert run(monkeypatch, tmp_path, "--preset", "micro-digits", "--exact") == 0
    printed = capsys.readouterr().out
    assert f"{exact_cost(PRESETS['micro-digits']).parameters:,}" in printed
    assert "Measured here" not in printed


def test_everything_measured_goes_to_the_file_too(monkeypatch, capsys, tmp_path: Path):
    arguments = ("--preset", "micro-digits", "--batch", "2", "--batch", "4", "--resolution", "16", "--json", "c.json")
    assert run(monkeypatch, tmp_path, *arguments) == 0
    network = json.loads((tmp_path / "c.json").read_text())["networks"]["micro-digits at 16×16"]
    assert [entry["batch"] for entry in network["measured"]] == [2, 4]
    assert all(entry["kappa"]["low"] > 0 and entry["inference"]["median"] > 0 for entry in network["measured"])
    assert "1000 steps" in capsys.readouterr().out


def test_the_profile_names_operators(monkeypatch, capsys, tmp_path: Path):
    assert run(monkeypatch, tmp_path, "--preset", "micro-digits", "--exact", "--profile") == 0
    assert "convolution" in capsys.readouterr().out.split("by operator", 1)[1]


def test_advice_says_what_to_set_and_what_it_rests_on(monkeypatch, capsys, tmp_path: Path):
    monkeypatch.setenv("CXX", "no-such-compiler")
    assert run(monkeypatch, tmp_path, "--preset", "micro-digits", "--batch", "2", "--advise") == 0
    printed = capsys.readouterr().out
    assert "precision: bfloat16, channels_last: true" in printed
    assert "there is no C++ compiler" in printed
    assert "Median of 7 rounds" in printed
    assert ("Set hardware: {" in printed) != ("Keep the study's settings" in printed)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--preset", "nope"), "there is no network preset 'nope'"),
        (("--preset", "micro-digits", "--batch", "0"), "'--batch': '0'"),
        (("--preset", "micro-digits", "--resolution", "9"), "multiple of 2"),
        (("--preset", "micro-digits", "--batch", "9" * 23), "less than or equal to"),
        (("--preset", "micro-digits", "--json", "."), "--json: must be a file ending in .json, not '.'"),
        (("--preset", "micro-digits", "--json", "params.yaml"), "--json: must be a file ending in .json"),
        (("--preset", "micro-digits", "--json", "params.yaml/x.json"), "--json: params.yaml/x.json cannot be written"),
        (("--record", "--exact"), "--record"),
        (("--preset", "micro-digits", "--advise", "--exact"), "--advise goes with a run or --preset"),
        (("nope",), "nope"),
        (("baseline",), "rediffuse prepare"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(monkeypatch, capsys, tmp_path: Path, arguments, said: str):
    (tmp_path / "params.yaml").write_text((PROJECT / "studies" / "smoke.yaml").read_text())
    assert run(monkeypatch, tmp_path, *arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert len(captured.err.strip().splitlines()) == 1
    assert said in captured.err
