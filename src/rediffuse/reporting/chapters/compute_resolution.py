"""Cost against resolution: convolution grows with the pixels, attention with their square."""

import math

import matplotlib.pyplot as plt

from rediffuse.reporting.chapters.compute import GFLOP
from rediffuse.reporting.chapters.tables import FROM
from rediffuse.reporting.read.frames import Frames
from rediffuse.reporting.render.style import WIDTH, Picture, finish, log_steps, plain_log
from rediffuse.reporting.render.table import Column, Links, Table, Value
from rediffuse.reporting.render.terms import BASELINE, IMPROVED, NOT_ASKED, VARIANTS, run_label

KINDS = {
    "convolution": ("convolutions", BASELINE),
    "projection": ("linear layers of attention", VARIANTS[0]),
    "attention": ("products of attention", IMPROVED),
}


def resolution(frames: Frames) -> Table | None:
    """FLOPs of one image by kind and side, and the exponents of their growth."""
    if (found := _first(frames)) is None:
        return None
    name, by_side = found
    links = Links(frames.pedigree.ids([str(frames.plan.find("cost").outputs[0])]))
    rows: list[tuple[Value, ...]] = []
    for side, flops in by_side.items():
        total = sum(flops.values())
        rows.append((f"{side}×{side}", side * side, *(flops[kind] / GFLOP for kind in KINDS), total / GFLOP,
                     100 * flops["attention"] / total, links))  # fmt: skip
    low, high = min(by_side), max(by_side)
    first, last = by_side[low], by_side[high]
    pixels = (high / low) ** 2
    totals = (sum(first.values()), sum(last.values()))
    exponents = [_exponent(first[kind], last[kind], pixels) for kind in KINDS]
    rows.append(("exponent p of pixelsᵖ", NOT_ASKED, *exponents, _exponent(*totals, pixels), NOT_ASKED, links))
    columns = (Column("Images"), Column("Pixels"), *(Column(f"{title[0].upper()}{title[1:]}", "GFLOP") for title, _ in KINDS.values()),
               Column("All", "GFLOP"), Column("Products of attention", "% of all"), FROM)  # fmt: skip
    note = (
        "The same weights on larger images, attention at the same levels of the network. Cost grows as a power of the "
        "number of pixels between 1 and 2, not exponentially, and the number of steps is a factor of its own."
    )
    return Table("resolution", f"Cost against resolution: one forward pass of {run_label(frames.loaded, name)}'s network.",
                 columns, tuple(rows), notes=(note,))  # fmt: skip


def resolution_figure(frames: Frames) -> Picture | None:
    """FLOPs by kind against the side of the image, both axes logarithmic."""
    if (found := _first(frames)) is None:
        return None
    name, by_side = found
    figure, axes = plt.subplots(figsize=(0.62 * WIDTH, 3.8))
    for kind, (title, colour) in KINDS.items():
        values = [flops[kind] / GFLOP for flops in by_side.values()]
        if all(values):
            axes.plot(list(by_side), values, marker="o", color=colour, label=title)
    axes.set_yscale("log")
    log_steps(axes, list(by_side))
    plain_log(axes, "y")
    axes.set(xlabel="side of the image (pixels)", ylabel="GFLOP of one forward pass")
    axes.legend()
    return finish(
        figure, "resolution",
        f"FLOPs of one forward pass of {run_label(frames.loaded, name)}'s network on larger images: convolutions and "
        "linear layers in proportion to the pixels, the products of attention to their square.",
        "Lines of FLOPs by kind of layer against image side, on logarithmic axes.",
    )  # fmt: skip


def _first(frames: Frames) -> tuple[str, dict[int, dict[str, int]]] | None:
    if frames.cost is None:
        return None
    name, entry = next(iter(frames.cost["runs"].items()))
    sides = sorted(map(int, entry["flops_by_resolution"]))
    return name, {side: entry["flops_by_resolution"][str(side)] for side in sides}


def _exponent(first: float, last: float, pixels: float) -> Value:
    return math.log(last / first) / math.log(pixels) if first and last else NOT_ASKED
