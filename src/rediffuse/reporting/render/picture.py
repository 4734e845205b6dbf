"""How every figure looks, and how it becomes the same bytes each time."""

import base64
import io
import textwrap
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, NullFormatter, NullLocator
from PIL import Image

from rediffuse.reporting.values import NOT_RUN

matplotlib.use("Agg")

WIDTH = 10.0
#: Of a figure without photographs, on the page.
LINE_COLOURS = 20
DPI = 130
#: Letters of a legend that stand beside one another.
LETTERS = 135
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
DASHES: tuple[Any, ...] = ("solid", (0, (5, 2)), (0, (1.5, 1.5)), (0, (5, 1.5, 1, 1.5)))


@dataclass(frozen=True)
class Picture:
    """A finished figure. `raster`: it shows photographs, so that Markdown links its PNG, not its SVG."""

    name: str
    caption: str
    alt: str
    png: bytes
    svg: bytes
    raster: bool

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in CSS pixels, 96 to an inch."""
        with Image.open(io.BytesIO(self.png)) as image:
            return round(image.width * 96 / DPI), round(image.height * 96 / DPI)

    def data_uri(self) -> str:
        """The figure as a URI that needs no file."""
        # The page holds all of its figures: WebP without loss has the same pixels in two thirds of a PNG's bytes.
        webp = io.BytesIO()
        with Image.open(io.BytesIO(self.png)) as image:
            # Lines on white need few colours; photographs keep theirs.
            shown = image if self.raster else _few_colours(image, LINE_COLOURS)
            shown.convert("RGB").save(webp, "WEBP", lossless=True, quality=60, method=3)
        kind, content = min(("svg+xml", self.svg), ("webp", webp.getvalue()), key=lambda pair: len(pair[1]))
        return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"


@contextmanager
def styled() -> Iterator[None]:
    """The style of all figures: white, quiet grid, matplotlib's own font, fixed ids in SVG."""
    style = {
        **sns.axes_style("whitegrid"),
        **sns.plotting_context("notebook", font_scale=0.95),
        "font.family": ["DejaVu Sans"],
        "text.parse_math": False,  # a study's names are text, whatever signs they hold
        "svg.hashsalt": "rediffuse",
        "svg.fonttype": "path",
        "axes.titlesize": 12,
        "axes.titleweight": "bold",
        "axes.titlelocation": "left",
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.edgecolor": "#555555",
        "grid.color": "#E4E4E4",
        "grid.linewidth": 0.8,
        "lines.linewidth": 1.8,
        "lines.markersize": 6,
        "legend.frameon": False,
        "figure.constrained_layout.use": True,
        "figure.constrained_layout.h_pad": 0.1,
        "figure.constrained_layout.w_pad": 0.08,
    }
    with plt.style.context(["default", style]):
        yield


def finish(figure: Figure, name: str, caption: str, alt: str, raster: bool = False) -> Picture:
    """Render a figure and close it. No date, no random id: the same figure is the same bytes."""
    png, svg = io.BytesIO(), io.BytesIO()
    figure.savefig(png, format="png", dpi=DPI, metadata={"Software": None})
    figure.set_layout_engine("none")  # all has its place: to lay it out again takes a fifth of the time
    figure.savefig(svg, format="svg", metadata={"Date": None, "Creator": None})
    plt.close(figure)
    return Picture(name, caption, alt, _indexed(png), svg.getvalue(), raster)


def _indexed(png: io.BytesIO) -> bytes:
    """The same picture in 256 colours, enough for lines on white and grey digits, and a third of the size."""
    indexed = io.BytesIO()
    with Image.open(png) as image:
        _few_colours(image, 256).save(indexed, "PNG", optimize=True)
    return indexed.getvalue()


def _few_colours(image: Image.Image, count: int) -> Image.Image:
    # By the largest error: a median cut paints a name in few pixels in the colour of another.
    return image.convert("RGB").quantize(count, method=Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)


def log_steps(axes: Axes, steps: Sequence[float]) -> None:
    """A logarithmic x axis with a tick at each number, of steps or others."""
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(FixedLocator(sorted(set(steps))))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_locator(NullLocator())


def plain_log(axes: Axes, which: str = "y") -> None:
    """Ordinary numbers instead of powers of ten on a logarithmic axis, with some between the powers if it spans few."""
    axis = axes.yaxis if which == "y" else axes.xaxis
    low, high = sorted(axes.get_ylim() if which == "y" else axes.get_xlim())
    span = high / low if low > 0 else 1e9
    subs = (1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 7.0) if span < 8 else (1.0, 2.0, 5.0) if span < 1e3 else (1.0,)
    axis.set_major_locator(LogLocator(base=10, subs=subs))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.10g}" if 1e-4 <= value < 1e7 else f"{value:.0e}"))
    axis.set_minor_formatter(NullFormatter())


