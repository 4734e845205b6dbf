"""What an experiment's values say, in a few sentences."""

import math
from typing import Any

import numpy as np

from rediffuse.config.claims import has
from rediffuse.evaluation.metrics import metric_short
from rediffuse.reporting.experiments.beside import Base, bases_of
from rediffuse.reporting.experiments.cells import Cell, made_of
from rediffuse.reporting.experiments.comparison import contest
from rediffuse.reporting.experiments.contrasts import compare
from rediffuse.reporting.experiments.results import COMMAND, Result, Row
from rediffuse.reporting.read.frames import Frames
from rediffuse.reporting.terms import (
    VARIETY,
    capital,
    cell_label,
    direction,
    run_label,
    setting_words,
)
from rediffuse.reporting.values import counted, decimals, listed, number, signed

#: Numbers of steps from which on it is told how few do.
LEAST_STEPS = 4
#: By how much, as a share, a value may be worse than another and still do.
LITTLE = 0.2


def answers(frames: Frames, result: Result) -> list[str]:
    """What the values say, in sentences; what is missing, and how it is made."""
    known = result.known()
    members = [row.member for row in result.rows if row.cells[result.main] is None]
    # A metric of classes is asked of those runs alone that have it.
    absent = [member for member in members if has(result.main, frames.loaded.run(member.run), member.setting)]
    tail = []
    if absent:
        there = {row.member.run for row, _ in known}
        trains = {member.run for member in absent} & set(frames.loaded.ablations)
        # A run of which nothing is there is named alone; of others, what is missing.
        missing = list(
            dict.fromkeys(
                cell_label(frames.loaded, member.run, member.setting)
                if member.run in there
                else run_label(frames.loaded, member.run)
                for member in absent
            )
        )
        how = f"; `{COMMAND}`, then `dvc repro`, makes {'it' if len(missing) == 1 else 'them'}" if trains else ""
        tail = [f"Not run: {listed(missing)}{how}."]
    if len(known) < 2:
        return [_alone(frames, result, *one) for one in known] + tail
    short, several = metric_short(result.main, frames.features), _over_seeds(result)
    if len(sides := result.sides()) == 2:
        return several + _contests(frames, result, sides) + _fewest(result) + tail
    changed = [text for base in bases_of(frames.loaded, result) if (text := _beside(base, short))]
    return several + (changed or _best(result, short)) + _fewest(result) + tail


def _alone(frames: Frames, result: Result, row: Row, cell: Cell) -> str:
    spread = (
        f", from {number(cell.low)} to {number(cell.high)}" if cell.low is not None and cell.high is not None else ""
    )
    of = counted(len(cell.seeds), "training seed")
    who = f"{capital(row.name())}: " if row.names else ""
    short = metric_short(result.main, frames.features)
    return f"{who}{short} {number(cell.value)}{spread} ({cell.interval}; {of}, n = {cell.n})."


def _over_seeds(result: Result) -> list[str]:
    """How far training again moves the values, where the experiment names seeds of its own."""
    found = [(row.name(), [part.value for part in cell.parts]) for row, cell in result.known() if len(cell.parts) > 1]
    if result.planned.asks.seeds is None or not found:
        return []
    spreads = sorted(
        (100 * float(np.std(values, ddof=1)) / abs(float(np.mean(values))), name) for name, values in found
    )
    (least, calm), (most, wild) = spreads[0], spreads[-1]
    to = f" ({calm}) to {number(most, 2)} % ({wild})" if len(spreads) > 1 else ""
    of = counted(len(found[0][1]), "training seed")
    return [f"Over {of} the standard deviation of a value is {number(least, 2)} %{to} of its mean."]


def _fewest(result: Result) -> list[str]:
    """Down to which number of steps no value is clearly worse than that of the most, nor by more than `LITTLE`."""
    if (steps := result.place("steps")) is None:
        return []
    series: dict[str, dict[int, Cell]] = {}
    for row, cell in result.known():
        if isinstance(count := row.member.at[steps], int):
            series.setdefault(row.name(steps), {})[count] = cell
    found = {}
    for name, cells in series.items():
        counts = sorted(cells, reverse=True)
        fallen = (place for place, n in enumerate(counts) if _falls_off(cells[n], cells[counts[0]]))
        fewest = counts[next(fallen, len(counts)) - 1]
        if len(counts) >= LEAST_STEPS:
            found[name] = (fewest, counts[0])
    if not found:
        return []
    much = f"more than {100 * LITTLE:g} %"
    told = [f"{few} of {most}{f' with {name}' if name else ''}" for name, (few, most) in found.items() if few < most]
    if not told:
        return [f"Already the next smaller number of steps is clearly worse than the most, or worse by {much}."]
    others = [name for name, (few, most) in found.items() if few == most]
    who = listed(others) if len(others) <= 3 else f"the {len(others)} others"
    rest = f"; with {who} already the next smaller number is" if others else ""
    down = f"Fewest steps down to which no value is clearly worse than that of the most, nor worse by {much}"
    return [f"{down}: {listed(told)}{rest}."]


