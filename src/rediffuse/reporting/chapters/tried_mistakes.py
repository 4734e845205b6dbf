"""The documents' mistakes of sampling, tried on the study's networks beside what is right: distances and pictures."""

from collections import Counter
from typing import NamedTuple

import matplotlib.pyplot as plt
import numpy as np

from rediffuse.corrections.entries import entries
from rediffuse.corrections.registry import WRONG, Variant
from rediffuse.evaluation.intervals import t_half_width
from rediffuse.evaluation.metrics import metric_short
from rediffuse.reporting.experiments.material import Material
from rediffuse.reporting.read.frames import Frames
from rediffuse.reporting.read.records import Found, mistaken_images, records
from rediffuse.reporting.render.blocks import Chapter, chapter_of
from rediffuse.reporting.render.picture import WIDTH, Picture, finish, mosaic, show, wrapped
from rediffuse.reporting.render.table import Rows, Table, headers
from rediffuse.reporting.terms import run_seed
from rediffuse.reporting.values import Estimate, Mark, counted, listed

METRIC = "frechet_distance"
#: D4's bound on the standard deviation of pixels, above which quality is called high (exercise 3.7).
D4_HIGH = 0.3
#: What a document gets wrong in the same line or formula as a mistake.
SECOND = {
    "range-swapped": "takes v as the network gives it, without bringing it from [−1, 1] to [0, 1]",
    "full-direction": "scales the variance by η in place of η²",
    "lower-clip": "clips them at 0.9999 above, where 0.999 is right",
}
#: Verdicts, with sign and tone.
WORSE, BETTER, ALIKE = (
    Mark("✗", "worse", "fails"),
    Mark("✓", "better", "holds"),
    Mark("–", "no difference seen", "open"),
)


class Trial(NamedTuple):
    """A mistake tried on a run and seed, beside what is right.

    right_name: what it is held against. wrong, right: their distances. difference: wrong less right with half the width
    of its interval, None of one group.
    """

    variant: Variant
    found: Found
    right_name: str
    wrong: Estimate
    right: Estimate
    difference: tuple[float, float | None]
    groups: int
    n: int
    std: float
    steps: int

    @property
    def verdict(self) -> Mark:
        """What the interval of the difference says."""
        mean, half = self.difference
        return ALIKE if half is None or abs(mean) <= half else WORSE if mean > 0 else BETTER

    @property
    def shown(self) -> Estimate:
        """The difference with its interval."""
        mean, half = self.difference
        return Estimate(mean) if half is None else Estimate(mean, mean - half, mean + half)


def trials(frames: Frames) -> list[Trial]:
    """Everything that was tried, by run and seed."""
    found = []
    for one in records(frames, "corrections/scores.json", "rows", "scores"):
        for row in one.record["rows"]:
            wrong, right = (one.record["scores"][row[key]] for key in ("wrong", "right"))
            theirs, ours = wrong[METRIC], right[METRIC]
            differences = np.subtract(theirs["groups"], ours["groups"])
            half = t_half_width(differences) if len(differences) > 1 else None
            found.append(
                Trial(
                    WRONG[row["wrong"]],
                    one,
                    row["right"],
                    Estimate.of(theirs),
                    Estimate.of(ours),
                    (float(differences.mean()), half),
                    len(differences),
                    theirs["n"],
                    wrong["std"],
                    wrong["steps"],
                )
            )
    return found


def places(variant: str) -> str:
    """Where a document says it first."""
    found = [one for one in entries() if any(e.damage == variant for e in one.evidence)]
    return listed(list({one.document: f"{one.document} {one.place}" for one in reversed(found)}.values())[::-1])