def far_apart(axes: Axes, values: Sequence[float], lowest: float, which: str = "y") -> None:
    """A logarithmic axis for values far apart; linear near 0 where the `lowest` end of a bar,
    not being a size, is below.

    To be called when all is drawn.
    """
    above = [value for value in values if value > 0]
    if not above or max(above) < 5 * min(above):
        return
    scale, axis = (axes.set_yscale, axes.yaxis) if which == "y" else (axes.set_xscale, axes.xaxis)
    if lowest > 0 and len(above) == len(values):
        # A bar that reaches towards 0 must not press all values together.
        (axes.set_ylim if which == "y" else axes.set_xlim)(max(0.9 * lowest, 0.4 * min(above)))
        scale("log")
        plain_log(axes, which)
        return
    linear = 10 ** float(np.round(np.log10(min(above))))
    scale("symlog", linthresh=linear)
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.10g}"))
    (axes.axhline if which == "y" else axes.axvline)(0, color="#AAAAAA", linewidth=0.8, zorder=0)


def reference_line(axes: Axes, value: float, label: str, colour: str, align: str = "center") -> None:
    """A horizontal line across the axes, its name in the margin at its end."""
    axes.axhline(value, color=colour, linestyle=(0, (6, 3)), linewidth=1.3, zorder=1)
    place: dict[str, Any] = {"xycoords": axes.get_yaxis_transform(), "xytext": (5, 0), "textcoords": "offset points"}
    look: dict[str, Any] = {"color": colour, "fontsize": 9.5, "linespacing": 1.15}
    axes.annotate(label, (1.0, value), ha="left", va=align, annotation_clip=False, **place, **look)


def label_points(axes: Axes, points: Sequence[tuple[float, float, str]]) -> None:
    """A small text above each (x, y), leaving out those that would cover another point or text."""
    axes.autoscale_view()
    places = [axes.transData.transform((x, y)) for x, y, _ in points]
    taken = [(float(left), float(up)) for left, up in places]
    for (x, y, text), (left, up) in zip(points, places, strict=True):
        if all(abs(left - other) > 18 or not 3 < higher - up < 24 for other, higher in taken):
            taken.append((float(left), float(up) + 12))
            look: dict[str, Any] = {"ha": "center", "fontsize": 8, "color": "#444444"}
            box = {"facecolor": "white", "edgecolor": "none", "pad": 0.5, "alpha": 0.8}
            axes.annotate(text, (x, y), xytext=(0, 6), textcoords="offset points", bbox=box, **look)


def outside_legend(figure: Figure, handles: list[Any], columns: int = 3) -> None:
    """A legend below the axes, of fewer columns where names are long; the figure grows by the rows beyond two."""
    if handles:
        names = [wrapped(str(one.get_label()), 60) for one in handles]
        longest = max(len(line) for name in names for line in name.splitlines())
        columns = max(1, min(columns, len(handles), LETTERS // (longest + 8)))
        rows = -(-len(handles) // columns) + sum(name.count("\n") for name in names)
        figure.set_figheight(figure.get_figheight() + 0.22 * max(0, rows - 2))
        figure.legend(handles, names, loc="outside lower center", ncols=columns, handlelength=3.2)


def wrapped(text: str, width: int) -> str:
    """A name in lines of so many letters."""
    return "\n".join(textwrap.wrap(text, width)) or text


def handle(label: str, colour: str, **look: Any) -> Line2D:
    """An entry of a legend."""
    return Line2D([], [], color=colour, label=label, **look)


def error_bars(axes: Axes, x: Sequence[float], values: Sequence[float], ends: Sequence[Any], **look: Any) -> None:
    """Points with their intervals (low, high)."""
    axes.errorbar(x, values, yerr=np.abs(np.array(ends).T - np.array(values)), capsize=3, **look)


def mosaic(images: np.ndarray, columns: int) -> np.ndarray:
    """uint8 [N, C, H, W] -> uint8 [rows, columns·(W + 1) + 1, 3]: images in reading order with white lines between."""
    count, channels, height, width = images.shape
    if channels not in (1, 3):
        raise ValueError(f"images with {channels} channels cannot be shown; use 1 or 3")
    rows = -(-count // columns)
    sheet = np.full((rows * (height + 1) + 1, columns * (width + 1) + 1, 3), 255, dtype=np.uint8)
    for index, image in enumerate(images):
        top, left = (index // columns) * (height + 1) + 1, (index % columns) * (width + 1) + 1
        sheet[top : top + height, left : left + width] = image.transpose(1, 2, 0)
    return sheet


def show(axes: Axes, image: np.ndarray | None, title: str = "", note: str = "", absent: str = NOT_RUN) -> None:
    """A picture (uint8 [H, W, 3]) without axes; `absent` in its place when there is none."""
    axes.set_axis_off()
    if image is None:
        axes.text(0.5, 0.5, absent, ha="center", va="center", color="#777777", fontsize=9, transform=axes.transAxes)
        axes.set(xlim=(0, 1), ylim=(0, 1), aspect="equal")
    else:
        axes.imshow(image, interpolation="nearest")
    if title:
        axes.set_title(title, fontsize=10, fontweight="normal", loc="center")
    if note:
        axes.text(0.5, -0.04, note, ha="center", va="top", fontsize=9, color="#333333", transform=axes.transAxes)


def row_label(axes: Axes, text: str, colour: str) -> None:
    """A name to the left of a row of pictures."""
    where: dict[str, Any] = {"ha": "right", "va": "center", "transform": axes.transAxes}
    axes.text(-0.06, 0.5, text, rotation=90, fontsize=10, color=colour, **where)
