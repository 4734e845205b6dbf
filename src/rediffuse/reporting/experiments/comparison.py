"""Two runs against each other in sentences: they say what was found, whoever wins."""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from rediffuse.config import ResolvedRun
from rediffuse.evaluation.metrics import metric_title
from rediffuse.reporting.experiments.cells import Cell, Cells
from rediffuse.reporting.experiments.contrasts import Comparison, compare
from rediffuse.reporting.read.frames import Frames
from rediffuse.reporting.read.pedigree import ALTERED
from rediffuse.reporting.terms import (
    MAIN,
    RUN_SETTINGS,
    capital,
    direction,
    in_sentence,
    run_of_role,
    sampler_title,
    setting_words,
    settings_in_order,
)
from rediffuse.reporting.values import NOT_RUN, counted, listed, number
from rediffuse.runs import facts


def main_pair(frames: Frames) -> tuple[ResolvedRun, ResolvedRun] | None:
    """The baseline and the improved run, None when the study lacks one."""
    baseline, improved = run_of_role(frames.loaded, "baseline"), run_of_role(frames.loaded, "improved")
    return (baseline, improved) if baseline and improved else None


def shared_settings(frames: Frames, pair: tuple[ResolvedRun, ResolvedRun]) -> list[str]:
    """The settings in which the first experiment that compares the two has both; without one, those that the study asks
    of both.
    """
    for planned in frames.loaded.experiments.values():
        if "run" in planned.axes and MAIN in planned.asks.metrics:
            one, two = ([member.setting for member in planned.members if member.run == run.name] for run in pair)
            if both := [setting for setting in dict.fromkeys(one) if setting in two]:
                return both
    asked = [{setting for setting, _, _ in facts.own_settings(run)} for run in pair]
    return [setting for setting, _, _ in settings_in_order(frames.loaded) if setting in asked[0] & asked[1]]


class Pair(NamedTuple):
    """Values of two runs that are sampled alike: how, in words, and how the second run's stands against the first's."""

    words: str
    first: Cell
    second: Cell
    how: Comparison


def pairs_of(found: Iterable[tuple[str, Cell | None, Cell | None]]) -> list[Pair]:
    """Those of (words, first, second) that have both."""
    return [Pair(w, one, two, compare(two, one)) for w, one, two in found if one is not None and two is not None]


def won(pairs: list[Pair], first: str, second: str) -> str:
    """How many pairs each run wins, and where by the most: "B is clearly better in 7 (most with …), A in none; 6 …"."""
    parts = []
    for outcome, winner in (("better", f"{second} is clearly better"), ("worse", first)):
        found = [pair for pair in pairs if pair.how.outcome == outcome]
        if found:
            gap = max(
                found, key=lambda p: abs(p.first.value - p.second.value) / (abs(p.first.value + p.second.value) or 1)
            )
            values = [number(cell.value) for cell in (gap.second, gap.first)[:: 1 if outcome == "better" else -1]]
            most = "" if len(found) == 1 else "most "
            count = f"all {len(pairs)}" if len(found) == len(pairs) > 1 else len(found)
            parts.append(f"{winner} in {count} ({most}with {gap.words}: {values[0]} against {values[1]})")
        else:
            parts.append(f"{winner} in none")
    undecided = sum(pair.how.outcome == "undecided" for pair in pairs)
    rest = f"; {undecided} {'is' if undecided == 1 else 'are'} undecided" if undecided else ""
    return ", ".join(parts) + rest


def contest(
    frames: Frames, metric: str, labels: tuple[str, str], found: Sequence[tuple[str, Cell | None, Cell | None]]
) -> str:
    """What the comparison of two runs came to in a metric, from (how sampled, first, second); None is not run."""
    title, pairs = metric_title(metric, frames.features), pairs_of(found)
    if not pairs:
        return f"{capital(title)} of {listed(list(labels))}: {NOT_RUN}."
    if metric in RUN_SETTINGS:  # one value a run, however it is sampled
        _, first, second, how = pairs[0]
        winner = {"better": labels[1], "worse": labels[0]}.get(how.outcome, "neither")
        values = f"{number(second.value)} ({labels[1]}) against {number(first.value)} ({labels[0]})"
        return f"By {title} ({direction(metric)} is better), {winner} is clearly better: {values}."
    missing = f"; {counted(len(found) - len(pairs), 'pair')} {NOT_RUN}" if len(pairs) < len(found) else ""
    if metric != MAIN:
        return f"By {title} ({direction(metric)} is better), {won(pairs, *labels)}{missing}."
    return (
        f"Of {counted(len(pairs), 'pair')} with the same sampler and steps, compared by {title} ({direction(metric)} "
        f"is better, n = {pairs[0].first.n} images a value), {won(pairs, *labels)}{missing}."
    )


