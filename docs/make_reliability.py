"""Prints docs/reliability.md: `python docs/make_reliability.py > docs/reliability.md`. A test keeps the page current.

Every number comes from benchmarks/reliability/results, which the scripts there write.
"""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).resolve().parents[1] / "benchmarks" / "reliability" / "results"
SIGNALS = {"KILL": "kill -9", "TERM": "SIGTERM", "INT": "SIGINT"}
BY = {"job": "single jobs", "make": "`rediffuse make`", "snakemake": "Snakemake", "dvc": "DVC"}
TARGETS = {"tool": "the tool alone", "tree": "all its processes", "job": "the job alone"}

INTRODUCTION = """# What a build survives

Written by `python docs/make_reliability.py` from what the scripts in `benchmarks/reliability/` have measured; a test holds
the page and their results together. Each script runs from a clean clone (`pip install -e '.[test]'`) with one command,
draws from a stated seed, and works on a study of seconds that has a job of every stage. A *result* is a file of
`data/`, `runs/`, `reports/` or `plan/` that holds no times. A count of zero says little by itself: 0 of *n* leaves room for
a rate up to the bound given beside it (95 %, Clopper and Pearson).
"""


def found(name: str) -> dict[str, Any] | None:
    """What a script has found, None where it has not run."""
    path = RESULTS / f"{name}.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None


def table(header: Iterable[object], rows: Iterable[Iterable[object]]) -> str:
    """A Markdown table."""
    header = list(header)
    lines = [header, ["---"] * len(header), *map(list, rows)]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines) + "\n"


def bound(bad: int, n: int) -> str:
    """`bad` of `n`, with the 95 % interval of the rate."""
    from scipy.stats import beta

    high = 1.0 if bad == n else float(beta.ppf(0.975 if bad else 0.95, bad + 1, n - bad))
    low = float(beta.ppf(0.025, bad, n - bad + 1)) if bad else 0.0
    return f"{bad} of {n} (rate {f'{low:.1%} to ' if bad else 'below '}{high:.1%})"


def measured(about: dict[str, Any], command: str) -> str:
    """Where and when, and by which command."""
    machine = about["machine"]
    return (
        f"\n    python -m benchmarks.reliability.{command}\n\n"
        f"{about['minutes']:.0f} minutes on {about['date']}, {machine['cpu']}, {machine['cores']} cores shared with other "
        f"work, commit {about['commit'][:12]}.\n"
    )


def listed(names: Iterable[str]) -> str:
    """Names of files or of what was wrong, or none."""
    names = list(names)
    return ", ".join(f"`{name}`" for name in names[:5]) + (" …" if len(names) > 5 else "") if names else "none"


def kills() -> Iterator[str]:
    """Killed builds."""
    yield "\n## Killed\n\n"
    yield (
        "While a build goes on it is killed in every stage, at drawn moments, and started again each time. A signal goes to\n"
        "the tool alone, whose jobs then go on as orphans (in half of the cases beside the next build), to all of its\n"
        "processes, or to the job alone. What counts as a kill is a signal that ended something at work.\n\n"
    )
    every = {by: one for by in BY if (one := found(f"kills-{by}")) is not None}
    if not every:
        yield "Not measured yet: `python -m benchmarks.reliability.kills`.\n"
        return
    rows = [
        [BY[by], one["kills"], *(sum(t[s] for t in one["by target"].values()) for s in SIGNALS),
         ", ".join(f"{sum(n.values())} of {TARGETS[t]}" for t, n in one["by target"].items() if sum(n.values())),
         len(one["by stage"]) - sum(not sum(n.values()) for n in one["by stage"].values()),
         f"{one['slowest to end, s']:.1f}"]
        for by, one in every.items()
    ]  # fmt: skip
    total = ["all", *(sum(row[k] for row in rows) for k in range(1, 2 + len(SIGNALS))), "", "", ""]
    yield table(
        ["killed", "kills", *SIGNALS.values(), "of which", "stages with a kill", "slowest end, s"], [*rows, total]
    )
    yield "\nWhat the build that was killed so often ended with, beside one that was never killed:\n\n"
    yield table(
        ["killed", "results", "different", "half-written files left", "jobs not up to date", "`git status`",
         "runs in MLflow", "runs or values twice"],
        [
            [BY[by], e["files"], listed(e["different"]), e["temporary files left"], len(e["stale"]),
             "the same" if e["git status the same"] else "**another**", e["runs in MLflow"], e["logged twice"]]
            for by, one in every.items() for e in [one["end"]]
        ],
    )  # fmt: skip
    stages = next(iter(every.values()))["by stage"]
    yield "\nKills by the stage that was at work:\n\n"
    yield table(
        ["stage", *(f"{BY[by]}, {word}" for by in every for word in SIGNALS.values())],
        [[stage, *(one["by stage"][stage][s] for one in every.values() for s in SIGNALS)] for stage in stages],
    )
    for by, one in every.items():
        yield measured(one["about"], f"kills --by {by}")


