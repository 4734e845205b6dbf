"""Fidelity and variety apart: precision, recall, density, coverage and diversity beside the line of real images."""

import re

from rediffuse.config import ResolvedRun
from rediffuse.config.sampling import Setting
from rediffuse.config.sections import LpipsWeights
from rediffuse.reporting.experiments.cells import Cells, estimate
from rediffuse.reporting.experiments.material import Material
from rediffuse.reporting.read.frames import LPIPS, Frames
from rediffuse.reporting.render.blocks import Chapter, chapter_of
from rediffuse.reporting.render.table import Rows, Table, headers, metric_titles
from rediffuse.reporting.terms import REAL_LINES, cell_label, every_run, sampler_title
from rediffuse.reporting.values import NOT_ASKED, NOT_RUN, Value, counted, listed, number
from rediffuse.runs import facts

METRICS = ("precision", "recall", "density", "coverage", "diversity")


def stands_for(run: ResolvedRun) -> list[Setting]:
    """(setting, sampler, steps) of the sampler that stands for a run, most steps first."""
    _, main, _ = facts.shown_setting(run)
    return sorted((s for s in facts.own_settings(run) if s[1] == main), key=facts.fineness)


def table(frames: Frames, cells: Cells) -> Table | None:
    """The five metrics of every run and one-pass model beside held-out real images and noise; None without any."""
    rows = Rows()
    places: list[tuple[str, str, Value, str, str]] = []
    for run in every_run(frames.loaded):
        places += [
            (run.label, sampler_title(run, key), steps, run.name, setting) for setting, key, steps in stands_for(run)
        ]
    places += [(title, NOT_ASKED, NOT_ASKED, "real", name) for name, title in REAL_LINES.items()]
    weighed = frames.loaded.study.evaluation.lpips
    asked = {("real", "held-out")} | {(m.name, facts.shown_setting(m)[0]) for m in every_run(frames.loaded)}
    for label, sampler, steps, name, setting in places:
        found = [cells.get((name, setting, metric)) for metric in METRICS]
        known = next((cell for cell in found if cell is not None), None)
        links = frames.pedigree.links(known.files if known else ())
        perceptual = [estimate(cells.get((name, setting, LPIPS)), (name, setting) in asked)] if weighed else []
        rows.add(label, sampler, steps, *map(estimate, found), *perceptual, known.n if known else NOT_RUN, links)
    if not any(metric in METRICS for _, _, metric in cells):
        return None
    titles = metric_titles(METRICS, frames.features) + (["LPIPS diversity"] if weighed else [])
    columns = headers("Model | Sampler | Steps", titles, "n | From")
    shown = [cells.get((name, setting, metric)) for *_, name, setting in places for metric in METRICS]
    intervals = {cell.interval for cell in shown if cell is not None and cell.low is not None}
    caption = (
        "Fidelity (precision, density) and variety (recall, coverage, diversity) of the sampler that stands for each "
        "model, at each number of steps."
    )
    notes = (
        "Precision: share of samples within the 3rd-neighbour ball of some training image; recall: share of "
        "training images within that of some sample (Kynkäänniemi et al. 2019). Density and coverage: the same "
        "with 5th-neighbour balls of training images, counted (Naeem et al. 2020). Diversity: mean feature "
        "distance between two samples; that of real images is what samples should have, not exceed.",
        "Recall and coverage grow with n, which is the same in every row."
        + (f" Brackets: {_together(intervals)}." if intervals else ""),
        *([_lpips_note(cells, weighed)] if weighed else []),
    )
    marked = frozenset((len(rows) - 2, len(rows) - 1))
    return Table("fidelity", caption, columns, rows, notes, marked, narrow=True)


def _together(intervals: set[str]) -> str:
    """What intervals are called, those that differ in a number alone once: "t-interval over 3, 4 or 10 groups"."""
    counts: dict[tuple[str, str], list[int]] = {}
    for one in sorted(intervals):
        if found := re.fullmatch(r"(.*?)(\d*)(\D*)", one):  # as every text does
            head, count, tail = found.groups()
            counts.setdefault((head, tail), []).append(int(count or 0))
    texts = []
    for (head, tail), numbers in counts.items():
        *few, most = map(str, sorted(numbers))
        texts.append(f"{head}{', '.join(few)}{' or ' if few else ''}{most if max(numbers) else ''}{tail}")
    return "; ".join(texts)


def _lpips_note(cells: Cells, lpips: LpipsWeights) -> str:
    """What the column holds and of how many images."""
    n = next((cell.n for cell in cells.values() if cell.metric == LPIPS), None)
    network = {"alex": "AlexNet", "vgg": "VGG-16"}[lpips.network]
    images = "" if n is None else f" of the first {counted(n, 'image')} of each group"
    size = "" if lpips.size is None else f", images brought to {lpips.size}×{lpips.size}"
    return (
        f"LPIPS diversity: mean LPIPS ({network}{size}) over all pairs{images}, for the setting that stands for each "
        "model (Zhang et al. 2018); that of real images is what samples should have, not exceed."
    )


def words(frames: Frames, cells: Cells) -> str:
    """Which of precision and recall each model lacks beside real images, at the setting that stands for it; what noise
    has tells how much such a number means.
    """
    real = {metric: cells.get(("real", "held-out", metric)) for metric in ("precision", "recall")}
    known = {metric: line for metric, line in real.items() if line is not None}
    parts = []
    for run in every_run(frames.loaded):
        setting, _, _ = facts.shown_setting(run)
        found = [cells.get((run.name, setting, metric)) for metric in known]
        values = [number(cell.value, 3) for cell in found if cell is not None]
        if known and len(values) == len(known):
            parts.append(f"{cell_label(frames.loaded, run.name, setting)} {listed(values)}")
    if not parts:
        return ""
    n = next(cell.n for cell in known.values())
    line = listed([f"{metric} {number(cell.value, 3)}" for metric, cell in known.items()])
    noise = [number(cell.value, 3) for metric in known if (cell := cells.get(("real", "noise", metric))) is not None]
    beside = f" (noise: {listed(noise)})" if noise else ""
    return f"{counted(n, 'held-out real image')} have {line}{beside}; {'; '.join(parts)}."


def chapter(material: Material) -> Chapter | None:
    """Which of fidelity and variety each model lacks, and the five metrics."""
    frames, cells = material.frames, material.cells
    return chapter_of("fidelity", "Fidelity and variety", words(frames, cells), table(frames, cells))
