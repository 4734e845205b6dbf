"""What the number of images does to the Fréchet distance, and what is left at infinitely many."""

from typing import Any, NamedTuple

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from rediffuse.evaluation.metrics import metric_short, metric_title
from rediffuse.reporting.experiments.material import Material
from rediffuse.reporting.read.frames import Frames
from rediffuse.reporting.read.records import examined
from rediffuse.reporting.render.blocks import Chapter, chapter_of
from rediffuse.reporting.render.picture import (
    WIDTH,
    Picture,
    error_bars,
    finish,
    handle,
    log_steps,
    outside_legend,
    plain_log,
)
from rediffuse.reporting.render.table import Rows, Table, headers
from rediffuse.reporting.terms import REAL, REAL_LABEL, capital, run_colours, setting_title
from rediffuse.reporting.values import NOT_ASKED, NOT_RUN, Estimate, Value, counted, listed, number, spans, whole
from rediffuse.runs import facts

#: The number of images whose bias is told: the lab report that this project follows scored 205 with so many.
FEW = 100
#: Departures from the line, as a share of its drop, beyond which it is not to be trusted.
CURVED = 0.03


class Curve(NamedTuple):
    """Distances by number of images of a model's samples, or of held-out real images;
    one_pass: it makes them at once.
    """

    label: str
    setting: str
    seed: int | None
    colour: str
    record: dict[str, Any]
    file: str
    one_pass: bool = False


def curves(frames: Frames) -> list[Curve]:
    """Those of every model and seed that was examined, and last those of held-out real images."""
    found, real = [], None
    for model, seed, record, file in examined(frames):
        counts, colour = record["by_count"], run_colours(frames.loaded)[model.name]
        one_pass, how = facts.is_one_pass(model), setting_title(frames.loaded, model.name, record["setting"])
        found.append(Curve(model.label, how, seed, colour, counts["samples"], file, one_pass))
        real = real or Curve(REAL_LABEL, NOT_ASKED, None, REAL, counts["held_out"], file)
    return [*found, real] if real else []


def at(curve: Curve, n: int) -> dict[str, Any] | None:
    """The distance at n images, as an `Estimate` of the evaluation writes it; None when it was not computed."""
    return next((row for row in curve.record["counts"] if row["n"] == n), None)


def few(found: list[Curve]) -> int | None:
    """`FEW` images, or the most below that at which every curve has a distance; None without any."""
    counts = [{row["n"] for row in curve.record["counts"]} for curve in found]
    shared = [n for n in set.intersection(*counts) if n <= FEW] if counts else []
    return max(shared, default=None)


def doubt(curve: Curve) -> str:
    """Why the extrapolated value is not to be trusted; empty when nothing speaks against it."""
    line, total, dim = curve.record["extrapolation"], curve.record["images"], curve.record["dimension"]
    if line is None:
        return ""
    reasons = [f"n ≤ {whole(dim)} dimensions"] if total <= dim else []
    if line["curvature"] is not None and line["curvature"] > CURVED:
        reasons.append("points curve away from the line")
    return listed(reasons)


def table(frames: Frames) -> Table | None:
    """Plain and extrapolated distance, share of bias; None when nothing was examined."""
    found = curves(frames)
    if not found:
        return None
    small = few(found)
    rows = Rows()
    for curve in found:
        line, total = curve.record["extrapolation"], curve.record["images"]
        row: list[Value] = [curve.label, curve.setting, NOT_ASKED if curve.seed is None else curve.seed, total]
        reading: dict[str, Any] | None
        for reading in (at(curve, total), *([at(curve, small)] if small else [])):
            row.append(NOT_RUN if reading is None else Estimate.of(reading))
            known = reading is not None and line is not None and reading["value"] > 0
            row.append(100 * (reading["value"] - line["value"]) / reading["value"] if known else NOT_ASKED)
        curvature: Value = NOT_ASKED if line is None or line["curvature"] is None else 100 * line["curvature"]
        if line is None:
            row += [NOT_ASKED, NOT_ASKED, curve.record["reason"]]
        else:
            row += [Estimate.of(line), curvature, doubt(curve) or "none seen"]
        rows.add(*row, frames.pedigree.links([curve.file]))
    pairs = ["At n", "Bias of that (%)"]
    if small:
        pairs += [f"At {small} images", "Bias of it (%)"]
    line_titles = "Extrapolated to n = ∞ | Departure from the line (% of its drop) | Against the line | From"
    columns = headers("Images | Setting | Seed | n", pairs, line_titles)
    title = metric_title("frechet_distance", frames.features)
    caption = (
        f"{capital(title)} at the n images of a setting that are looked at here, at fewer, and extrapolated to "
        "infinitely many by a line in 1/n (Chong & Forsyth 2020)."
    )
    notes = (
        "Bias: what a distance exceeds the extrapolated one by. Brackets: of distances the t-interval over "
        "disjoint subsets, where there are several; of the extrapolated one that over random halves. The bias of "
        "the reference's own number of images stays in all of them.",
        "A line in 1/n holds where n exceeds the dimension of the features. Below it the points bend: then the "
        "extrapolated value is where this line ends, and not the distance of infinitely many images.",
    )
    return Table("sample-count", caption, columns, rows, notes=notes, marked=frozenset([len(rows) - 1]), narrow=True)


