"""What happens along the reverse steps: the spread of x_t beside that of q(x_t), and the estimate of x0 at each."""

from collections.abc import Callable
from typing import Any, NamedTuple

import matplotlib.pyplot as plt
import numpy as np

from rediffuse.config import ResolvedRun
from rediffuse.evaluation.metrics import metric_short, metric_title
from rediffuse.reporting.experiments.material import Material
from rediffuse.reporting.read.frames import Frames
from rediffuse.reporting.read.records import records, trajectory_images
from rediffuse.reporting.render import plots
from rediffuse.reporting.render.blocks import Chapter, chapter_of
from rediffuse.reporting.render.picture import (
    DASHES,
    WIDTH,
    Picture,
    error_bars,
    finish,
    handle,
    outside_legend,
    plain_log,
    reference_line,
)
from rediffuse.reporting.render.table import Rows, Table, headers
from rediffuse.reporting.terms import MAIN, OTHER, REAL, direction, plain_title, run_colours
from rediffuse.reporting.values import NOT_ASKED, Estimate, listed, number, signed, spans

#: How much farther or nearer than the last one an estimate of x0 may be to count as good as it.
NEAR = 0.1


class Path(NamedTuple):
    """The points of one run, seed and sampler; those but the last have an estimate of x0."""

    run: ResolvedRun
    seed: int
    sampler: str
    points: list[dict[str, Any]]
    record: dict[str, Any]
    file: str

    @property
    def estimates(self) -> list[dict[str, Any]]:
        """The points with an estimate of x0."""
        return self.points[:-1]

    @property
    def settled(self) -> float:
        """Share of the steps, in per cent, from which on each estimate of x0 is within `NEAR` of the last one."""
        last = self.estimates[-1]["distance"]
        far = [place for place, point in enumerate(self.estimates) if abs(point["distance"] / last - 1) > NEAR]
        return 100 * self.estimates[max(far, default=-1) + 1]["step"] / self.record["steps"]

    @property
    def strays(self) -> float:
        """The farthest that the standard deviation of x_t lies from that of q(x_t),
        in per cent of it, with its sign.
        """
        return max((100 * (p["std"]["value"] / p["expected_std"] - 1) for p in self.points), key=abs)


def paths(frames: Frames) -> list[Path]:
    """Everything that was watched."""
    found = records(frames, "trajectory/trajectory.json", "samplers", "n", "steps")
    return [
        Path(one.run, one.seed, sampler, points, one.record, one.file)
        for one in found
        for sampler, points in one.record["samplers"].items()
    ]


def _name(path: Path) -> str:
    return f"{path.run.label}, {plain_title(path.sampler)}"


def _best(path: Path) -> dict[str, Any]:
    return min(path.estimates, key=lambda point: point["distance"])


def _spans(found: list[Path], value: Callable[[Path], float], write: Callable[[float], str] = number) -> dict[str, str]:
    return spans(((_name(path), value(path)) for path in found), write)


def words(frames: Frames, found: list[Path]) -> str:
    """When the estimate of x₀ is as good as the last one, whether the last is the best, and how far x_t strays."""
    record, short = found[0].record, metric_short(MAIN, frames.features)
    settled = [f"{span} % ({who})" for who, span in _spans(found, lambda path: path.settled, "{:.0f}".format).items()]
    strays = [
        f"{span} % ({who})" for who, span in _spans(found, lambda path: path.strays, lambda v: signed(v, 1)).items()
    ]
    several = " Ranges are over training seeds." if len({path.seed for path in found}) > 1 else ""
    texts = [
        f"{record['n']} images were sampled in {record['steps']} steps, and looked at {len(found[0].estimates)} times. "
        f"The {short} of the estimate of x₀ comes within a tenth of its last value, and stays there, after this share "
        f"of the steps: {listed(settled)}.{several}"
    ]
    late = [path for path in found if path.estimates[-1]["distance"] > (1 + NEAR) * _best(path)["distance"]]
    steps = _spans(late, lambda path: _best(path)["step"], str)
    best = _spans(late, lambda path: _best(path)["distance"])
    for who, last in _spans(late, lambda path: path.estimates[-1]["distance"]).items():
        texts.append(
            f"{who}: the last estimate is not the best; after {steps[who]} steps it was at {best[who]}, in the end it "
            f"is at {last}."
        )
    texts.append(
        "Where the standard deviation of x_t is farthest from that of q(x_t), which noising real images gives, it "
        f"differs by {listed(strays)}."
    )
    return " ".join(texts)