def in_short(frames: Frames, cells: Cells, metric: str = MAIN) -> str:
    """Who of the main pair is better at how many settings, and where by how much: the first sentence of a report."""
    pair = main_pair(frames)
    if pair is None:
        return "The study has no pair of a baseline and an improved run to compare."
    first, second = (run.name for run in pair)
    found = {
        s: (setting_words(frames.loaded, second, s), cells.get((first, s, metric)), cells.get((second, s, metric)))
        for s in shared_settings(frames, pair)
    }
    text = contest(frames, metric, (pair[0].label, pair[1].label), list(found.values()))
    return " ".join(filter(None, (text, by_sampler(pair, found), by_variance(pair, list(found), cells, metric))))


def by_sampler(pair: tuple[ResolvedRun, ResolvedRun], found: Mapping[str, tuple[str, Cell | None, Cell | None]]) -> str:
    """In how many ways the second run is better with each sampler, where there are several; and with which variance the
    two step, where ancestral sampling takes another from each.
    """
    by: dict[str, list[Pair]] = {}
    for setting, key, _ in facts.settings(pair[1]):
        if setting in found:
            by.setdefault(key, []).extend(pairs_of([found[setting]]))
    if len(by) < 2:
        return ""
    told = []
    for key, pairs in by.items():
        variances = [str(facts.describe(run, key)["variance"]) for run in pair]
        stepped = (pair[1].sampling.samplers[key].kind or key) == "ancestral" and variances[0] != variances[1]
        how = f" (variance {variances[1]} against {variances[0]})" if stepped else ""
        wins = sum(one.how.outcome == "better" for one in pairs)
        told.append(f"{wins} of {len(pairs)} by {in_sentence(sampler_title(pair[1], key))}{how}")
    return f"{pair[1].label} wins {listed(told)}."


def by_variance(pair: tuple[ResolvedRun, ResolvedRun], shared: Sequence[str], cells: Cells, metric: str) -> str:
    """Who is better where the first run takes ancestral steps of another variance than its own, at no cost of
    training, at the same steps as the second run's, all else alike.
    """
    first, second = pair
    ours = {
        (pace, _but_variance(second, key)): setting
        for setting, key, pace in facts.settings(second)
        if setting in shared and facts.describe(second, key)["kind"] == "ancestral"
    }
    by: dict[str, list[Pair]] = {}
    for setting, key, pace in facts.settings(first):
        mine, variance = ours.get((pace, _but_variance(first, key))), str(facts.describe(first, key)["variance"])
        if mine is not None and first.diffusion is not None and variance != first.diffusion.variance:
            one, two = cells.get((first.name, setting, metric)), cells.get((second.name, mine, metric))
            by.setdefault(variance, []).extend(pairs_of([(facts.in_words(pace), one, two)]))
    return " ".join(
        f"Against {first.label} with the variance {variance} instead, at the same steps, "
        f"{won(pairs, first.label, second.label)}."
        for variance, pairs in by.items()
        if pairs
    )


def _but_variance(run: ResolvedRun, key: str) -> str:
    """All that a sampler does but its variance."""
    return repr(sorted((facts.describe(run, key) | {"variance": None}).items()))


def likelihood_sentence(frames: Frames, cells: Cells) -> list[str]:
    """Which of the main pair gives held-out images the higher likelihood, and by how much."""
    pair = main_pair(frames)
    metric, setting = next(iter(RUN_SETTINGS.items()))
    found = [cells.get((run.name, setting, metric)) for run in pair] if pair else []
    if pair is None or None in found:
        return []
    (baseline, improved), (theirs, ours) = pair, [cell for cell in found if cell is not None]
    comparison = compare(ours, theirs)
    verdict = {
        "better": f"{improved.label} gives held-out images the higher likelihood",
        "worse": f"{baseline.label} gives held-out images the higher likelihood",
    }.get(comparison.outcome, f"which gives held-out images the higher likelihood is undecided: {comparison.reason}")
    values = f"{number(ours.value)} bits/dim for {improved.label}, {number(theirs.value)} for {baseline.label}"
    return [f"By the variational bound, {verdict} ({values}; {counted(ours.n, 'image')})."]


def altered(frames: Frames) -> str:
    """A warning where a file is not the one that its receipt describes."""
    paths = [source.path for source in frames.pedigree.sources.values() if source.state == ALTERED]
    are = "is" if len(paths) == 1 else "are"
    return f"Warning: {listed(paths)} {are} not what the receipt says was made." if paths else ""
