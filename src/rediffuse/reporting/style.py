"""How every figure looks, and how it becomes the same bytes each time."""

import base64
import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullFormatter, NullLocator

from rediffuse.files import write_atomically

WIDTH = 10.0
DPI = 130
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
DASHES: tuple[Any, ...] = ("solid", (0, (5, 2)), (0, (1.5, 1.5)), (0, (5, 1.5, 1, 1.5)))


@dataclass(frozen=True)
class Picture:
    """A finished figure. `raster` says whether the page shows its PNG (photographs) or its SVG (lines)."""

    name: str
    caption: str
    alt: str
    png: bytes
    svg: bytes
    raster: bool

    def data_uri(self) -> str:
        """The figure as a URI that needs no file."""
        kind, content = ("png", self.png) if self.raster else ("svg+xml", self.svg)
        return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"

    def write(self, folder: Path) -> None:
        """Write <name>.png and <name>.svg."""
        write_atomically(folder / f"{self.name}.png", self.png)
        write_atomically(folder / f"{self.name}.svg", self.svg)


@contextmanager
def styled() -> Iterator[None]:
    """The style of all figures: white, quiet grid, matplotlib's own font, fixed ids in SVG."""
    style = {
        **sns.axes_style("whitegrid"),
        **sns.plotting_context("notebook", font_scale=0.95),
        "font.family": ["DejaVu Sans"],
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
    }
    with plt.rc_context(style):
        yield


def finish(figure: Figure, name: str, caption: str, alt: str, raster: bool = False) -> Picture:
    """Render a figure and close it. No date, no random id: the same figure is the same bytes."""
    png, svg = io.BytesIO(), io.BytesIO()
    figure.savefig(png, format="png", dpi=DPI, metadata={"Software": None})
    figure.savefig(svg, format="svg", metadata={"Date": None, "Creator": None})
    plt.close(figure)
    return Picture(name, caption, alt, png.getvalue(), svg.getvalue(), raster)


def log_steps(axes: Axes, steps: Sequence[int]) -> None:
    """A logarithmic x axis with a tick at each number of steps."""
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(FixedLocator(sorted(set(steps))))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_locator(NullLocator())


def plain_log(axes: Axes, which: str = "y") -> None:
    """Ordinary numbers instead of powers of ten on a logarithmic axis, with some between the powers if it spans few."""
    axis = axes.yaxis if which == "y" else axes.xaxis
    low, high = sorted(axes.get_ylim() if which == "y" else axes.get_xlim())
    subs = (1.0, 2.0, 5.0) if high / low < 1e3 else (1.0,)
    axis.set_major_locator(matplotlib.ticker.LogLocator(base=10, subs=subs))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.10g}"))
    axis.set_minor_formatter(NullFormatter())


def reference_line(axes: Axes, value: float, label: str, colour: str, above: bool = True) -> None:
    """A horizontal line across the axes with its name written on it."""
    axes.axhline(value, color=colour, linestyle=(0, (6, 3)), linewidth=1.3, zorder=1)
    axes.annotate(
        label, (1.0, value), xycoords=axes.get_yaxis_transform(), xytext=(-2, 3 if above else -3), textcoords="offset points",
        ha="right", va="bottom" if above else "top", color=colour, fontsize=9,
    )  # fmt: skip


def outside_legend(figure: Figure, handles: list[Any], title: str | None = None) -> None:
    """A legend to the right of the axes."""
    if handles:
        figure.legend(handles=handles, loc="outside right upper", title=title, alignment="left", handlelength=3.2)
