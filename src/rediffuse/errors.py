"""The one exception that is the user's to mend, and how a line shows what the user gave."""

import difflib
import reprlib
from collections.abc import Iterable
from typing import Any

#: Characters of a message at most, whatever the user gave: with the program's name before it, it stays below 300.
LONGEST = 285

_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxlong = _SHORT.maxother = 60
_SHORT.maxlevel, _SHORT.maxlist, _SHORT.maxdict = 2, 4, 2


class UserError(ValueError):
    """A mistake in what the user gave: one printable line that names what is wrong and what would be right.

    The command line prints it without a traceback and exits with code 2.
    """

    def __str__(self) -> str:
        return one_line(super().__str__())


def one_line(text: str, room: int = LONGEST) -> str:
    """`text` as one line: what does not print is escaped; of a longer one the end is left out, and of the file that it
    begins with the beginning.
    """
    where, colon, what = text.partition(": ")
    if len(text) > room and colon and len(where) > 100:
        text = f"…{where[-100:]}: {what}"
    line = "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in text[: room + 1])
    return line if len(line) <= room else f"{line[: room - 2]} …"


def shown(value: Any) -> str:
    """A value as a message names it: text in quotes, what is long in short."""
    return "nothing" if value is None else one_line(_SHORT.repr(value), 80)


def one_of(given: object, names: Iterable[str]) -> str:
    """What to use in the place of what was given: all of the names, or the likest where there are many."""
    every = list(names)
    if len(text := ", ".join(every)) <= 120:
        return f"use one of {text}"
    likest = difflib.get_close_matches(str(given), every, n=4, cutoff=0)
    return f"the likest of {len(every)} are {', '.join(likest)}"


#: What to do about EOFError in the middle of an import.
CUT_SHORT = "Python's own copy of a module is cut short, as a full disk leaves it; remove the folders __pycache__"
