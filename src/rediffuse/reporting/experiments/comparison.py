"""The baseline against the improved run in sentences: they say what was found, whoever wins."""

from collections import Counter

from rediffuse.config import ResolvedRun
from rediffuse.evaluation.metrics import metric_title
from rediffuse.reporting.experiments.cells import Cell, Cells, bounds
from rediffuse.reporting.experiments.contrasts import Comparison, compare
from rediffuse.reporting.read.frames import Frames
from rediffuse.reporting.read.pedigree import ALTERED
from rediffuse.reporting.terms import (
    MAIN,
    RUN_SETTINGS,
    capital,
    cell_label,
    direction,
    run_of_role,
    setting_words,
    settings_in_order,
)
from rediffuse.reporting.values import NOT_RUN, counted, listed, number
from rediffuse.runs import facts

Pair = tuple[ResolvedRun, ResolvedRun]


def main_pair(frames: Frames) -> Pair | None:
    """The baseline and the improved run, None when the study lacks one."""
    baseline, improved = run_of_role(frames.loaded, "baseline"), run_of_role(frames.loaded, "improved")
    return (baseline, improved) if baseline and improved else None


def shared_settings(frames: Frames, pair: Pair) -> list[str]:
    """The settings that the study asks of both runs."""
    asked = [{setting for setting, _, _ in facts.own_settings(run)} for run in pair]
    return [setting for setting, _, _ in settings_in_order(frames.loaded) if setting in asked[0] & asked[1]]


def _judged(frames: Frames, cells: Cells, metric: str, pair: Pair) -> dict[str, tuple[Cell, Cell, Comparison]]:
    """Setting -> (baseline's cell, improved run's cell, how the improved one stands), where both were run."""
    judged = {}
    for setting in shared_settings(frames, pair):
        theirs, ours = (cells.get((run.name, setting, metric)) for run in pair)
        if theirs is not None and ours is not None:
            judged[setting] = (theirs, ours, compare(ours, theirs))
    return judged


def headline(frames: Frames, cells: Cells, metric: str = MAIN) -> list[str]:
    """What the comparison of baseline and improved run came to in one metric, in a sentence."""
    pair = main_pair(frames)
    if pair is None:
        return ["The study has no pair of a baseline and an improved run to compare."]
    baseline, improved = pair
    title = metric_title(metric, frames.features)
    judged = _judged(frames, cells, metric, pair)
    if not judged:
        return [f"{capital(title)} of {baseline.label} and {improved.label}: {NOT_RUN}."]
    outcomes = Counter(comparison.outcome for _, _, comparison in judged.values())
    wins, losses, undecided = outcomes["better"], outcomes["worse"], outcomes["undecided"]
    if wins == len(judged):
        verdict = f"{improved.label} is better than {baseline.label} everywhere"
    elif wins == 0 and losses:
        verdict = f"{improved.label} does not win against {baseline.label}, it loses"
    elif wins == 0:
        verdict = f"{improved.label} does not win against {baseline.label}"
    else:
        verdict = f"{improved.label} wins against {baseline.label} in part"
    text = (
        f"By {title} ({direction(metric)} is better), {verdict}: of {counted(len(judged), 'setting')} of sampler and "
        f"steps that both were sampled with, it is clearly better at {wins}, clearly worse at {losses} and undecided "
        f"at {undecided}"
    )
    missing = len(shared_settings(frames, pair)) - len(judged)
    return [text + (f"; {counted(missing, 'setting')} {NOT_RUN}." if missing else ".")]


def in_short(frames: Frames, cells: Cells, metric: str = MAIN) -> str:
    """Who is better at how many settings, and where by how much: the first sentence of a report."""
    pair = main_pair(frames)
    judged = _judged(frames, cells, metric, pair) if pair else {}
    if pair is None or not judged:
        return " ".join(headline(frames, cells, metric))
    baseline, improved = pair
    parts = []
    for outcome, winner in (("better", improved), ("worse", baseline)):
        found = [(s, ours, theirs) for s, (theirs, ours, how) in judged.items() if how.outcome == outcome]
        if found:
            gap = max(found, key=lambda one: abs(one[1].value - one[2].value) / abs(one[1].value + one[2].value or 1))
            setting, ours, theirs = gap
            values = [number(cell.value) for cell in ((ours, theirs) if outcome == "better" else (theirs, ours))]
            most = "" if len(found) == 1 else "most "
            words = setting_words(frames.loaded, improved.name, setting)
            parts.append(f"{winner.label} in {len(found)} ({most}with {words}: {values[0]} against {values[1]})")
        else:
            parts.append(f"{winner.label} in none")
    undecided = sum(comparison.outcome == "undecided" for _, _, comparison in judged.values())
    parts += [f"{undecided} {'is' if undecided == 1 else 'are'} undecided"] if undecided else []
    n = next(iter(judged.values()))[0].n
    return (
        f"Of {counted(len(judged), 'pair')} with the same sampler and steps, one is clearly better by "
        f"{metric_title(metric, frames.features)} ({direction(metric)} is better, n = {n} images a value): "
        f"{listed(parts)}."
    )


