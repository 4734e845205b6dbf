"""Sentences with numbers, made from the frames: they say what was found, whoever wins."""

from collections import Counter

from rediffuse.config import ResolvedRun
from rediffuse.reporting.cells import Cell, Cells, bounds, compare, optional
from rediffuse.reporting.frames import Frames
from rediffuse.reporting.terms import (
    NOT_RECORDED,
    cell_label,
    counted,
    direction,
    listed,
    metric_title,
    number,
    run_of_role,
    settings_in_order,
)

MAIN = "frechet_distance"


def headline(frames: Frames, cells: Cells, metric: str = MAIN) -> list[str]:
    """What the comparison of baseline and improved run came to in one metric."""
    loaded = frames.loaded
    baseline, improved = run_of_role(loaded, "baseline"), run_of_role(loaded, "improved")
    if baseline is None or improved is None:
        return ["The study has no pair of a baseline and an improved run to compare."]
    title = metric_title(metric, frames.features)
    shared = [
        setting
        for setting, _, _ in settings_in_order(loaded)
        if all(any(name == setting for name, _, _ in run.settings()) for run in (baseline, improved))
    ]
    pairs = {s: (cells.get((improved.name, s, metric)), cells.get((baseline.name, s, metric))) for s in shared}
    judged = {s: compare(ours, theirs) for s, (ours, theirs) in pairs.items() if ours is not None and theirs is not None}
    if not judged:
        return [f"{title[:1].upper()}{title[1:]}: not run for both {baseline.label} and {improved.label}."]
    outcomes = Counter(comparison.outcome for comparison in judged.values())
    wins, losses, open_ = outcomes["better"], outcomes["worse"], outcomes["undecided"]
    verdict = (
        f"{improved.label} is better than {baseline.label}"
        if wins == len(judged)
        else f"{improved.label} does not win against {baseline.label}"
        if wins == 0
        else f"{improved.label} wins against {baseline.label} at some settings and not at others"
    )
    first = f"By {title} ({direction(metric)} is better), {verdict}: of {counted(len(judged), 'setting')} of sampler and steps that both"
    first += f" were sampled with, it is clearly better at {wins}, clearly worse at {losses} and undecided at {open_}"
    missing = len(shared) - len(judged)
    sentences = [first + (f"; {counted(missing, 'setting')} not run." if missing else ".")]
    for outcome, opening in (("worse", f"{baseline.label} is clearly better with"), ("undecided", "Undecided are")):
        found = [f"{s} ({_pair(*pairs[s], baseline, improved)})" for s, c in judged.items() if c.outcome == outcome]
        if found:
            sentences.append(f"{opening} {listed(found)}.")
    return sentences + _best(frames, cells, metric, baseline, improved) + _real(frames, cells, metric)


def _pair(ours: Cell | None, theirs: Cell | None, baseline: ResolvedRun, improved: ResolvedRun) -> str:
    assert ours is not None and theirs is not None
    return f"{baseline.label} {number(theirs.value)}, {improved.label} {number(ours.value)}"


def best(cells: Cells, run: ResolvedRun, metric: str) -> Cell | None:
    """The best of a run's settings by value."""
    found = [cells[run.name, s, metric] for s, _, _ in run.settings() if (run.name, s, metric) in cells]
    sign = 1 if direction(metric) == "lower" else -1
    return min(found, key=lambda cell: sign * cell.value) if found else None


def _best(frames: Frames, cells: Cells, metric: str, baseline: ResolvedRun, improved: ResolvedRun) -> list[str]:
    ours, theirs = best(cells, improved, metric), best(cells, baseline, metric)
    if ours is None or theirs is None:
        return []
    comparison = compare(ours, theirs)
    verdict = {
        "better": f"{improved.label} is clearly better at its best",
        "worse": f"{baseline.label} is clearly better at its best",
        "undecided": "the two are not clearly apart at their best",
    }[comparison.outcome]
    text = (
        f"The best setting of {baseline.label} is {theirs.setting} with {_with_interval(theirs)}, that of {improved.label} is "
        f"{ours.setting} with {_with_interval(ours)}: {verdict} (each the best of its own settings, which favours both)."
    )
    return [text]


