"""Prints docs/reliability.md: `python docs/make_reliability.py > docs/reliability.md`. A test keeps the page current.

Every number comes from benchmarks/reliability/results, which the scripts there write.
"""

import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).resolve().parents[1] / "benchmarks" / "reliability" / "results"
SIGNALS = {"KILL": "kill -9", "TERM": "SIGTERM", "INT": "SIGINT"}
BY = {"job": "single jobs", "make": "`rediffuse make`", "snakemake": "Snakemake", "dvc": "DVC"}
TARGETS = {"tool": "the tool alone", "tree": "all its processes", "job": "the job alone"}

INTRODUCTION = (
    "# What a build survives\n\n"
    "Written by `python docs/make_reliability.py` from what the scripts in `benchmarks/reliability/` have measured; "
    "a test holds\n"
    "the page and their results together. Each script runs from a clean clone (`pip install -e '.[test,team]'`) "
    "with one command,\n"
    "draws from a stated seed, and works on a study of seconds that has a job of every stage. A *result* is a file of\n"
    "`data/`, `runs/`, `reports/` or `plan/` that holds no times. A count of zero says little by itself: "
    "0 of *n* leaves room for\n"
    "a rate up to the bound given beside it (95 %, Clopper and Pearson).\n"
)
KILLS = """\
While a build goes on it is killed, at drawn moments, and started again each time: single jobs and `rediffuse make` in
every stage, the tools in those where the moment fell. A signal goes to the tool alone, whose jobs then go on as orphans
(in half of the cases beside the next build), to all of its processes, or to the job alone. What counts as a kill is a
signal that ended a job, or a tool at its own work between jobs.
A tool that is asked to end (SIGTERM, SIGINT) lets end first what is at work: the time that takes is that of the jobs.
"""
DISK = """\
The project lies in memory (tmpfs) in a mount namespace of its own. Each job works with no page of room, one, two, …,
then more and more; with a limit on a file's length (`RLIMIT_FSIZE`); and with its folder, `state/` or the whole
project mounted read-only, which root's rights do not pass over either. It must end with exit code 2 and one line,
count as not done, leave other jobs' files as they were, and be done by the same command once there is room.
"""
WRITERS = """\
Each round begins with an empty store. Eight processes log the same built study at once, or six jobs that end
at about the same time and two `rediffuse track` do; the store must hold what one process alone writes. Within a
project the logging of one training is one process's at a time; several clones that log the same study to one
server at the same moment are not kept apart.
"""
SERVER = """\
A real `mlflow server` stands behind a relay that hands on so many requests and then misbehaves. A training logs to
it from its first row on; it must end with exit code 0 and the same bytes. Then the relay is mended, and
`rediffuse track` must bring the server to what one that was never lost holds.
"""
TOGETHER = (
    "In a built project one run is changed, so that most is to be made again; "
    "two tools start at the same time, or the second\n"
    "a drawn moment later. One of them may be refused or end with an error; "
    "the next `dvc repro` must end with the bytes of a\n"
    "build that had the folder for itself. Then the dates of all files of a built project are moved, "
    "the clock of a whole build\n"
    "is set back (`libfaketime`), "
    "and the project is copied and moved into folders whose names have spaces, a quote and letters\n"
    "beyond ASCII: what is up to date must stay so, and a change must come to what it comes to elsewhere.\n"
)
DAMAGE = """\
Every file that a job of the built study made, its receipt included, is damaged in every way, one at a time. Noticed:
`status` has its job to be done. Each file is made again after one of the damages, in turn, by the job's command,
and must have the bytes it had (where it holds no times).
"""
Results = dict[str, dict[str, Any]]


def found(name: str) -> Results:
    """What a script has found, by the name of the file; nothing where it has not run."""
    paths = [RESULTS / f"{name}{part}.json" for part in ("", *(f"-{by}" for by in BY), "-jobs", "-tools")]
    return {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in paths if path.exists()}


def table(cases: Iterable[Any], columns: dict[str, Callable[[Any], object]]) -> str:
    """A Markdown table: a line for each case, of which each column says something."""
    lines = [columns, ["---"] * len(columns), *([say(case) for say in columns.values()] for case in cases)]
    return "".join("| " + " | ".join(str(cell).replace("|", "\\|") for cell in line) + " |\n" for line in lines)


def bound(bad: int, n: int) -> str:
    """`bad` of `n`, with the 95 % interval of the rate."""
    from scipy.stats import beta

    high = 1.0 if bad == n else float(beta.ppf(0.975 if bad else 0.95, bad + 1, n - bad))
    low = float(beta.ppf(0.025, bad, n - bad + 1)) if bad else 0.0
    return f"{bad} of {n} (rate {f'{low:.1%} to ' if bad else 'below '}{high:.1%})"