def figure(material: Material, found: list[Path]) -> Picture:
    """Standard deviation of x_t, and distance of the estimate of x₀, along the steps of each first seed."""
    frames, colours = material.frames, run_colours(material.loaded)
    record, first = found[0].record, [path for path in found if path.seed == path.run.seeds[0]]
    drawing, (left, right) = plt.subplots(1, 2, figsize=(WIDTH, 4.6))
    names = list(dict.fromkeys(path.sampler for path in first))
    for path in first:
        colour, dash = colours[path.run.name], DASHES[names.index(path.sampler)]
        steps = [point["step"] for point in path.points]
        stds = [Estimate.of(point["std"]) for point in path.points]
        left.plot(steps, [point["expected_std"] for point in path.points], color=colour, linewidth=5, alpha=0.18)
        look: dict[str, Any] = {"color": colour, "linestyle": dash, "marker": "o", "markersize": 4}
        error_bars(left, steps, [std.value for std in stds], [std.ends() for std in stds], **look)
        right.plot(steps[:-1], [point["distance"] for point in path.estimates], **look)
    short = metric_short(MAIN, frames.features)
    left.set(title="Spread of x_t", xlabel="steps done", ylabel="standard deviation of x_t")
    right.set(
        title="Estimate of x₀", xlabel="steps done", ylabel=f"{short} ({direction(MAIN)} is better)", yscale="log"
    )
    real = material.cells.get(("real", "held-out", MAIN))
    if real is not None and real.n == record["n"]:
        reference_line(right, real.value, "real", REAL)
    plain_log(right)
    handles = [handle(run.label, colours[run.name]) for run in {path.run.name: path.run for path in first}.values()]
    handles += [handle(plain_title(n), "#444444", linestyle=dash) for n, dash in zip(names, DASHES, strict=False)]
    outside_legend(drawing, [*handles, handle("q(x_t), closed form", OTHER, linewidth=5, alpha=0.35)], columns=5)
    caption = (
        f"{record['n']} images on their way through {record['steps']} steps. Left: standard deviation of x_t over "
        "images and pixels, with 95 % intervals over images; the broad bands are what q(x_t) has for the training "
        "images. Right: distance of the estimates of x₀ from the training images, one group, so without interval."
    )
    alt = "Two panels against the steps done: spread of x_t beside its closed form, and distance of the estimate of x₀."
    return finish(drawing, "reverse-steps", caption, alt)


def strip(frames: Frames, found: list[Path]) -> Picture | None:
    """The estimates of x₀ of the first image along the steps."""
    rows: list[tuple[str, np.ndarray | None]] = []
    for path in found:
        if path.seed == path.run.seeds[0] and (arrays := trajectory_images(frames, path.run)) is not None:
            rows.append((_name(path), np.ascontiguousarray(arrays[path.sampler][:, 0])))
    caption = (
        f"The estimate of x₀ after {listed([str(point['step']) for point in found[0].estimates])} steps, from the same "
        "x_T in every row: of the first image, which was not picked."
    )
    return plots.strips(plots.Drawing("reverse-steps-images", "run and sampler", caption), rows) if rows else None


def table(frames: Frames, found: list[Path]) -> Table:
    """Every point."""
    rows = Rows()
    for path in found:
        for point in path.points:
            moments = (
                *(Estimate.of(point["mean"]), point["expected_mean"]),
                *(Estimate.of(point["std"]), point["expected_std"]),
            )
            clipped = 100 * point["clipped"] if "clipped" in point else NOT_ASKED
            t = NOT_ASKED if point["t"] is None else f"{float(point['t']):g}"
            links = frames.pedigree.links([path.file])
            about = (path.run.label, path.seed, plain_title(path.sampler), point["step"], t)
            rows.add(*about, *moments, clipped, point.get("distance", NOT_ASKED), links)
    columns = headers(
        "Run | Seed | Sampler | Steps done | t | Mean of x_t | Mean of q(x_t) | Std of x_t | Std of q(x_t)",
        f"x₀ clipped (%) | {metric_short(MAIN, frames.features)} of x₀ | From",
    )
    caption = (
        f"x_t and the estimate of x₀ along the steps; {metric_title(MAIN, frames.features)} of "
        f"{found[0].record['n']} estimates."
    )
    notes = (
        "q(x_t) is what noising the training images gives: mean √ᾱ m and variance ᾱ v + 1 − ᾱ, with mean m and "
        "variance v of their pixels. Brackets: 95 % t-intervals over images; the standard deviation is taken about the "
        "mean of q(x_t).",
        "Clipped: pixels of the estimate at an end of [−1, 1], where the white and black of the images lies too.",
    )
    return Table("reverse-steps", caption, columns, rows, notes=notes, folded=True, narrow=True)


def chapter(material: Material) -> Chapter | None:
    """The way from noise to an image."""
    frames, found = material.frames, paths(material.frames)
    if not found:
        return None
    items = (words(frames, found), figure(material, found), strip(frames, found), table(frames, found))
    return chapter_of("reverse-steps", "What happens along the reverse steps?", *items)