def disk() -> Iterator[str]:
    """Full disks and folders that take nothing."""
    yield "\n## No room, no rights\n\n"
    yield (
        "The project lies in memory (tmpfs) in a mount namespace of its own. Each job works with no page of room, one, two, …,\n"
        "then more and more; with a limit on a file's length (`RLIMIT_FSIZE`); and with its folder, `state/` or the whole\n"
        "project mounted read-only, which root's rights do not pass over either. It must end with exit code 2 and one line,\n"
        "count as not done, leave other jobs' files as they were, and be done by the same command once there is room.\n\n"
    )
    if (one := found("disk")) is None:
        yield "Not measured yet: `python -m benchmarks.reliability.disk`.\n"
        return
    rows = [
        [
            kind,
            len(found["by stage"]),
            found["failures"],
            found["had room"],
            bound(len(found["wrong"]), found["failures"]),
        ]
        for kind, found in one["jobs"].items()
    ]
    yield table(["hindered by", "stages", "jobs that failed", "jobs that had room", "not as they must"], rows)
    wrong = [case for kind in one["jobs"].values() for case in kind["wrong"]]
    yield f"\nWrong: {listed(wrong)}. Results that differ in the end: {listed(one['different'])}.\n"
    tools = {tool: one[tool] for tool in ("snakemake", "dvc") if tool in one}
    if tools:
        yield "\nA whole build on a disk that fills up, a little more room each time, then enough:\n\n"
        yield table(
            ["tool", "room, kB", "exit codes", "results that differ in the end"],
            [
                [BY[tool], ", ".join(map(str, t["rooms, kB"])), ", ".join(map(str, t["codes"])), listed(t["different"])]
                for tool, t in tools.items()
            ],
        )
    yield measured(one["about"], "disk")


def writers() -> Iterator[str]:
    """Many writers of one store."""
    yield "\n## Eight writers, one MLflow store\n\n"
    yield (
        "Each round begins with an empty store. Eight processes log the same built study at once, or six jobs that end\n"
        "at about the same time and two `rediffuse track` do; the store must hold what one process alone writes. Within a\n"
        "project the logging of one training is one process's at a time; several clones that log the same study to one\n"
        "server at the same moment are not kept apart.\n\n"
    )
    if (one := found("writers")) is None:
        yield "Not measured yet: `python -m benchmarks.reliability.writers`.\n"
        return
    rows, said = [], []
    for name, s in one["stores"].items():
        if isinstance(s, str):
            rows.append([name, s, "", "", "", "", ""])
            continue
        said += s["said"]
        rows.append(
            [
                name,
                s["rounds"],
                s["runs"],
                s["values"],
                s["runs twice"] + s["values twice"],
                s["runs missing"],
                s["runs unlike"],
            ]
        )
    yield table(["store, writers", "rounds", "runs", "values", "twice", "missing", "unlike one process's"], rows)
    yield f"\nWhat the writers complained of: {listed(dict.fromkeys(said))}.\n"
    yield measured(one["about"], "writers")


def server() -> Iterator[str]:
    """Lost tracking servers."""
    yield "\n## A tracking server that is lost\n\n"
    yield (
        "A real `mlflow server` stands behind a relay that hands on so many requests and then misbehaves. A training logs to\n"
        "it from its first row on; it must end with exit code 0 and the same bytes. Then the relay is mended, and\n"
        "`rediffuse track` must bring the server to what one that was never lost holds.\n\n"
    )
    if (one := found("server")) is None:
        yield "Not measured yet: `python -m benchmarks.reliability.server`.\n"
        return
    yield table(
        ["the server", "after requests", "exit code", "same bytes", "seconds", "lines said", "`track` later", "twice", "missing or unlike"],
        [
            [c["server"], "all" if c["after"] > 10**5 else c["after"], c["code"], "yes" if c["same bytes"] else "**no**",
             c["seconds"], len(c["said"]), c["track"], c.get("runs twice", 0) + c.get("values twice", 0),
             c.get("runs missing", "") if c.get("runs missing") else c.get("runs unlike", "**failed**")]
            for c in one["cases"]
        ],
    )  # fmt: skip
    yield f"\nThe same training takes {one['seconds with a server']} s with a server that answers.\n"
    yield measured(one["about"], "server")


def damage() -> Iterator[str]:
    """Damaged files."""
    yield "\n## Damaged files\n\n"
    yield (
        "Every file that a job of the built study made, its receipt included, is damaged in every way, one at a time. Noticed:\n"
        "`status` has its job to be done. Each file is made again after one of the damages, in turn, by the job's command,\n"
        "and must have the bytes it had (where it holds no times).\n\n"
    )
    if (one := found("damage")) is None:
        yield "Not measured yet: `python -m benchmarks.reliability.damage`.\n"
        return
    yield table(
        ["damage", "files", "not noticed"],
        [
            *([name, d["cases"], bound(d["cases"] - d.get("noticed", 0), d["cases"])] for name, d in one["damages"].items()),
            ["all", one["cases"], bound(one["cases"] - one["noticed"], one["cases"])],
        ],
    )  # fmt: skip
    yield (
        f"\n{one['files']} files of {one['jobs']} jobs; {one['made again']} of them made again. Wrong: {listed(one['wrong'])}. Jobs not up to date "
        f"in the end: {listed(one['stale in the end'])}.\n"
    )
    yield measured(one["about"], "damage")


def page() -> str:
    """The whole page."""
    chapters = (kills, disk, writers, server, damage)
    return INTRODUCTION + "".join(part for chapter in chapters for part in chapter())


if __name__ == "__main__":
    print(page(), end="")
