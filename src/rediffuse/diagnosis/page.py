"""What a diagnosis looks like: on a terminal, as a page with figures, as JSON."""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.ticker import MaxNLocator
from rich.console import Group
from rich.table import Table as Printed
from rich.text import Text

from rediffuse.diagnosis.case import FINDING, NOT_CHECKED, OK
from rediffuse.diagnosis.checks import CHECKS
from rediffuse.diagnosis.doctor import Diagnosis
from rediffuse.diagnosis.of_samples import bands
from rediffuse.evaluation.distances import pixel_vectors
from rediffuse.evaluation.neighbours import nearest
from rediffuse.files import write_atomically
from rediffuse.formats import write_json
from rediffuse.reporting.render.blocks import Bullets, Lead, chapter_of, numbered
from rediffuse.reporting.render.pages import Part, page
from rediffuse.reporting.render.picture import WIDTH, Picture, finish, mosaic, plain_log, show, styled
from rediffuse.reporting.render.table import Rows, Table, headers
from rediffuse.reporting.terms import BASELINE, IMPROVED, REAL
from rediffuse.reporting.values import Mark, counted

SIGNS = {OK: ("✓", "holds", "green"), FINDING: ("✗", "fails", "red"), NOT_CHECKED: ("·", "open", "dim")}
HEALTHY = "Nothing is wrong with it, as far as was checked."
SHOWN = 16


def verdict(found: Diagnosis) -> str:
    """The root, or that there is none, in a sentence."""
    if not found.findings:
        return HEALTHY
    root = found.findings[0]
    return f"{root.title}: {found.outcomes[root.name].says}."


def terminal(found: Diagnosis) -> Group:
    """The checks as a table, and the findings with what to do, for rich to print."""
    table = Printed("", "Check", "Measured", "Limit", pad_edge=False)
    for name, outcome in found.outcomes.items():
        sign, _, colour = SIGNS[outcome.verdict]
        measured = f"not checked: {outcome.says}" if outcome.verdict == NOT_CHECKED else outcome.value
        table.add_row(Text(sign, style=colour), CHECKS[name].title, Text(measured), Text(CHECKS[name].limit))
    lines = [Text(verdict(found), style="bold")]
    for place, check in enumerate(found.findings):
        if place:
            lines.append(Text(f"Then, perhaps its consequence: {check.title}: {found.outcomes[check.name].says}."))
        lines.append(Text(f"  What to do: {check.remedy}."))
    return Group(Text(found.case.subject.name, style="bold"), table, *lines)


def write(found: Diagnosis, folder: Path) -> None:
    """Write findings.json and page.html into a folder."""
    write_json(folder / "findings.json", found.record())
    write_atomically(folder / "page.html", html(found))


def html(found: Diagnosis) -> str:
    """The page: what is wrong, every check, what it looks like, and where all that comes from."""
    case, broken = found.case, case_is_lost(found)
    with styled():
        pictures = [] if broken else [noise_figure(found), samples_figure(found), spectrum_figure(found)]
    told = [f"{check.title}: {found.outcomes[check.name].says}. {check.remedy}." for check in found.findings[1:]]
    chapters = [
        chapter_of(
            "findings",
            "What is wrong",
            Lead(verdict(found)),
            f"What to do: {found.findings[0].remedy}." if found.findings else None,
            "These may be its consequences; mend the first, and look again:" if told else None,
            Bullets(tuple(told)) if told else None,
        ),
        chapter_of("pictures", "What it looks like", *pictures),
        chapter_of("checks", "Every check", check_table(found)),
        chapter_of(
            "pedigree",
            "Pedigree",
            Bullets(
                (
                    *case.subject.notes,
                    f"{counted(len(case.training.images), 'training image')} noised, as many drawn by DDIM in "
                    f"{counted(case.steps, 'step')}; noise is counted, so that the same command finds the same",
                )
            ),
        ),
    ]
    groups = numbered([("", "", [chapter for chapter in chapters if chapter is not None])])
    return page([Part("diagnosis", f"Diagnosis of {case.subject.name}", (), groups, "tables", "figures")])


def case_is_lost(found: Diagnosis) -> bool:
    """Whether there is no network to look at."""
    return found.outcomes["numbers"].verdict == FINDING