def measured(about: dict[str, Any]) -> str:
    """By which command, where and when."""
    machine = about["machine"]
    return (
        f"\n    {about['command']}\n\n"
        f"{about['minutes']:.0f} minutes on {about['date']}, {machine['cpu']}, "
        f"{machine['cores']} cores shared with other work, commit {about['commit'][:12]}.\n"
    )


def listed(names: Iterable[str]) -> str:
    """Names of files or of what was wrong, or none."""
    names = list(names)
    return ", ".join(f"`{name}`" for name in names[:5]) + (" …" if len(names) > 5 else "") if names else "none"


def numbers(values: Iterable[object]) -> str:
    """Numbers in their order."""
    return ", ".join(map(str, values))


def yes(right: bool) -> str:
    """Whether something is as it must be; what is not stands out."""
    return "yes" if right else "**no**"


def kills(files: Results) -> Iterator[str]:
    """Killed builds."""
    every = {BY[name.removeprefix("kills-")]: one for name, one in files.items()}

    yield table(
        every.items(),
        {
            "killed": lambda case: case[0],
            "kills": lambda case: case[1]["kills"],
            **{
                word: lambda case, name=name: sum(count[name] for count in case[1]["by target"].values())
                for name, word in SIGNALS.items()
            },
            **{
                word: lambda case, target=target: sum(case[1]["by target"][target].values())
                for target, word in TARGETS.items()
            },
            "between jobs": lambda case: case[1]["with no job at work"],
            "stages with a kill": lambda case: sum(sum(n.values()) > 0 for n in case[1]["by stage"].values()),
            "slowest end, s": lambda case: f"{case[1]['slowest to end, s']:.1f}",
        },
    )
    yield f"\nThese are {sum(one['kills'] for one in every.values())} kills. "
    if absent := [by for by in BY.values() if by not in every]:
        yield f"Not measured yet: {', '.join(absent)}. "
    yield "What the build that was killed so often ended with, beside one that was never killed:\n\n"
    yield table(
        [(by, one["end"]) for by, one in every.items()],
        {
            "killed": lambda case: case[0],
            "results": lambda case: case[1]["files"],
            "different": lambda case: listed(case[1]["different"]),
            "half-written files left": lambda case: case[1]["temporary files left"],
            "jobs not up to date": lambda case: len(case[1]["stale"]),
            "`git status` the same": lambda case: yes(case[1]["git status the same"]),
            "runs in MLflow": lambda case: case[1]["runs in MLflow"],
            "runs or values twice": lambda case: case[1]["logged twice"],
        },
    )
    yield "\nKills by the stage that was at work, in each of two where two jobs were:\n\n"
    yield table(
        next(iter(every.values()))["by stage"],
        {
            "stage": str,
            **{
                f"{by}, {word}": lambda stage, one=one, name=name: one["by stage"][stage][name]
                for by, one in every.items()
                for name, word in SIGNALS.items()
            },
        },
    )


def disk(files: Results) -> Iterator[str]:
    """Full disks and folders that take nothing."""
    if (one := files.get("disk-jobs")) is not None:
        yield table(
            one["jobs"].items(),
            {
                "hindered by": lambda case: case[0],
                "stages": lambda case: len(case[1]["by stage"]),
                "jobs that failed": lambda case: case[1]["failures"],
                "jobs that had room": lambda case: case[1]["had room"],
                "not as they must": lambda case: bound(len(case[1]["wrong"]), case[1]["failures"]),
            },
        )
        wrong = [case for kind in one["jobs"].values() for case in kind["wrong"]]
        yield f"\nWrong: {listed(wrong)}. Results that differ in the end: {listed(one['different'])}.\n"
    if (one := files.get("disk-tools")) is not None:
        yield "\nA whole build on a disk that fills up, a little more room each time, then enough:\n\n"
        yield table(
            [(BY[tool], one[tool]) for tool in ("snakemake", "dvc") if tool in one],
            {
                "tool": lambda case: case[0],
                "room, kB": lambda case: numbers(case[1]["rooms, kB"]),
                "exit codes": lambda case: numbers(case[1]["codes"]),
                "results that differ in the end": lambda case: listed(case[1]["different"]),
            },
        )