def words(frames: Frames) -> str:
    """What part of a score from few images is bias here."""
    found = curves(frames)
    small = few(found)
    if small is None:
        return ""
    short, rows = metric_short("frechet_distance", frames.features), []
    for curve in found[:-1]:
        line, reading = curve.record["extrapolation"], at(curve, small)
        if line is not None and reading is not None and reading["value"] > 0:
            excess = reading["value"] - line["value"]
            who = curve.label if curve.one_pass else f"{curve.label} ({curve.setting})"
            rows.append((who, reading["value"], excess, 100 * excess / reading["value"]))
    total, bias = (spans((who, row[place]) for who, *row in rows) for place in (0, 1))
    share = spans(((who, row[2]) for who, *row in rows), "{:.0f}".format)
    parts = [f"of the {value} of {who}, {bias[who]} ({share[who]} %)" for who, value in total.items()]
    real, texts = at(found[-1], small), []
    if parts:
        texts.append(f"At {small} images part of the {short} is bias by the extrapolation: {listed(parts)}.")
    if real is not None:
        texts.append(_of_real(found[-1], real, small))
    texts.append(
        "So it is with the lab report's FID of 205 from 100 images, where a covariance of rank 99 at most stands for "
        "one of 2,048 dimensions: part of it is the number of images, whatever the model."
    )
    dim, fewer = found[0].record["dimension"], [c for c in found if c.record["images"] <= c.record["dimension"]]
    if fewer:
        most = max(curve.record["images"] for curve in fewer)
        texts.append(
            f"Here, too, there are fewer images (at most {whole(most)}) than dimensions ({whole(dim)}): the line is "
            "drawn below the range for which it was made, and the extrapolated values say how much of a distance "
            "is bias only roughly."
        )
        if (line := found[-1].record["extrapolation"]) is not None:
            texts.append(
                f"Real images extrapolate to {number(line['value'])}, where 0 is expected but for the reference's own "
                "bias and what sets held-out images apart."
            )
    return " ".join(texts)


def _of_real(curve: Curve, reading: dict[str, Any], small: int) -> str:
    """What held-out images score, and how much of that their number explains."""
    total, line = curve.record["images"], curve.record["extrapolation"]
    most = at(curve, total)
    assert most is not None
    text = f"Real images that no model has seen score {number(reading['value'])} at {small} images and "
    text += f"{number(most['value'])} at {total}"
    if line is None or not 0 <= line["value"] <= most["value"] <= reading["value"] or not most["value"]:
        return f"{text}."
    shares = [f"{100 * (one['value'] - line['value']) / one['value']:.0f}" for one in (reading, most)]
    return f"{text}; by their own line {shares[0]} and {shares[1]} % of these are bias."


def figure(frames: Frames) -> Picture | None:
    """Distance against n, and against 1/n with the fitted line and its intercept."""
    found = curves(frames)
    if not found:
        return None
    drawing, (left, right) = plt.subplots(1, 2, figsize=(WIDTH, 4.6))
    for curve in found:
        rows = curve.record["counts"]
        n, value = (np.array([row[name] for row in rows], dtype=float) for name in ("n", "value"))
        # An interval over two subsets is wider than the figure.
        ends = np.array([(r["low"], r["high"]) if len(r["groups"]) > 2 else (r["value"],) * 2 for r in rows])
        error_bars(left, n, value, ends, color=curve.colour, marker="o", linestyle=_dash(curve))
        _line(right, curve)
    ticks = sorted({row["n"] for curve in found for row in curve.record["counts"]})
    left.set_yscale("log")
    plain_log(left)
    log_steps(left, ticks)
    left.tick_params(axis="x", labelrotation=45)
    short = metric_short("frechet_distance", frames.features)
    left.set(title="By number of images", xlabel="n, images", ylabel=f"{short} (lower is better)")
    right.set(title="Extrapolated to infinitely many", xlabel="1 / n", ylabel=short)
    right.set_ylim(bottom=min(0.0, right.get_ylim()[0]))
    right.set_xlim(left=-0.03 * right.get_xlim()[1])
    right.xaxis.set_major_locator(MaxNLocator(5))
    one_each = {c.label: handle(c.label + _of(c, found), c.colour, marker="o", linestyle=_dash(c)) for c in found}
    star = handle("value at 1/n = 0", "#666666", marker="*", markersize=11, linestyle="none")
    outside_legend(drawing, [*one_each.values(), star])
    caption = (
        f"The {short} against the number of images. Left: disjoint random subsets, with intervals over them where "
        "there are three or more. Right: the points through which the line in 1/n is drawn, the line, and its value at "
        "infinitely many images with its interval."
    )
    alt = "Two panels: Fréchet distance falling with the number of images; the same against 1/n with lines to n = ∞."
    return finish(drawing, "sample-count", caption, alt)


def _line(axes: Axes, curve: Curve) -> None:
    line = curve.record["extrapolation"]
    if line is None:
        return
    inverse = 1 / np.array(line["counts"])
    axes.plot(inverse, line["distances"], color=curve.colour, marker="o", linestyle="none")
    reach = np.array([0, inverse.max()])
    axes.plot(reach, line["value"] + line["slope"] * reach, color=curve.colour, linestyle=_dash(curve), linewidth=1.3)
    ends = [(line["low"], line["high"])]
    error_bars(axes, [0], [line["value"]], ends, color=curve.colour, marker="*", markersize=11)


def _dash(curve: Curve) -> Any:
    return (0, (6, 3)) if curve.label == REAL_LABEL else (0, (1.5, 1.5)) if curve.one_pass else "solid"


def _of(curve: Curve, found: list[Curve]) -> str:
    """How many images, or training seeds with a line each, stand behind a label."""
    seeds = sum(other.label == curve.label for other in found)
    return f" ({counted(seeds, 'seed')})" if seeds > 1 else f" ({counted(curve.record['images'], 'image')})"


def chapter(material: Material) -> Chapter | None:
    """What part of a score is bias."""
    frames = material.frames
    return chapter_of("sample-count", "The number of images", words(frames), table(frames), figure(frames))
