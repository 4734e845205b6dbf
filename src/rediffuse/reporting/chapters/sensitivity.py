"""Which choices matter: what each change of a training moves the main metric by, all on one scale."""

from dataclasses import dataclass

import matplotlib.pyplot as plt
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter

from rediffuse.config.experiment import Experiment
from rediffuse.evaluation.metrics import metric_short, metric_title
from rediffuse.reporting.experiments.beside import Base, Changed, bases_of
from rediffuse.reporting.experiments.cells import made_of
from rediffuse.reporting.experiments.material import Material
from rediffuse.reporting.experiments.results import result_of
from rediffuse.reporting.render.blocks import Chapter, chapter_of
from rediffuse.reporting.render.picture import WIDTH, Picture, finish, outside_legend, wrapped
from rediffuse.reporting.render.plots import PALETTE
from rediffuse.reporting.render.table import Rows, Table, headers
from rediffuse.reporting.terms import MAIN, axis_title, capital, setting_words
from rediffuse.reporting.values import NOT_ASKED, Value, counted, listed, signed


@dataclass(frozen=True)
class Choice:
    """An experiment that changes a training: what is chosen there, the run as it is,
    and the ways that have a factor.
    """

    what: str
    question: str
    base: Base
    ways: tuple[Changed, ...]

    @property
    def least(self) -> float:
        """The lowest value over that of the run as it is."""
        return min(1.0, *map(_factor, self.ways))

    @property
    def most(self) -> float:
        """The highest."""
        return max(1.0, *map(_factor, self.ways))

    @property
    def clear(self) -> list[Changed]:
        """The ways that are clearly better or worse."""
        return [way for way in self.ways if way.how.outcome != "undecided"]


def _factor(way: Changed) -> float:
    """Of a way of a `Choice`, which has one."""
    assert way.factor is not None
    return way.factor


def choices(material: Material) -> list[Choice]:
    """Every choice of a training that an experiment tries, the one that moves most first.

    Of several ways of sampling the one in which it moves most, of those in which it moves clearly if there are any: a
    network that only shows its fault in few steps has one.
    """
    found = []
    for planned in material.loaded.experiments.values():
        result = result_of(material, planned)
        if result.main != MAIN:
            continue
        tried = [
            Choice(_what(planned.name, planned.asks), planned.asks.question, base, ways)
            for base in bases_of(material.loaded, result)
            if (ways := tuple(way for way in base.ways if way.factor is not None and way.factor > 0))
        ]
        if tried:
            found.append(max(tried, key=lambda choice: (bool(choice.clear), choice.most / choice.least)))
    return sorted(found, key=lambda choice: -choice.most / choice.least)


def _what(name: str, asks: Experiment) -> str:
    """What is chosen: the key that is varied, or what the experiment is called where no single key is."""
    keys = [key for key in asks.vary if key.split(".")[0] in ("network", "diffusion", "training", "hardware")]
    return axis_title(keys[0]) if len(keys) == 1 else name.replace("-", " ")


def _sampled(material: Material, choice: Choice) -> str:
    member = choice.base.row.member
    return setting_words(material.loaded, member.run, member.setting)


def sentence(found: list[Choice], short: str) -> str:
    """Which choices move the metric clearly, and the most and the least of them."""
    clear = [choice for choice in found if choice.clear]
    if not clear:
        return f"No choice moves the {short} clearly."
    moved = max(clear, key=lambda choice: max(abs(_factor(way) - 1) for way in choice.clear))
    way = max(moved.clear, key=lambda one: abs(_factor(one) - 1))
    rest = [choice.what for choice in found if not choice.clear]
    count = f"all {len(found)}" if len(clear) == len(found) > 1 else len(clear)
    text = (
        f"Of {counted(len(found), 'choice')} of a training, {count} {'moves' if len(clear) == 1 else 'move'} the "
        f"{short} clearly. The largest change: {way.name} ({moved.what}; {signed(100 * (_factor(way) - 1))} %)."
    )
    return f"{text} Not clearly: {listed(rest)}." if rest else text