def _real(frames: Frames, cells: Cells, metric: str) -> list[str]:
    real, noise = cells.get(("real", "held-out", metric)), cells.get(("real", "noise", metric))
    if real is None:
        return ["The line of held-out real images: not run."]
    text = f"Held-out real images score {number(real.value)} from the same number of images (n = {real.n})"
    sentences = [text + (f", noise {number(noise.value)}." if noise else "; noise: not run.")]
    sign = 1 if direction(metric) == "lower" else -1
    past = [
        cell_label(frames.loaded, run, setting)
        for (run, setting, name), cell in cells.items()
        if name == metric and run != "real" and max(sign * end for end in bounds(cell)) < sign * real.value
    ]
    if past:
        sentences.append(
            f"{counted(len(past), 'setting scores', 'settings score')} beyond the line of held-out images ({listed(past)}). That is no "
            "proof of better images than real ones: samples may lie nearer to the training images than held-out images do, and the line "
            "itself moves with the images held out."
        )
    return sentences


def cost(frames: Frames) -> list[str]:
    """What the improved run costs beside the baseline."""
    baseline, improved = run_of_role(frames.loaded, "baseline"), run_of_role(frames.loaded, "improved")
    if baseline is None or improved is None:
        return []
    sentences = []
    ours, theirs = (_means(frames, run) for run in (improved, baseline))
    for name, what, unit in (("parameters", "parameters", ""), ("ms_per_step", "time per training step", " ms")):
        mine, other = ours.get(name), theirs.get(name)
        if mine is None or other is None:
            sentences.append(f"{what[:1].upper()}{what[1:]} of the two runs: {NOT_RECORDED}.")
            continue
        shown = [f"{int(v):,}" if name == "parameters" else number(v) for v in (other, mine)]
        ratio = f"{mine / other:.3f}" if name == "parameters" else f"{mine / other:.2f}"
        sentences.append(
            f"{what[:1].upper()}{what[1:]}: {shown[0]}{unit} for {baseline.label}, {shown[1]}{unit} for {improved.label} ({ratio} times)."
        )
    return sentences


def _means(frames: Frames, run: ResolvedRun) -> dict[str, float]:
    rows = frames.training[frames.training["run"] == run.name]
    found = {name: [v for v in map(optional, rows[name]) if v is not None] for name in ("parameters", "ms_per_step")}
    return {name: sum(values) / len(values) for name, values in found.items() if values}


def _with_interval(cell: Cell) -> str:
    if cell.low is None or cell.high is None:
        return number(cell.value)
    return f"{number(cell.value)} (interval {number(cell.low)} to {number(cell.high)})"


def provenance(frames: Frames) -> list[str]:
    """Which commits and code made the files, and whether any file is not the one its receipt describes."""
    sources = [source for source in frames.pedigree.sources.values() if not source.id.startswith("A")]
    commits = list(dict.fromkeys(source.commit for source in sources if source.commit != NOT_RECORDED))
    sentences = []
    if not commits:
        sentences.append(f"Commit of the code that made the files: {NOT_RECORDED}.")
    elif len(commits) == 1:
        sentences.append(f"All files with a receipt were made at commit `{commits[0]}`.")
    else:
        shown = listed([f"`{commit[:12]}{'+changes' if '+' in commit else ''}`" for commit in commits])
        sentences.append(f"The files were made at {len(commits)} commits: {shown}; the pedigree says which at which.")
    if any("+" in commit for commit in commits):
        sentences.append("`+changes` means that source or settings had changes that the commit does not hold; the code digest does.")
    altered = [source.path for source in sources if source.state == "altered since"]
    if altered:
        sentences.append(f"Warning: {listed(altered)} {'is' if len(altered) == 1 else 'are'} not what the receipt says was made.")
    return sentences
