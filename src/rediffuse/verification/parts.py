"""Two versions of a file as parts that can be compared: numbers with their place, and the words between them."""

import csv
import io
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from difflib import SequenceMatcher
from itertools import chain, repeat, zip_longest
from pathlib import PurePosixPath
from typing import Any

#: Numbers as pages and tables print them; what is part of a word, such as a digest, is none.
NUMBER = re.compile(r"(?<![\w.#])[-−]?\d+(?:,\d{3})*(?:\.\d+)?(?:[eE][-+]?\d+)?(?![\w])")
#: Files whose numbers are counted one by one; the other forms of a table, and figures, are drawn from the same numbers.
COUNTED = {".json", ".csv"}
#: Numbers of a printed file that may differ by one in the last digit have so many digits at least.
DIGITS = 4


@dataclass(frozen=True)
class Part:
    """A number or a text as the report has it and as it was made anew (None: not there).

    place: where in the file, for people; key: the path in a JSON file, or ("row", column) in a table.
    """

    place: str
    key: tuple[str, ...]
    said: Any
    made: Any


@dataclass(frozen=True)
class Printed:
    """A number as text: what it was rounded to shows."""

    text: str

    @property
    def value(self) -> float:
        """What it says."""
        return float(self.text.replace(",", "").replace("−", "-"))

    @property
    def step(self) -> float:
        """One in its last digit."""
        digits, _, power = self.text.lower().partition("e")
        return 10.0 ** (int(power or 0) - len(digits.partition(".")[2]))

    @property
    def rounded(self) -> bool:
        """Whether its last digit may be due to rounding alone."""
        digits = re.sub(r"[eE].*", "", self.text).replace("-", "").replace("−", "").replace(",", "")
        return "." in digits and len(digits.replace(".", "").lstrip("0")) >= DIGITS


def parts_of(path: str, said: bytes, made: bytes) -> Iterator[Part]:
    """The parts of two versions of a file, in its order. ValueError: one of them cannot be read."""
    suffix, old, new = PurePosixPath(path).suffix, said.decode(), made.decode()
    if suffix == ".json":
        return _json_parts((), json.loads(old), json.loads(new))
    if suffix == ".csv":
        return _table_parts(table(old), table(new))
    lines = old.splitlines(), new.splitlines()
    if suffix == ".svg" and len(lines[0]) != len(lines[1]):  # thousands of lines alike, not to be told from each other
        return iter([Part("", ("",), *(f"{len(one)} lines" for one in lines))])
    return _line_parts(*lines)


def table(text: str) -> list[list[str]]:
    """The rows of a CSV file. ValueError: it is none."""
    try:
        return list(csv.reader(io.StringIO(text)))
    except csv.Error as error:
        raise ValueError(str(error)) from None


_NOTHING = object()


def _json_parts(key: tuple[str, ...], said: Any, made: Any) -> Iterator[Part]:
    if isinstance(said, dict) and isinstance(made, dict):
        for name in dict.fromkeys([*said, *made]):
            yield from _json_parts((*key, name), said.get(name, _NOTHING), made.get(name, _NOTHING))
    elif isinstance(said, list) and isinstance(made, list):
        for i, (one, other) in enumerate(zip_longest(said, made, fillvalue=_NOTHING)):
            yield from _json_parts((*key, str(i)), one, other)
    elif isinstance(said, dict | list) and made is _NOTHING:
        yield from _json_parts(key, said, type(said)())
    elif isinstance(made, dict | list) and said is _NOTHING:
        yield from _json_parts(key, type(made)(), made)
    else:
        yield Part(".".join(key), key, *(None if one is _NOTHING else one for one in (said, made)))


def _table_parts(said: list[list[str]], made: list[list[str]]) -> Iterator[Part]:
    header = said[0] if said else []
    nothing: list[str] = []
    for i, (old, new) in enumerate(zip_longest(said, made, fillvalue=nothing)):
        label = " ".join((old or new)[:1])[:40]
        for j, (one, other) in enumerate(zip_longest(old, new)):
            column = header[j] if j < len(header) else f"column {j + 1}"
            yield Part(f"row {i} ({label}), {column}", (str(i), column), _cell(one), _cell(other))


def _cell(text: str | None) -> Any:
    return Printed(text) if text is not None and NUMBER.fullmatch(text) else text


def _line_parts(said: list[str], made: list[str]) -> Iterator[Part]:
    """Lines side by side: by their position where there are as many, else those that say the same but for numbers."""
    if len(said) == len(made):
        pairs = zip(range(1, len(said) + 1), said, made, strict=True)
    else:
        pairs = chain.from_iterable(_aligned(said, made))  # type: ignore[assignment]
    for number, old, new in pairs:
        place = f"line {number}"
        texts = [NUMBER.split(line) if line is not None else None for line in (old, new)]
        if old == new:
            yield from (Part(place, (place,), Printed(one), Printed(one)) for one in NUMBER.findall(old))
        elif texts[0] != texts[1]:
            yield Part(place, (place,), old, new)
        else:
            for one, other in zip(NUMBER.findall(old), NUMBER.findall(new), strict=True):
                yield Part(place, (place,), Printed(one), Printed(other))


def _aligned(said: list[str], made: list[str]) -> Iterator[Iterator[tuple[int, str | None, str | None]]]:
    old, new = ([NUMBER.sub("#", line) for line in lines] for lines in (said, made))
    for kind, a, b, c, d in SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        numbers = range(a + 1, max(b, a + d - c) + 1)
        if kind == "equal":
            yield zip(numbers, said[a:b], made[c:d], strict=False)
        else:
            yield zip(numbers, said[a:b], repeat(None))
            yield zip(numbers, repeat(None), made[c:d])