def table(material: Material, found: list[Choice]) -> Table:
    """Each choice with its best and its worst way."""
    short, rows = metric_short(MAIN, material.frames.features), Rows()
    for choice in found:
        ranked = sorted(choice.ways, key=_factor)
        ends = ranked[:1] + ranked[1:][-1:]
        cells = [choice.base.cell, *(way.cell for way in ends)]
        files = dict.fromkeys(file for cell in cells for file in cell.files)
        told: list[Value] = []
        for way in ends:
            told += [way.name, round(100 * (_factor(way) - 1), 1) + 0.0, _verdict(way)]
        rows.add(
            choice.question,
            _sampled(material, choice),
            choice.base.cell.value,
            *told,
            *[NOT_ASKED] * (6 - len(told)),
            f"{len(choice.clear)} of {len(choice.ways)}",
            material.frames.pedigree.links(files),
        )
    columns = headers(
        f"Question | Sampled by | {short} as it is | Lowest | moves it by (%) | Verdict | Highest | moved by (%) | "
        "verdict | Clear changes | From"
    )
    notes = (
        "Each choice is an experiment of this report, in the way of sampling in which it moves most, of those "
        "in which it moves clearly if there are any. A change is clear where the 95 % interval of the difference from "
        "the run as it is leaves out 0. Lowest and highest: among the values of the changed ways.",
    )
    caption = f"How sensitive the {metric_title(MAIN, material.frames.features)} is to each choice of a training."
    return Table("sensitivity", caption, columns, rows, notes, narrow=True, folded=len(rows) > 12)


def _verdict(way: Changed) -> str:
    return way.how.outcome if way.how.outcome == "undecided" else f"clearly {way.how.outcome}"


def picture(material: Material, found: list[Choice]) -> Picture:
    """A row for each choice: what each of its ways makes of the value, clear changes filled."""
    short = metric_short(MAIN, material.frames.features)
    figure, axes = plt.subplots(figsize=(WIDTH, 1.4 + 0.3 * len(found)))
    for place, choice in enumerate(found):
        axes.plot([choice.least, choice.most], [place, place], color="#CCCCCC", linewidth=2, zorder=1)
        for way in choice.ways:
            colour = PALETTE[1] if _factor(way) < 1 else PALETTE[0]
            face = colour if way.how.outcome != "undecided" else "white"
            axes.plot(way.factor, place, marker="o", color=colour, markerfacecolor=face, markersize=7, zorder=2)
    axes.axvline(1, color="#555555", linewidth=1.2, zorder=0)
    axes.set_yticks(range(len(found)), [wrapped(capital(choice.what), 36) for choice in found])
    axes.set_ylim(len(found) - 0.5, -0.5)
    axes.set_xscale("log", base=2)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"× {value:g}"))
    axes.set_xlabel(f"{short} over that of the run as it is (lower is better)")
    looks = (("clearly lower", 1, True), ("clearly higher", 0, True), ("not clearly apart", 0, False))
    handles = [
        Line2D([], [], marker="o", linestyle="none", color=PALETTE[c], markerfacecolor=PALETTE[c] if full else "white")
        for _, c, full in looks
    ]
    for one, (label, _, _) in zip(handles, looks, strict=True):
        one.set_label(label)
    outside_legend(figure, handles)
    seeds = made_of(found[0].base.cell)
    caption = (
        f"What each choice of a training makes of the {short}{seeds}: one point a way, beside the run as it is. "
        "Filled: the 95 % interval of the difference leaves out 0. The choice that moves it most is at the top."
    )
    return finish(figure, "sensitivity", caption, f"Rows of dots: factors of the {short} by choice.")


def chapter(material: Material) -> Chapter | None:
    """What to care about first: a sentence, a figure and the table."""
    found = choices(material)
    if len(found) < 2:
        return None
    short = metric_short(MAIN, material.frames.features)
    title = "Which choices matter?"
    return chapter_of("sensitivity", title, sentence(found, short), picture(material, found), table(material, found))
