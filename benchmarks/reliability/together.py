"""Builds at once, with a clock that is set back, in a copied and in a moved project.

Two tools start in one folder, the second with the first or a drawn moment later, after a change by which most is to be
made again. Whatever they say, the next `dvc repro` must end with the bytes of a build that had the folder for itself.
`libfaketime`, where it is installed, sets the clock of a whole build; besides, a built project's files are dated anew.

    python -m benchmarks.reliability.together
"""

import os
import random
import re
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from benchmarks.reliability.project import Clone, parser, project, record, results, scratch, stale, unlike

DVC, SNAKEMAKE = "dvc repro", "snakemake --cores 2 --quiet rules"
PAIRS = {
    "DVC and DVC": (DVC, DVC),
    "DVC and Snakemake": (DVC, SNAKEMAKE),
    "Snakemake and DVC": (SNAKEMAKE, DVC),
    "Snakemake and Snakemake": (SNAKEMAKE, SNAKEMAKE),
}
YEAR = 365 * 24 * 3600
#: Seconds after which the second tool starts at most.
LATEST = 15.0
CHANGE = ("learning_rate: 1e-3", "learning_rate: 5e-4")


def at_once(clone: Clone, commands: tuple[str, str], offset: float, right: dict[str, str]) -> dict[str, Any]:
    """Start both, wait for both, and build once more."""
    first = clone.start(commands[0])
    time.sleep(offset)
    both = (first, clone.start(commands[1]))
    with ThreadPoolExecutor() as readers:
        said = [output.strip().splitlines() for output, _ in readers.map(lambda one: one.communicate(), both)]
    codes = [process.returncode for process in both]
    clone.run(DVC)
    return {
        "offset, s": round(offset, 1),
        "codes": codes,
        "refusals": [refusal(lines, clone.folder) for code, lines in zip(codes, said, strict=True) if code],
        "tracebacks": sum(line.startswith("Traceback") for lines in said for line in lines),
        "different": unlike(results(clone), right),
        "stale": stale(clone),
    }


def refusal(lines: list[str], folder: Path) -> str:
    """What a tool that ended with an error said of it first, without the names of folders."""
    said = [
        line.replace(f"{folder}/", "") for line in lines if re.match(r"(ERROR: |WorkflowError:? |rediffuse: )", line)
    ]
    after = [lines[k + 1] for k, line in enumerate(lines[:-1]) if line.startswith("WorkflowError in file")]
    return [*after, *said, lines[-1]][0]


def dates(folder: Path) -> dict[Path, int]:
    """When each file of a folder was last written."""
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file() and not path.is_symlink()}


def clocks(built: Clone, changed: dict[str, str], right: dict[str, str], folder: Path) -> Iterator[dict[str, Any]]:
    """Builds whose files are older or younger than they can be."""
    for name, seconds in (("files a year in the future", YEAR), ("files thirty years old", -30 * YEAR)):
        clone = built.copy(folder / name.replace(" ", "-"))
        for path, written in dates(clone.folder).items():
            os.utime(path, ns=(written + seconds * 10**9,) * 2)
        yield {"case": name, **after_a_change(clone, changed)}
    libraries = [*Path(sys.prefix).rglob("libfaketime.so.1"), *Path("/usr/lib").glob("*/faketime/libfaketime.so.1")]
    if not libraries:
        yield {"case": "clock set back a year", "skipped": "no libfaketime on this machine"}
        return
    faked = {"LD_PRELOAD": str(libraries[0]), "FAKETIME": "-365d", "FAKETIME_DONT_FAKE_MONOTONIC": "1"}
    clone = built.copy(folder / "set-back")
    clone.environment |= faked
    assert int(clone.run("date +%s")) < time.time() - YEAR + 3600
    yield {"case": "clock set back a year", **after_a_change(clone, changed)}
    for name in faked:
        clone.environment.pop(name)
    clone.edit("params.yaml", *reversed(CHANGE))
    clone.run(DVC)
    yield {"case": "clock set right again, the change undone", "different": unlike(results(clone), right)}


def after_a_change(clone: Clone, changed: dict[str, str]) -> dict[str, Any]:
    """What the tools say of a built project as it lies there, and what a change makes of it."""
    said = {
        "stale": stale(clone),
        "dvc status": "up to date" in clone.run("dvc status"),
        "snakemake": "Nothing to be done" in clone.run("snakemake --cores 2"),
    }
    clone.edit("params.yaml", *CHANGE)
    clone.run(DVC)
    return {**said, "different": unlike(results(clone), changed)}


def places(built: Clone, changed: dict[str, str], folder: Path) -> Iterator[dict[str, Any]]:
    """A copy and a moved project, in folders whose names have spaces, a quote and letters beyond ASCII."""
    before = dates(built.folder)
    copied = built.copy(folder / "a copied project's été")
    yield {"case": "copied", **after_a_change(copied, changed), "written elsewhere": dates(built.folder) != before}
    first = built.copy(folder / "first").folder
    moved = folder / "another  place" / "projet"
    moved.parent.mkdir()
    first.rename(moved)
    yield {"case": "moved", **after_a_change(Clone(moved), changed), "written elsewhere": first.exists()}


def main(arguments: list[str] | None = None) -> None:
    parse = parser(__doc__, "together")
    parse.add_argument("--rounds", type=int, default=2, help="of each pair of tools: the first starts both together")
    options = parse.parse_args(arguments)
    began, chance = time.monotonic(), random.Random(options.seed)
    with scratch(options.folder) as folder:
        built = project(folder / "built")
        built.run(DVC)
        right = results(built)
        other = built.copy(folder / "other")
        other.edit("params.yaml", *CHANGE)
        other.run(DVC)
        changed = results(other)
        found: dict[str, Any] = {"seed": options.seed, "files": len(right), "at once": [], "clocks": [], "places": []}
        for name, commands in PAIRS.items():
            for number in range(options.rounds):
                clone = built.copy(folder / f"{name}-{number}".replace(" ", "-"))
                clone.edit("params.yaml", *CHANGE)
                offset = chance.uniform(0, LATEST) if number else 0.0
                found["at once"].append({"case": name, **at_once(clone, commands, offset, changed)})
                print(found["at once"][-1], flush=True)
                record("together", options.results, began, found)
        for name, cases in (
            ("clocks", clocks(built, changed, right, folder)),
            ("places", places(built, changed, folder)),
        ):
            for case in cases:
                found[name].append(case)
                print(case, flush=True)
                record("together", options.results, began, found)


if __name__ == "__main__":
    main()
