"""Which prediction errs where: errors of ε̂ and x̂₀ by noise level, beside what no network can do better."""

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np

from rediffuse.reporting.experiments.cells import Cell
from rediffuse.reporting.experiments.material import Material
from rediffuse.reporting.read.frames import Frames
from rediffuse.reporting.read.probed import probed, values
from rediffuse.reporting.read.records import Found
from rediffuse.reporting.render import plots
from rediffuse.reporting.render.blocks import Bullets, Chapter, chapter_of
from rediffuse.reporting.render.picture import DASHES, WIDTH, Picture, finish, handle, outside_legend, plain_log
from rediffuse.reporting.render.table import Rows, Table, headers
from rediffuse.reporting.terms import OTHER, PREDICTIONS, REAL, capital, run_colours, run_label, run_seed
from rediffuse.reporting.values import Estimate, listed, number
from rediffuse.runs import facts

#: Below this share of the variance of ε or x₀ nothing is drawn.
LEAST = 1e-4
#: Times a linear formula's error from which on an error is the network's own; times its own error from which on one
#: that is told another t shows that it heeds it.
MUCH, HEEDED = 2.0, 1.1
#: Share of a mean from which on its first stretch is much, and how many times the end of the stretch its start then is.
SHARE, STEEP = 0.25, 3.0
OTHERS = (
    ("linear", "best linear prediction (the least error of all is at or below it)", REAL, DASHES[1], "held-out"),
    ("memory", "who knows the training images alone, on held-out ones", OTHER, DASHES[2], "held-out"),
    ("memory", "the same on training images: the floor of the training loss", OTHER, DASHES[3], "train"),
)


def shown(frames: Frames) -> list[Found]:
    """One network for each main run, and for each trained run that predicts something else."""
    found: dict[str, Found] = {}
    for one in probed(frames):
        changed = one.run.overrides or {}
        if one.run.role != "ablation" or "prediction" in changed.get("diffusion", {}):
            found.setdefault(one.run.name, one)
    return list(found.values())


def picture(material: Material, networks: Sequence[Found]) -> Picture:
    """Errors of ε̂ and of x̂₀ against the signal-to-noise ratio."""
    figure, grid = plt.subplots(1, 2, figsize=(WIDTH, 4.8))
    colours = run_colours(material.loaded)
    free = [colour for colour in plots.PALETTE if colour not in {colours.get(one.run.name) for one in networks}]
    others = iter((free or plots.PALETTE) * len(networks))
    first, handles = networks[0].record, []
    looks = {one.run.name: colours.get(one.run.name) or next(others) for one in networks}
    for axes, name, title in zip(grid, ("eps", "x0"), ("Error of ε̂", "Error of x̂₀"), strict=True):
        for kind, _, colour, dash, split in OTHERS:
            axes.plot(_snr(first), values(first, f"{name}_{kind}", split), color=colour, linestyle=dash, linewidth=1.4)
        for one in networks:
            axes.plot(_snr(one.record), values(one.record, name), color=looks[one.run.name], marker="o", markersize=3)
        axes.set(title=title, xlabel="signal-to-noise ratio ᾱ/(1 − ᾱ)", ylabel="mean squared error")
        axes.set(xscale="log", yscale="log", ylim=(LEAST, 2), xlim=(1e-5, 3e4))
        plain_log(axes)
        plain_log(axes, "x")
    handles += [handle(_name(material, one), looks[one.run.name]) for one in networks]
    handles += [handle(label, colour, linestyle=dash) for _, label, colour, dash, _ in OTHERS]
    outside_legend(figure, handles, columns=2)
    images = first["images"]["held-out"]
    caption = (
        f"Mean squared errors on {images} held-out images by noise level: noise to the left, images to the right. ε̂ "
        f"as the network gives it, x̂₀ limited to [−1, 1]; errors below {LEAST:g} are not drawn. Where a network lies "
        "above the dashed line, a linear formula would do better."
    )
    alt = "Two panels: error of the predicted noise and of the predicted image against the signal-to-noise ratio."
    return finish(figure, "prediction-errors", caption, alt)


