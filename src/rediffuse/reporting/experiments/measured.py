"""Who measured the times of a report, and when: what stands at the top of its part of this machine."""

from rediffuse.reporting.read.timings import Taken, Timings
from rediffuse.reporting.values import NOT_RECORDED, counted, listed, short

ABOUT = (
    "Times, memory and what follows from them: they are of the machines named here, differ from machine to machine and "
    "from run to run, and are written anew with every report. All else is in [report.md](report.md)."
)


COMPILED = (
    "The networks are compiled in the first step of a training and in the first setting that a job samples: the times "
    "of both hold that, too, which can be a minute."
)


def measured_on(clock: Timings, *, compiled: bool = False) -> tuple[str, ...]:
    """The paragraphs: on what machine, on what days and at which commit; one for each where there are several.

    compiled: whether the study compiles its networks.
    """
    groups: dict[tuple[str, str], list[Taken]] = {}
    for one in clock.taken.values():
        groups.setdefault((_machine(one), one.commit), []).append(one)
    if not groups:
        return (ABOUT, f"On which machine and when: {NOT_RECORDED}.")
    texts = []
    for (machine, commit), members in groups.items():
        days = sorted({one.date.partition("T")[0] for one in members})
        when = f"on {days[0]}" if len(days) == 1 else f"from {days[0]} to {days[-1]}"
        when = "on a day that is not recorded" if days == [NOT_RECORDED] else when
        of = "Measured" if len(groups) == 1 else f"{counted(len(members), 'job')} ({_jobs(members)}) measured"
        texts.append(f"{of} on {machine}, {when}, by the build of commit `{short(commit)}`.")
    return (ABOUT, *texts, *([COMPILED] if compiled else []))


def _machine(one: Taken) -> str:
    cores, threads, torch = (one.value(name) for name in ("cores", "threads", "torch"))
    shared = one.value("at_once") or 1
    parts = [
        str(one.value("cpu") or "a processor that is not recorded"),
        *([counted(cores, "core")] if isinstance(cores, int) else []),
        *([f"{counted(threads, 'thread')} used"] if isinstance(threads, int) else []),
        *([f"device {one.value('device')}"] if one.value("device") not in (None, "cpu") else []),
        *([f"torch {torch}"] if torch else []),
        *([f"up to {shared} jobs at a time"] if shared > 1 else []),
    ]
    return ", ".join(parts)


def _jobs(members: list[Taken], most: int = 4) -> str:
    names = [f"`{one.job}`" for one in members]
    return listed(names if len(names) <= most else [*names[: most - 1], f"{len(names) - most + 1} more"])