def _falls_off(cell: Cell, most: Cell) -> bool:
    """Whether a value is clearly worse than that of the most steps, or by much where intervals are too wide to tell."""
    if compare(cell, most).outcome == "worse":
        return True
    worse = cell.value - most.value if direction(cell.metric) == "lower" else most.value - cell.value
    # Of a value that may be 0, per cent say nothing.
    return abs(most.value) > most.half and worse > LITTLE * abs(most.value)


def _contests(frames: Frames, result: Result, sides: dict[str, str]) -> list[str]:
    """Two runs that are sampled in the same ways, by each metric."""
    both = [(line[first], line[second]) for line in result.lines() for first, second in [sides] if len(line) == 2]
    words = [setting_words(frames.loaded, two.member.run, two.member.setting) for _, two in both]
    one_name, two_name = sides.values()
    texts = []
    for metric in result.planned.asks.metrics:
        pairs = [(text, one.cells[metric], two.cells[metric]) for text, (one, two) in zip(words, both, strict=True)]
        texts.append(contest(frames, metric, (one_name, two_name), pairs))
    return texts


def _best(result: Result, short: str) -> list[str]:
    """Which is best, and which are clearly worse; of few and of many steps, or by sampler,
    where other things are varied too.
    """
    steps, sampler = result.place("steps"), result.place("sampler")
    known, within = result.known(), steps
    chosen: list[Any] = []
    if len(result.planned.axes) > 1 and steps is not None:
        # What chooses its steps by a tolerance is compared with every number of them.
        numbers = sorted({n for row, _ in known if isinstance(n := row.member.at[steps], int)})
        if len(numbers) == len({row.member.at[steps] for row, _ in known}):
            chosen = [*numbers[-1:], *numbers[:1]]
    elif len(result.planned.axes) > 1 and sampler is not None:
        within, chosen = sampler, [row.member.at[sampler] for row, _ in known]
    groups = [
        [(row, cell) for row, cell in known if within is not None and row.member.at[within] == one]
        for one in dict.fromkeys(chosen)
    ]
    texts = [_best_of(group, result.main, short, within) for group in groups if len(group) > 1]
    return texts or [_best_of(known, result.main, short)]


def _best_of(known: list[tuple[Row, Cell]], metric: str, short: str, within: int | None = None) -> str:
    """Of values that have one place of the axis `within` in common, which then is said first."""
    sign = 1 if direction(metric) == "lower" else -1
    ranked = sorted(known, key=lambda pair: sign * pair[1].value)
    (row, cell), others = ranked[0], ranked[1:]
    near = [(other, theirs) for other, theirs in others if compare(cell, theirs).outcome != "better"]
    best, better = ("most varied", "more varied") if metric in VARIETY else ("best", "better")
    where = "" if within is None else f"With {row.names[within]} "
    name, value = row.name(within), f"{number(cell.value)}{made_of(cell)}"
    if len(near) == len(others) == 1:
        other, theirs = near[0]
        second = f"{number(theirs.value)} ({other.name(within)})"
        neither = f"{where}{'neither' if where else 'Neither'} is clearly {better}"
        return f"{neither}: {short} {value} ({name}) against {second}."
    if len(near) == len(others) > 1:
        return (
            f"{where}{'no' if where else 'No'} value is clearly {better} than the others; the {best} is that of {name} "
            f"({short} {value})."
        )
    text = f"{where}{name if where else capital(name)} is {'the ' if metric in VARIETY else ''}{best} ({short} {value})"
    if not near:
        return f"{text}, clearly {better} than {'all others' if len(others) > 1 else others[0][0].name(within)}."
    apart = f", clearly {better} than {len(others) - len(near)} of the {len(others)} others"
    # More names than these say less than their number.
    alike = f"; not clearly apart from {listed([other.name(within) for other, _ in near])}" if len(near) <= 5 else ""
    return f"{text}{apart}{alike}."


def _percent(factor: float, outcome: str) -> str:
    """A change in per cent; one that is clear, and less than one, is not written as none."""
    change = 100 * (factor - 1)
    return signed(change, 0 if outcome == "undecided" or abs(change) >= 1 else decimals(change, 1))


def _beside(base: Base, short: str) -> str:
    """Each way beside the run that it starts from; of three or more the one that changes most. Nothing of none."""
    found: dict[str, list[str]] = {"better": [], "worse": [], "undecided": []}
    clear: list[tuple[float, str]] = []
    for way in base.ways:
        change = "" if way.factor is None else f" ({_percent(way.factor, way.how.outcome)} %)"
        found[way.how.outcome].append(f"{way.name}{change}")
        if way.how.outcome != "undecided" and way.factor is not None and way.factor > 0:
            clear.append((abs(math.log(way.factor)), found[way.how.outcome][-1]))
    words = {"better": "clearly better:", "worse": "clearly worse:", "undecided": "not decided:"}
    parts = [f"{said} {listed(found[outcome])}" for outcome, said in words.items() if found[outcome]]
    if not parts:
        return ""
    most = f" What changes it most: {max(clear)[1]}." if len(base.ways) > 2 and clear else ""
    if len(base.ways) > 2 and len(clear) == 1:
        most = f" Of the {len(base.ways)} changes this one alone is clear: {clear[0][1]}."
    against = f"Against {base.row.name()} ({short} {number(base.cell.value)}{made_of(base.cell)})"
    return f"{against}: {'; '.join(parts)}.{most}"