def table(material: Material, networks: Sequence[Found]) -> Table:
    """√ᾱ, SNR and errors at five times."""
    rows = Rows()
    for one in networks:
        last = facts.diffusion(one.run).timesteps
        wanted = {*(part * last // 4 for part in range(4)), last - 1}
        for row in one.record["by_t"]:
            if row["t"] in wanted:
                ours, floor = row["held-out"], row["train"]["eps_memory"]
                errors = (ours["eps"], ours["eps_linear"], floor, ours["x0"], ours["x0_linear"])
                links = material.frames.pedigree.links([one.file])
                rows.add(
                    run_label(material.loaded, one.run.name),
                    _predicts(one),
                    row["t"],
                    row["signal"],
                    row["snr"],
                    *errors,
                    links,
                )
    columns = headers(
        "Run | Predicts | t | √ᾱ | SNR | Error of ε̂ | Best linear ε̂ | Floor of the training loss | Error of x̂₀ | "
        "Best linear x̂₀ | From"
    )
    notes = (
        "Best linear: exact, for data of the training images' mean and covariance; the least possible error of a "
        "Gaussian with these, and an upper bound to that of any other data. Floor of the training loss: what is left "
        "on training images to who knows exactly these; nothing can go below it on them, and a network that came to it "
        "would only repeat them. It is measured on these images and this noise, and so may come out above "
        "the linear error, which is a formula. A straight path has 1 − τ for √ᾱ.",
    )
    count = networks[0].record["images"]["held-out"]
    caption = f"Errors at five times on {count} held-out images, with the schedule's √ᾱ and signal-to-noise ratio."
    return Table("prediction-errors", caption, columns, rows, notes, folded=len(rows) > 20)


def questions(one: Found) -> tuple[str, ...]:
    """The two questions of document D3, section 4, answered with what one network does."""
    rows = one.record["by_t"]
    first, middle = rows[0], min(rows, key=lambda row: abs(row["t"] - rows[-1]["t"] / 2))
    means = {key: _over_t(one, *key) for key in ((s, k) for s in ("held-out", "train") for k in rows[0][s])}
    own, told, linear = (means["held-out", key] for key in ("eps", "eps_mistold", "eps_linear"))
    stops = (
        "So the loss stops falling long before 0, as D3 saw"
        if own < MUCH * linear
        else f"Here most of the error is the network's own, which errs {number(own / linear, 2)} times as much as a "
        "linear formula"
    )
    heeded = (
        f"{number(told / own, 2)} times as much"
        if told > own * HEEDED
        else f"{'hardly' if told > own else 'no'} more: this network makes little of its t"
    )
    n, who = one.record["images"]["held-out"], run_seed(one.run, one.seed)
    return (
        "Why can noise be predicted that was drawn at random (document D3, section 4)? It cannot. What is learned is "
        "its mean E[ε | x_t] over all that may have led to x_t; the rest no network removes, and where an image shows "
        f"through it is large: at t = {first['t']} {who} errs by {number(first['held-out']['eps'])} of a variance of 1 "
        f"(the best linear prediction by {number(first['held-out']['eps_linear'])}), at t = {middle['t']} by "
        f"{number(middle['held-out']['eps'])} ({number(middle['held-out']['eps_linear'])}). {stops}: the mean over t "
        f"is {number(own)} on {n} held-out images, where the best linear prediction has {number(linear)}; "
        f"{number(means['train', 'eps_memory'])} is the floor on training images, for who has memorised them.",
        "Why is t an input? The noise does not depend on it, but what x_t says of the noise does: the same x_t is a "
        f"faint image at one t and a noisy one at another. Told a t that is a tenth of T off, {who} errs by "
        f"{number(told)} instead of {number(own)} in the mean over t, {heeded}.",
    )


def _words(material: Material, networks: Sequence[Found]) -> str:
    """The mean errors of the networks, and where they do worse than a linear formula."""
    told = []
    for one in networks:
        cell: Cell | None = material.cells.get((one.run.name, "trained", "eps_error"))
        if cell is not None:
            told.append(f"{Estimate(cell.value, cell.low, cell.high)} for {_name(material, one)}")
    n = networks[0].record["images"]["held-out"]
    text = f"Averaged over t, the error of ε̂ on {n} held-out images is {listed(told)}. {_steep(material, networks)}"
    text += "It is a mean over the noise levels of a run's own schedule, and compares where schedules are the same. "
    worse = []
    for one in networks:
        snr = _snr(one.record)
        pairs = zip(snr, values(one.record, "eps"), values(one.record, "eps_linear"), strict=True)
        above = [ratio for ratio, ours, linear in pairs if ours > linear]
        noisy = f" (all at SNR {number(max(above), 2)} or less)" if above and max(above) < max(snr) else ""
        worse.append(f"{_name(material, one)}{_seed(one)} at {len(above)} of {len(snr)} times{noisy}")
    return text + f"A linear formula errs less than {listed(worse)}."


def _steep(material: Material, networks: Sequence[Found]) -> str:
    """Of whose mean the first of the times says too much, as straight lines join the errors."""
    told = []
    for one in networks:
        t, errors = [row["t"] for row in one.record["by_t"]], values(one.record, "eps")
        parts = np.diff(t) * (np.array(errors[1:]) + np.array(errors[:-1])) / 2
        if (share := float(parts[0] / parts.sum())) > SHARE and errors[0] > STEEP * errors[1]:
            told.append(
                f"{100 * share:.0f} % of that of {_name(material, one)}{_seed(one)} lies between t = {t[0]} and "
                f"{t[1]}, where the error falls from {number(errors[0])} to {number(errors[1])}"
            )
    tail = "by straight lines between the times that were looked at, which is too much where an error falls steeply"
    return f"({capital(listed(told))}: {tail}.) " if told else ""


def _name(material: Material, one: Found) -> str:
    """A network with what it predicts, which the name of one that an experiment trains may say."""
    label, predicts = run_label(material.loaded, one.run.name), _predicts(one)
    return label if label.endswith(f" {predicts})") else f"{label} ({predicts})"


def _seed(one: Found) -> str:
    """The seed of a network, where there are others."""
    return f", seed {one.seed}," if len(one.run.seeds) > 1 else ""


def _predicts(one: Found) -> str:
    return PREDICTIONS.get(one.record["prediction"], one.record["prediction"])


def _snr(record: dict) -> list[float]:
    return [row["snr"] for row in record["by_t"]]


def _over_t(one: Found, split: str, name: str) -> float:
    t = [row["t"] for row in one.record["by_t"]]
    return float(np.trapezoid(values(one.record, name, split), t) / (t[-1] - t[0]))


def chapter(material: Material) -> Chapter | None:
    """Words, the answers to two questions, the figure and the table."""
    networks = shown(material.frames)
    if not networks:
        return None
    first = next((one for one in networks if one.run.role == "baseline"), networks[0])
    items = (_words(material, networks), Bullets(questions(first)), picture(material, networks))
    return chapter_of("prediction-errors", "Which prediction errs where?", *items, table(material, networks))
