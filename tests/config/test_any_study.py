"""Whatever a study holds, reading it gives what it says or one clear line: no other error, no wait, no conversion."""

import os
import re
import stat
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from rediffuse.config import load_study
from rediffuse.config.load import resolve_study
from rediffuse.config.yaml12 import read_yaml
from rediffuse.errors import UserError
from rediffuse.runs.describe import describe_study

STUDIES = sorted((Path(__file__).resolve().parents[2] / "studies").glob("*.yaml"))
SMOKE = next(path for path in STUDIES if path.stem == "smoke")
Place = tuple[str | int, ...]

NUMBERS = [-1, 0, 1, 2, 10**9, 10**30, -(10**30), 0.5, 1.0, -0.0, 1e308, float("nan"), float("inf"), -float("inf")]
TEXTS = ["", " ", "x", "5", "x" * 100_000, "/" * 5000, "a\nb", "\x00", "\x1b[31m", "\u2028", "\u202e", "é", "$x_{$"]
LISTS = [[], [1], ["x"], [[1]], [None], [True], [float("nan")], [7] * 2000]
MAPPINGS = [{}, {"x": 1}, {"": 1}, {"x" * 300: 1}, {"a\nb": {"c": []}}]
WRONG = [None, True, False, *NUMBERS, *TEXTS, *LISTS, *MAPPINGS]


def places(value: Any, at: Place = ()) -> Iterator[Place]:
    """Where anything stands in a study."""
    if at:
        yield at
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield from places(inner, (*at, key))


def put(value: Any, at: Place, new: Any) -> Any:
    """The same study with something else at a place."""
    if not at:
        return new
    changed = value.copy()
    changed[at[0]] = put(value[at[0]], at[1:], new)
    return changed


def rename(value: Any, at: Place, new: str) -> Any:
    """The same study with another key at a place."""
    if len(at) == 1:
        return {new if key == at[0] else key: inner for key, inner in value.items()}
    return put(value, at[:1], rename(value[at[0]], at[1:], new))


def same(given: Any, read: Any) -> bool:
    """Whether a value was taken for what it is: words in one line, keys left out filled in."""
    if isinstance(given, dict):
        return isinstance(read, dict) and all(same(value, read[key]) for key, value in given.items())
    if isinstance(given, list):
        return isinstance(read, list) and len(given) == len(read) and all(map(same, given, read))
    if isinstance(given, str):
        return read in (given, " ".join(given.split()))
    return given == read and isinstance(given, bool) == isinstance(read, bool)


def problem(study: dict[str, Any]) -> str | None:
    """What is wrong with how a study is read; None where it is taken for what it says, or refused in a good line."""
    begin = time.process_time()
    try:
        loaded = resolve_study(study, "a-study.yaml")
        describe_study(loaded)
        found = None if same(study, loaded.study.model_dump(mode="json")) else "was read as something else"
    except UserError as error:
        line = str(error)
        good = re.fullmatch(r"a-study\.yaml: [\w'].*: .+", line) and line.isprintable() and len(line) <= 285
        found = None if good else f"is refused by {line!r}"
    except Exception as error:
        found = f"ends in {error!r}"[:500]
    return found if time.process_time() - begin < 2 else "takes too long"


@pytest.mark.parametrize("path", STUDIES, ids=lambda path: path.stem)
def test_every_kind_of_value_at_every_place_is_taken_as_it_is_or_refused_in_one_line(path: Path):
    study = read_yaml(path)
    # The smoke study has all kinds of section and takes every third value; in the others they take longer turns.
    turns = 3 if path == SMOKE else 40 if path.stem != "digits-full" else 400
    cases = [(at, value) for turn, at in enumerate(places(study)) for value in WRONG[turn % turns :: turns]]
    bad = {(at, repr(value)[:50]): found for at, value in cases if (found := problem(put(study, at, value)))}
    assert bad == {}


def test_every_kind_of_key_at_every_place_is_taken_as_it_is_or_refused_in_one_line():
    study = read_yaml(SMOKE)
    cases = [(at, key) for at in places(study) if isinstance(at[-1], str) for key in TEXTS]
    bad = {(at, key[:50]): found for at, key in cases if (found := problem(rename(study, at, key)))}
    assert bad == {}