def table(frames: Frames, found: list[Trial]) -> Table:
    """Distances of the wrong and the right samples, and how far they are apart."""
    rows, short = Rows(), metric_short(METRIC, frames.features)
    for one in found:
        rows.add(
            one.variant.title,
            places(one.variant.name),
            run_seed(one.found.run, one.found.seed),
            one.steps,
            one.wrong,
            one.right,
            one.shown,
            one.verdict,
            one.std,
            frames.pedigree.links([one.found.file]),
        )
    columns = headers(
        f"Mistake | Document | Run | Steps | {short}, wrong | {short}, right | Wrong less right | Verdict | "
        "Pixels' deviation, wrong | From"
    )
    n, groups = found[0].n, found[0].groups
    notes = (
        f"n = {n} images a value, {groups} groups; the right sampler has the same steps, noise and weights, and "
        "differs in what the document writes there alone. Difference: paired by groups, 95 % t-interval. Values of so "
        "few images are high for all, and compare with each other only.",
        *_second([one.variant for one in found]),
        "Deviation: of pixels in [−1, 1].",
    )
    caption = "The documents' mistakes of sampling on this study's networks, each beside what is right."
    return Table("mistakes-tried", caption, columns, rows, notes=notes, narrow=True)


def _second(variants: list[Variant]) -> tuple[str, ...]:
    """What else is wrong in the same place of a document, and therefore not told apart here."""
    told = {one.title: SECOND[one.name] for one in variants if one.name in SECOND}
    said = "; ".join(f"“{title}” also {what}" for title, what in told.items())
    return (f"Two things are wrong in one place, and tried together: {said}.",) if told else ()


def words(found: list[Trial]) -> str:
    """How many do harm, and what D4's own rule of quality makes of them."""
    tally = Counter(one.verdict.text for one in found)
    worst = max(found, key=lambda one: one.difference[0])
    parts = [
        f"{counted(len(found), 'mistake')} of sampling can be run. Beside what is right, from the same noise, "
        f"{tally['worse']} {'makes' if tally['worse'] == 1 else 'make'} samples worse by more than chance; the worst "
        f"is “{worst.variant.title}”."
    ]
    if alike := [f"“{one.variant.title}”" for one in found if one.verdict == ALIKE]:
        parts.append(
            f"No difference was seen for {listed(alike)}: wrong by the formula, harmless at this size, or too small "
            "for so few images."
        )
    high = sum(one.std > D4_HIGH for one in found)
    parts.append(
        f"D4 (exercise 3.7) calls quality high where pixels deviate by more than {D4_HIGH:g}: {high} of {len(found)} "
        "wrong samplers pass."
    )
    return " ".join(parts)


def picture(frames: Frames, found: list[Trial]) -> Picture | None:
    """Images of each mistake, and of what is right beside them, from the same noise."""
    shown: list[tuple[str, np.ndarray, np.ndarray]] = []
    for one in found:
        drawn = mistaken_images(frames, one.found.run)
        if drawn is not None and one.found.seed == one.found.run.seeds[0]:
            shown.append((one.variant.title, drawn[one.variant.name], drawn[one.right_name]))
    if not shown:
        return None
    figure, grid = plt.subplots(len(shown), 2, figsize=(WIDTH, 0.5 + 0.44 * len(shown)), squeeze=False, layout="none")
    figure.subplots_adjust(
        left=0.27, right=0.995, top=1 - 0.3 / (0.5 + 0.44 * len(shown)), bottom=0.01, wspace=0.04, hspace=0.12
    )
    for place, (axes, (name, wrong, right)) in enumerate(zip(grid, shown, strict=True)):
        for half, images, title in zip(axes, (wrong, right), ("Wrong", "Right"), strict=True):
            show(half, mosaic(images, len(images)), title if place == 0 else "")
        look = {"ha": "right", "va": "center", "fontsize": 9, "transform": axes[0].transAxes}
        axes[0].text(-0.03, 0.5, wrapped(name, 38), **look)
    caption = "The first samples of each mistake and, from the same noise, of the right sampler. None was picked."
    alt = "Rows of images, one for each mistake: wrong samples on the left, right ones on the right."
    return finish(figure, "mistakes-tried", caption, alt, raster=True)


def chapter(material: Material) -> Chapter | None:
    """What the mistakes do."""
    found = trials(material.frames)
    if not found:
        return None
    told = (words(found), picture(material.frames, found), table(material.frames, found))
    return chapter_of("mistakes-tried", "The mistakes that can be run", *told)
