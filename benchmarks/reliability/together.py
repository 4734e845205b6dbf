"""Builds at once, with a clock that was set back, in a copy and in a moved project.

Two tools start at once in one folder, the second some moment after the first; whatever they say, the next `dvc repro` must
end with the bytes of a build that had the folder for itself. `libfaketime`, where it is installed, sets the clock of a
whole build; otherwise the files of a built project are dated into the future.

    python -m benchmarks.reliability.together
"""

import importlib.util
import os
import random
import time
from pathlib import Path
from typing import Any

from benchmarks.reliability.project import Clone, parser, project, record, results, scratch, stale, unlike

DVC, SNAKEMAKE = "dvc repro", "snakemake --cores 2 --quiet rules"
PAIRS = {
    "dvc and dvc": (DVC, DVC),
    "dvc, then snakemake": (DVC, SNAKEMAKE),
    "snakemake, then dvc": (SNAKEMAKE, DVC),
    "snakemake and snakemake": (SNAKEMAKE, SNAKEMAKE),
}
YEAR = 365 * 24 * 3600
#: What changes one run, so that most has to be made again.
CHANGE = ("learning_rate: 1e-3", "learning_rate: 5e-4")


def at_once(clone: Clone, commands: tuple[str, str], offset: float, right: dict[str, str]) -> dict[str, Any]:
    """Start both, wait for both, and build once more."""
    first = clone.start(commands[0])
    time.sleep(offset)
    second = clone.start(commands[1])
    said = [process.communicate()[0] for process in (first, second)]
    refusals = [
        line for line in "\n".join(said).splitlines() if "already running" in line or "nable to acquire" in line
    ]
    codes = [first.returncode, second.returncode]
    clone.run(DVC)
    return {
        "offset, s": round(offset, 1), "codes": codes, "refusal": refusals[-1:], "traceback": "Traceback" in said[1],
        "different": unlike(results(clone), right), "stale": stale(clone),
    }  # fmt: skip


def date(clone: Clone, seconds: float) -> int:
    """Move the dates of every file of a project; how many files those are."""
    count = 0
    for path in clone.folder.rglob("*"):
        if path.is_file() and not path.is_symlink():
            status = path.stat()
            os.utime(path, (status.st_atime + seconds, status.st_mtime + seconds))
            count += 1
    return count


def clocks(built: Clone, changed: dict[str, str], right: dict[str, str], folder: Path) -> dict[str, Any]:
    """Builds whose files are older or younger than they can be."""
    found: dict[str, Any] = {}
    for name, seconds in (("files a year in the future", YEAR), ("files thirty years old", -30 * YEAR)):
        clone = built.copy(folder / name.replace(" ", "-"))
        count = date(clone, seconds)
        idle, status = stale(clone), clone.run("dvc status")
        clone.edit("params.yaml", *CHANGE)
        clone.run(DVC)
        found[name] = {
            "files": count, "stale": idle, "dvc status": "up to date" in status,
            "different after a change": unlike(results(clone), changed),
        }  # fmt: skip
    library = importlib.util.find_spec("libfaketime")
    if library is None or library.origin is None:
        return {**found, "clock set back a year": "skipped: no libfaketime here"}
    [preload] = Path(library.origin).parent.rglob("libfaketime.so.1")
    clone = built.copy(folder / "set-back")
    clone.environment |= {"LD_PRELOAD": str(preload), "FAKETIME": "-365d", "FAKETIME_DONT_FAKE_MONOTONIC": "1"}
    clone.edit("params.yaml", *CHANGE)
    clone.run(DVC)
    year = int(clone.run("date +%Y")) - int(time.strftime("%Y"))
    different = unlike(results(clone), changed)
    for name in ("LD_PRELOAD", "FAKETIME", "FAKETIME_DONT_FAKE_MONOTONIC"):
        clone.environment.pop(name)
    clone.edit("params.yaml", *reversed(CHANGE))
    clone.run(DVC)
    found["clock set back a year"] = {
        "years": year, "different after a change": different, "different after it was set right": unlike(results(clone), right)
    }  # fmt: skip
    return found


def places(built: Clone, changed: dict[str, str], folder: Path) -> dict[str, Any]:
    """A copy and a moved project, in a folder whose name has a space, a quote and letters beyond ASCII."""
    found = {}
    for name, moved in (("copied", False), ("moved", True)):
        there = built.copy(folder / f"a {name} project's été")
        if moved:
            target = folder / "another  place" / "projet"
            target.parent.mkdir()
            there.folder.rename(target)
            there = Clone(target)
        idle, status = stale(there), "up to date" in there.run("dvc status")
        nothing = "Nothing to be done" in there.run("snakemake --cores 2")
        there.edit("params.yaml", *CHANGE)
        there.run(DVC)
        elsewhere = [
            p for p in built.folder.rglob("*") if p.is_file() and p.stat().st_mtime > there.folder.stat().st_mtime
        ]
        found[name] = {
            "stale": idle, "dvc status": status, "snakemake has nothing to do": nothing,
            "different after a change": unlike(results(there), changed), "written in the first place": len(elsewhere),
        }  # fmt: skip
    return found


def main(arguments: list[str] | None = None) -> None:
    parse = parser(__doc__, "together")
    parse.add_argument("--rounds", type=int, default=1, help="of each pair of tools")
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
        pairs: dict[str, Any] = {}
        for name, commands in PAIRS.items():
            for number in range(options.rounds):
                clone = built.copy(folder / f"{name}-{number}".replace(" ", "-"))
                clone.edit("params.yaml", *CHANGE)
                pairs.setdefault(name, []).append(
                    at_once(clone, commands, chance.choice([0, 1]) * 12 * chance.random(), changed)
                )
                print(name, pairs[name][-1], flush=True)
        figures = {
            "seed": options.seed, "files": len(right), "at once": pairs,
            "clocks": clocks(built, changed, right, folder), "places": places(built, changed, folder),
        }  # fmt: skip
    record("together", options.results, began, figures)


if __name__ == "__main__":
    main()
