"""A report against itself: most of what it says stands in it several times, and the rebuild shows what is the same.

On another processor numbers move, and nothing tells of most how far they may. But what a table says as CSV, Markdown
and LaTeX, and as part of the page, is the same there, too: where the rebuild has it twice and the report has it
otherwise in one of the two, that one was edited.
"""

from collections.abc import Iterator
from pathlib import PurePosixPath

from rediffuse.verification.judge import PAGE, Finding, State
from rediffuse.verification.parts import NUMBER, Printed, table

Files = dict[str, bytes]


def contradictions(said: Files, made: Files) -> Iterator[Finding]:
    """What a report says otherwise in one of its files than in another, where the rebuild says the same in both."""
    both = said.keys() & made.keys()
    for path in sorted(both):
        if path.startswith("tables/") and path.endswith(".md"):
            if PAGE in both:
                yield from _not_on_the_page(path, said, made)
            plain = str(PurePosixPath(path).with_suffix(".csv"))
            for other in (path, str(PurePosixPath(path).with_suffix(".tex"))):
                if {plain, other} <= both:
                    yield from _other_numbers(plain, other, said, made)


def _not_on_the_page(path: str, said: Files, made: Files) -> Iterator[Finding]:
    lines = [set(files[PAGE].decode(errors="replace").splitlines()) for files in (said, made)]
    rows = [_rows_of_markdown(files[path].decode(errors="replace")) for files in (said, made)]
    if not lines[1].issuperset(rows[1]):
        return  # it is written otherwise on the page
    for number, row in enumerate(rows[0], 1):
        if row not in lines[0]:
            yield Finding(PAGE, f"row {number} of {path}", row, "", State.DIFFERENT, "stands otherwise on the page")


def _other_numbers(one: str, other: str, said: Files, made: Files) -> Iterator[Finding]:
    old, new = ([_numbers(path, files[path]) for path in (one, other)] for files in (said, made))
    if len(new[0]) != len(new[1]):
        return
    if len(old[0]) != len(old[1]):
        yield Finding(other, "", "", "", State.DIFFERENT, f"{len(old[1])} rows where {one} has {len(old[0])}")
        return
    for number, (a, b, c, d) in enumerate(zip(*old, *new, strict=False), 1):
        if sorted(c) == sorted(d) and sorted(a) != sorted(b):
            lists = (
                ", ".join(f"{value:g}" for value in here if value not in there) for here, there in ((b, a), (a, b))
            )
            why = f"{next(lists)} where {one} has {next(lists)}"
            yield Finding(other, f"row {number}", "", "", State.DIFFERENT, why)


def _rows_of_markdown(text: str) -> list[str]:
    """The rows of a table, below its head."""
    return [line for line in text.splitlines() if line.startswith("| ")][2:]


def _numbers(path: str, content: bytes) -> list[list[float]]:
    """The numbers of each row of a table, in any of its forms; none where it is damaged."""
    text = content.decode(errors="replace")
    if path.endswith(".csv"):
        try:
            rows = [" ".join(row) for row in table(text)[1:]]
        except ValueError:
            return []
    elif path.endswith(".md"):
        rows = _rows_of_markdown(text)
    else:
        rows = text.partition("\\midrule\n")[2].partition("\\bottomrule")[0].splitlines()
    return [[Printed(number).value for number in NUMBER.findall(row)] for row in rows]