def exceptions(frames: Frames, cells: Cells, metric: str = MAIN) -> list[str]:
    """The settings at which the improved run does not win."""
    pair = main_pair(frames)
    if pair is None:
        return []
    baseline, improved = pair
    sentences = []
    for outcome, opening in (("worse", f"{baseline.label} is clearly better with"), ("undecided", "Undecided:")):
        found = [
            f"{setting_words(frames.loaded, improved.name, setting)} ({baseline.label} {number(theirs.value)}, {improved.label} {number(ours.value)})"
            for setting, (theirs, ours, comparison) in _judged(frames, cells, metric, pair).items()
            if comparison.outcome == outcome
        ]
        if found:
            sentences.append(f"{opening} {listed(found)}.")
    return sentences


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


def best(cells: Cells, run: ResolvedRun, metric: str) -> Cell | None:
    """The best of a run's settings by value."""
    found = [cells[run.name, s, metric] for s, _, _ in facts.comparable_settings(run) if (run.name, s, metric) in cells]
    sign = 1 if direction(metric) == "lower" else -1
    return min(found, key=lambda cell: sign * cell.value) if found else None


def best_settings(frames: Frames, cells: Cells, metric: str = MAIN) -> list[str]:
    """Each run at its best, and whether the two are apart."""
    pair = main_pair(frames)
    if pair is None:
        return []
    baseline, improved = pair
    theirs, ours = (best(cells, run, metric) for run in pair)
    if ours is None or theirs is None:
        return []
    verdict = {
        "better": f"{improved.label} is clearly better at its best",
        "worse": f"{baseline.label} is clearly better at its best",
        "undecided": "at their best the two are not clearly apart",
    }[compare(ours, theirs).outcome]
    names = [setting_words(frames.loaded, cell.run, cell.setting) for cell in (theirs, ours)]
    text = (
        f"{baseline.label} is at its best with {names[0]}, {_with_interval(theirs)}, {improved.label} with {names[1]}, "
        f"{_with_interval(ours)}: {verdict}. Each is the best of several values of its run, which flatters both."
    )
    return [text]


def real_line(frames: Frames, cells: Cells, metric: str = MAIN) -> list[str]:
    """What real images and noise score."""
    real, noise = (cells.get(("real", name, metric)) for name in ("held-out", "noise"))
    if real is None:
        return [f"The line of held-out real images: {NOT_RUN}."]
    text = f"Held-out real images score {number(real.value)} from the same number of images (n = {real.n})"
    return [text + (f", noise {number(noise.value)}." if noise else f"; noise: {NOT_RUN}.")]


def beyond_real(frames: Frames, cells: Cells, metric: str = MAIN) -> list[str]:
    """A warning where samples score better than held-out real images."""
    real = cells.get(("real", "held-out", metric))
    if real is None:
        return []
    sign = 1 if direction(metric) == "lower" else -1
    past = [
        cell_label(frames.loaded, run, setting)
        for (run, setting, name), cell in cells.items()
        if name == metric and run in frames.loaded.runs and max(sign * end for end in bounds(cell)) < sign * real.value
    ]
    if not past:
        return []
    return [
        f"{counted(len(past), 'setting scores', 'settings score')} beyond the line of held-out images "
        f"({listed(past)}). That does not make them better than real: samples may lie nearer to the training images "
        "than held-out images do, and the line itself would move with other images held out."
    ]


def _with_interval(cell: Cell) -> str:
    if cell.low is None or cell.high is None:
        return number(cell.value)
    return f"{number(cell.value)} (interval {number(cell.low)} to {number(cell.high)})"


def altered(frames: Frames) -> str:
    """A warning where a file is not the one that its receipt describes."""
    paths = [source.path for source in frames.pedigree.sources.values() if source.state == ALTERED]
    are = "is" if len(paths) == 1 else "are"
    return f"Warning: {listed(paths)} {are} not what the receipt says was made." if paths else ""