#: Words of the message by what stands in the file.
FILES: dict[str, tuple[bytes, list[str]]] = {
    "nothing": (b"", ["holds nothing"]),
    "a comment": (b"# nothing yet\n", ["holds nothing"]),
    "a word": (b"smoke", ["a single value"]),
    "a list": (b"- study", ["a list"]),
    "two documents": (b"study: a\n---\nstudy: b\n", [":2:1:", "single document"]),
    "a tab": (b"study:\n\tname: a\n", [":2:1:", "'\\t'"]),
    "UTF-16": ("study: a\n".encode("utf-16"), ["byte 0", "UTF-8"]),
    "UTF-16 without a mark": ("study: a\n".encode("utf-16-le"), ["U+0000"]),
    "Latin-1": ("title: é\n".encode("latin-1"), ["byte 7", "UTF-8"]),
    "NUL": (b"study: a\ntitle: \0\n", [":2:", "U+0000"]),
    "an escape": (b"study: a\ntitle: \x1b[31m\n", [":2:", "U+001B"]),
    "half of a character": (b'title: "\\ud800"\n', [":1:8:", "half of a character"]),
    "a key twice": (b"study: a\nstudy: b\n", [":2:1:", "'study' stands twice"]),
    "a key that is a number": (b"runs: {1: {}}\n", [":1:8:", "'1' is not text", "quotes"]),
    "a key that is nothing": (b"~: 1\n", ["'~' is not text"]),
    "a key that is a list": (b"? [a]\n: b\n", ["a key is not a word"]),
    "a date by its tag": (b"title: !!timestamp 2026-01-01\n", [":1:8:", "'!!timestamp'", "leave it out"]),
    "bytes by their tag": (b"title: !!binary aGVsbG8=\n", ["binary"]),
    "a set": (b"seeds: !!set {a}\n", ["set"]),
    "an object of Python": (b"title: !!python/object/apply:os.system ['true']\n", ["python/object"]),
    "a tag of one's own": (b"title: !mine x\n", ["'!mine'"]),
    "a word that is no number": (b"seeds: [!!int x]\n", ["'x' is no int"]),
    "a word that is no truth": (b"title: !!bool perhaps\n", ["'perhaps' is no bool"]),
    "a word that is no mapping": (b"runs: !!map x\n", ["'x' is no mapping"]),
    "an alias of nothing": (b"study: *a\n", ["undefined alias"]),
    "an anchor in itself": (b"study: &a [*a]\n", ["within itself"]),
    "a merge into itself": (b"runs: &a {<<: *a}\n", ["within itself"]),
    "a merge of a word": (b"runs: {<<: x}\n", ["merging"]),
    "a billion laughs": (
        b"a0: &a0 [x, x]\n"
        + b"".join(b"a%d: &a%d [%s]\n" % (n, n, b", ".join([b"*a%d" % (n - 1)] * 9)) for n in range(1, 12)),
        ["100,000 values"],
    ),
    "a billion merges": (
        b"a0: &a0 {x: y}\n"
        + b"".join(b"a%d: &a%d {<<: [%s]}\n" % (n, n, b", ".join([b"*a%d" % (n - 1)] * 9)) for n in range(1, 12)),
        ["100,000 values"],
    ),
    "lists in lists": (b"title: " + b"[" * 400 + b"]" * 400, ["20 levels deep"]),
    "mappings in mappings": (b"".join(b" " * n + b"a:\n" for n in range(400)), ["20 levels deep"]),
    "an open bracket": (b"title: [a\n", ["not valid YAML"]),
    "100,000 letters": (b"study: " + b"a" * 100_000, ["study", "60 characters"]),
    "2 MB": (b"# " + b"a" * 2_000_000, ["2,000,002 bytes"]),
}


@pytest.mark.parametrize("content", FILES)
def test_a_file_that_is_no_study_is_refused_in_one_line(content: str, tmp_path: Path):
    path = tmp_path / "study.yaml"
    path.write_bytes(FILES[content][0])
    begin = time.process_time()
    with pytest.raises(UserError) as refused:
        load_study(path)
    assert time.process_time() - begin < 2
    line = str(refused.value)
    assert line.startswith(str(path))
    assert line.isprintable()
    assert [word for word in FILES[content][1] if word not in line] == []


def test_a_mark_of_utf8_and_aliases_are_taken(tmp_path: Path):
    text = SMOKE.read_text().replace("schedule: cosine", "schedule: &s cosine")
    (tmp_path / "study.yaml").write_bytes(b"\xef\xbb\xbf" + text.encode())
    assert load_study(tmp_path / "study.yaml") == load_study(SMOKE)


def test_what_is_no_ordinary_file_is_not_read(tmp_path: Path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "large").open("wb").truncate(10**11)
    (tmp_path / "loop").symlink_to("loop")
    for path, words in {
        tmp_path: "is a folder",
        tmp_path / "pipe": "no ordinary file",
        Path("/dev/zero"): "no ordinary file",
        tmp_path / "large": "100,000,000,000 bytes",
        tmp_path / "loop": "cannot be read",
        tmp_path / "large" / "study.yaml": "no such file",
        tmp_path / ("n" * 300): "cannot be read",
    }.items():
        with pytest.raises(UserError, match=words):
            load_study(path)
    assert stat.S_ISFIFO((tmp_path / "pipe").stat().st_mode)