def writers(files: Results) -> Iterator[str]:
    """Many writers of one store."""
    stores = files["writers"]["stores"]
    there = {name: store for name, store in stores.items() if isinstance(store, dict)}
    yield table(
        there.items(),
        {
            "store, writers": lambda case: case[0],
            "rounds": lambda case: case[1]["rounds"],
            "runs": lambda case: case[1]["runs"],
            "values": lambda case: case[1]["values"],
            "twice": lambda case: case[1]["runs twice"] + case[1]["values twice"],
            "missing": lambda case: case[1]["runs missing"],
            "unlike one process's": lambda case: case[1]["runs unlike"],
        },
    )
    said = dict.fromkeys(line for store in there.values() for line in store["said"])
    yield f"\nWhat the writers complained of: {listed(said)}.\n"
    yield from (f"{name}: {why}.\n" for name, why in stores.items() if name not in there)


def server(files: Results) -> Iterator[str]:
    """Lost tracking servers."""
    one = files["server"]
    yield table(
        one["cases"],
        {
            "the server": lambda case: case["server"],
            "after requests": lambda case: "all" if case["after"] > 10**5 else case["after"],
            "exit code": lambda case: case["code"],
            "same bytes": lambda case: yes(case["same bytes"]),
            "seconds": lambda case: case["seconds"],
            "lines said": lambda case: len(case["said"]),
            "`track` later": lambda case: case["track"],
            "twice": lambda case: case.get("runs twice", 0) + case.get("values twice", 0),
            "missing or unlike": lambda case: max(
                case.get("runs missing", 0), case.get("runs unlike", 0) if case["track"] == 0 else 1
            ),
        },
    )
    yield f"\nThe same training takes {one['seconds with a server']} s with a server that answers.\n"


def together(files: Results) -> Iterator[str]:
    """Builds at once, clocks and places."""
    one = files["together"]
    yield table(
        one["at once"],
        {
            "at once": lambda case: case["case"],
            "second starts after, s": lambda case: case["offset, s"],
            "exit codes": lambda case: numbers(case["codes"]),
            "a refused one says": lambda case: listed(dict.fromkeys(case["refusals"])),
            "tracebacks": lambda case: case["tracebacks"],
            "different after one more `dvc repro`": lambda case: listed(case["different"]),
            "jobs not up to date": lambda case: len(case["stale"]),
        },
    )
    yield f"\nOf {one['files']} results each. A built project at another time and in another place:\n\n"
    cases = [*one["clocks"], *one["places"]]
    yield table(
        [case for case in cases if "skipped" not in case],
        {
            "project": lambda case: case["case"],
            "jobs not up to date": lambda case: len(case.get("stale", [])),
            "`dvc status` finds it up to date": lambda case: yes(case.get("dvc status", True)),
            "Snakemake has nothing to do": lambda case: yes(case.get("snakemake", True)),
            "different after a change and `dvc repro`": lambda case: listed(case["different"]),
            "nothing written elsewhere": lambda case: yes(not case.get("written elsewhere", False)),
        },
    )
    yield from (f"\n{case['case'].capitalize()}: {case['skipped']}.\n" for case in cases if "skipped" in case)


def damage(files: Results) -> Iterator[str]:
    """Damaged files."""
    one = files["damage"]
    yield table(
        {**one["damages"], "all": one}.items(),
        {
            "damage": lambda case: case[0],
            "files": lambda case: case[1]["cases"],
            "not noticed": lambda case: bound(case[1]["cases"] - case[1].get("noticed", 0), case[1]["cases"]),
        },
    )
    yield (
        f"\n{one['files']} files of {one['jobs']} jobs; {one['made again']} of them made again. Wrong: "
        f"{listed(one['wrong'])}. Jobs not up to date in the end: {listed(one['stale in the end'])}.\n"
    )


#: Title, script, what it does, and how its figures are told.
CHAPTERS: list[tuple[str, str, str, Callable[[Results], Iterator[str]]]] = [
    ("Killed", "kills", KILLS, kills),
    ("No room, no rights", "disk", DISK, disk),
    ("Eight writers, one MLflow store", "writers", WRITERS, writers),
    ("A tracking server that is lost", "server", SERVER, server),
    ("Two builds at once, other clocks, other places", "together", TOGETHER, together),
    ("Damaged files", "damage", DAMAGE, damage),
]


def page() -> Iterator[str]:
    """The whole page."""
    yield INTRODUCTION
    for title, script, text, tell in CHAPTERS:
        yield f"\n## {title}\n\n{text}\n"
        files = found(script)
        yield from tell(files) if files else [f"Not measured yet: `python -m benchmarks.reliability.{script}`.\n"]
        yield from (measured(one["about"]) for one in files.values())


if __name__ == "__main__":
    print("".join(page()), end="")