def check_table(found: Diagnosis) -> Table:
    """All checks with measured value, limit and its reason."""
    rows = Rows()
    for name, outcome in found.outcomes.items():
        check, (sign, tone, _) = CHECKS[name], SIGNS[outcome.verdict]
        measured = outcome.says if outcome.verdict == NOT_CHECKED else outcome.value
        rows.add(Mark(sign, outcome.verdict, tone), check.title, measured, check.limit, check.reason)
    marked = frozenset(i for i, outcome in enumerate(found.outcomes.values()) if outcome.verdict == FINDING)
    caption = "Every check in the order of causes: what was measured, its limit, and why that is the limit"
    return Table("checks", caption, headers("Verdict | Check | Measured | Limit | Why this limit"), rows, marked=marked)


def noise_figure(found: Diagnosis) -> Picture:
    """Error relative to the filter's, and calibration, by noise level."""
    case = found.case
    figure, (left, right) = plt.subplots(1, 2, figsize=(WIDTH, 3.9))
    levels = np.log(case.measured.alphas_bar / (1 - case.measured.alphas_bar))
    left.plot(levels, case.measured.ratio, color=BASELINE, marker="o", label="training images")
    if case.unseen is not None:
        left.plot(levels, case.unseen.ratio, color=IMPROVED, marker="s", linestyle="--", label="held-out images")
    left.axhline(1, color=REAL, linestyle=(0, (6, 3)), linewidth=1.3, label="a Wiener filter")
    left.set_yscale("log")
    plain_log(left)
    left.set(title="Error over a Wiener filter's", ylabel="ratio, lower is better")
    left.legend()
    right.plot(levels, case.measured.slope, color=BASELINE, marker="o")
    right.axhline(1, color=REAL, linestyle=(0, (6, 3)), linewidth=1.3)
    low, high = right.get_ylim()
    right.set_ylim(min(low, 0.8), max(high, 1.2))
    right.set(title="Calibration", ylabel="slope of the truth on the output")
    for axes in (left, right):
        axes.invert_xaxis()
        axes.set_xlabel("log-SNR, ln ᾱ/(1 − ᾱ): more noise to the right")
    caption = (
        "How well the network removes known noise from real images, by noise level, and how well calibrated it is."
    )
    return finish(figure, "noise", caption, "Two lines of error and slope against noise level.")


def samples_figure(found: Diagnosis) -> Picture | None:
    """Samples, the training image nearest to each, and real images."""
    case = found.case
    if case.samples is None:
        return None
    known, made = case.subject.training.images, case.samples.images[:SHOWN]
    closest = nearest(pixel_vectors(made), pixel_vectors(known)).index
    rows = (
        ("samples", made),
        ("nearest training image", known[closest]),
        ("real images", case.training.images[:SHOWN]),
    )
    figure, grid = plt.subplots(3, 1, figsize=(WIDTH, 2.3), squeeze=False)
    for axes, (name, images) in zip(grid[:, 0], rows, strict=True):
        show(axes, mosaic(images, SHOWN))
        axes.text(
            -0.01,
            0.5,
            name.replace(" training", "\ntraining"),
            ha="right",
            va="center",
            fontsize=9.5,
            transform=axes.transAxes,
        )
    caption = "What it draws, what that is nearest to in pixels, and real images."
    return finish(figure, "samples", caption, "Three rows of images.", raster=True)


def spectrum_figure(found: Diagnosis) -> Picture | None:
    """Power by frequency of samples and of real images."""
    case = found.case
    if case.samples is None:
        return None
    figure, axes = plt.subplots(figsize=(WIDTH, 3.6))
    for name, images, colour, marker in (
        ("samples", case.samples.images, BASELINE, "o"),
        ("real images", case.training.images, REAL, "s"),
    ):
        power = bands(images)
        rows, columns = np.meshgrid(*(np.abs(np.fft.fftfreq(side)) * side for side in power.shape), indexing="ij")
        ring = np.round(np.hypot(rows, columns)).astype(int)
        radii = range(1, min(power.shape) // 2 + 1)
        axes.plot(list(radii), [power[ring == r].mean() for r in radii], color=colour, marker=marker, label=name)
    axes.set_yscale("log")
    plain_log(axes)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set(title="Power by frequency", xlabel="periods an image", ylabel="mean power")
    axes.legend()
    caption = "Fine detail stands to the right: above real images it is noise, below them blur."
    return finish(figure, "spectrum", caption, "Two lines of power against frequency.")
