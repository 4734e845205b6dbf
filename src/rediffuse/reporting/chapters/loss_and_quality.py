"""Does the loss say how good the samples are: along a training, and across trained networks."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import matplotlib.pyplot as plt
import numpy as np
import scipy.stats

from rediffuse.evaluation.metrics import metric_short
from rediffuse.reporting.chapters.during_training import watched
from rediffuse.reporting.experiments.material import Material
from rediffuse.reporting.read.frames import Frames, of_run
from rediffuse.reporting.read.probed import probed, values
from rediffuse.reporting.read.records import Found
from rediffuse.reporting.render.blocks import Chapter, chapter_of
from rediffuse.reporting.render.picture import WIDTH, Picture, finish, handle, outside_legend, plain_log
from rediffuse.reporting.render.table import Rows, Table, headers
from rediffuse.reporting.terms import MAIN, OTHER, run_colours, run_seed, setting_title
from rediffuse.reporting.values import Estimate, Links, number, spans

#: Fewer pairs have no correlation worth a number.
FEWEST = 5
RESAMPLES = 2000


class Pairs(NamedTuple):
    """A loss and the Fréchet distance that goes with it, of several trainings or steps of one."""

    name: str
    what: str
    x: tuple[float, ...]
    y: tuple[float, ...]
    files: tuple[str, ...]

    def rho(self) -> Estimate:
        """Spearman's correlation, with the percentile interval of a bootstrap over pairs."""
        x, y = np.array(self.x), np.array(self.y)
        draws = np.random.default_rng(0).integers(0, len(x), (RESAMPLES, len(x)))
        # A draw of one value alone has no order.
        kept = draws[(np.ptp(x[draws], axis=1) > 0) & (np.ptp(y[draws], axis=1) > 0)]
        a, b = (scipy.stats.rankdata(of[kept], axis=1) for of in (x, y))
        a, b = a - a.mean(1, keepdims=True), b - b.mean(1, keepdims=True)
        found = (a * b).sum(1) / np.sqrt((a**2).sum(1) * (b**2).sum(1))
        low, high = np.quantile(found, (0.025, 0.975))
        return Estimate(float(scipy.stats.spearmanr(x, y).statistic), float(low), float(high))


def along(frames: Frames) -> list[Pairs]:
    """Training loss and held-out loss at the scored steps of each training."""
    found = []
    for one in watched(frames):
        history = of_run(frames.history, one.run, one.seed)
        scores = one.values(MAIN, "averaged")
        for column, what in (("loss", "training loss"), ("held_out_loss", "held-out loss")):
            known = history.dropna(subset=[column])
            at = dict(zip(known["step"].astype(int), known[column].astype(float), strict=True))
            pairs = [(at[step], score) for step, score in scores if step in at]
            if len(pairs) >= FEWEST and len(set(pairs)) > 1:
                x, y = zip(*pairs, strict=True)
                files = (one.file, *history["file"].iloc[:1])
                found.append(Pairs(run_seed(one.run, one.seed), f"{what}, along the training", x, y, files))
    return found


def across(material: Material) -> tuple[Pairs, str] | None:
    """Error of ε̂ over the noise levels that all share, of each network and seed, and the setting of its distances."""
    networks = [one for one in probed(material.frames) if min(values(one.record, "eps")) > 0]
    scores = {
        (c.run, p.seed, c.setting): (p.value, c.n) for c in material.cells.values() if c.metric == MAIN for p in c.parts
    }
    settings = {setting: sum((o.run.name, o.seed, setting) in scores for o in networks) for _, _, setting in scores}
    setting = max(sorted(settings), key=lambda name: settings[name], default=None)
    there = [one for one in networks if (one.run.name, one.seed, setting) in scores]
    if setting is None or len(there) < FEWEST:
        return None
    n = scores[there[0].run.name, there[0].seed, setting][1]
    there = [one for one in there if scores[one.run.name, one.seed, setting][1] == n]
    curves = [_curve(one) for one in there]
    levels = np.linspace(max(x[0] for x, _ in curves), min(x[-1] for x, _ in curves), 50)
    errors = tuple(float(np.interp(levels, x, y).mean()) for x, y in curves)
    distances = tuple(scores[one.run.name, one.seed, setting][0] for one in there)
    files = tuple(one.file for one in there)
    title = setting_title(material.loaded, there[0].run.name, setting)
    return Pairs("Networks of the study", "error of ε̂, across networks", errors, distances, files), title


def _curve(one: Found) -> tuple[np.ndarray, np.ndarray]:
    """ln SNR, rising, and the error of ε̂ there."""
    pairs = sorted(zip((row["snr"] for row in one.record["by_t"]), values(one.record, "eps"), strict=True))
    return np.log([snr for snr, _ in pairs]), np.array([error for _, error in pairs])


def picture(material: Material, steps: Sequence[Pairs], networks: tuple[Pairs, str] | None) -> Picture:
    """Held-out loss along the trainings, and error of ε̂ across networks, against the Fréchet distance."""
    shown = [one for one in steps if one.what.startswith("held-out")] or list(steps)
    panels = [bool(shown), networks is not None]
    figure, grid = plt.subplots(1, sum(panels), figsize=(WIDTH, 4.6), squeeze=False)
    short, axes = metric_short(MAIN, material.frames.features), list(grid[0])
    colours = {run.label: run_colours(material.loaded)[name] for name, run in material.loaded.runs.items()}
    handles = []
    if shown:
        for one in shown:
            colour = next((c for label, c in colours.items() if one.name.startswith(label)), OTHER)
            axes[0].plot(one.x, one.y, color=colour, marker="o", markersize=4, linewidth=1)
            handles.append(handle(one.name, colour))
        axes[0].set(title="Along a training", xlabel=shown[0].what.partition(",")[0])
    if networks is not None:
        axes[-1].plot(networks[0].x, networks[0].y, color=OTHER, marker="o", linestyle="none")
        axes[-1].set(title=f"Across networks ({networks[1]})", xlabel="error of ε̂ over shared noise levels")
    for one in axes:
        one.set(xscale="log", yscale="log", ylabel=f"{short} (lower is better)")
        plain_log(one)
        plain_log(one, "x")
    outside_legend(figure, handles)
    caption = [f"{short} against the loss."]
    if shown:
        caption.append("Along a training: a point for each scored step, joined in their order.")
    if networks is not None:
        caption.append(
            "Across networks: a point for each trained network and seed; losses of different objectives are different "
            "things, so that networks are compared by their error of ε̂, averaged over the noise levels that all of "
            "them meet."
        )
    return finish(figure, "loss-and-quality", " ".join(caption), f"Scatter of {short} against loss.")


def chapter(material: Material) -> Chapter | None:
    """The correlations in words, as a figure and a table."""
    steps, networks = along(material.frames), across(material)
    everything = [*steps, *([networks[0]] if networks else [])]
    if not everything:
        return None
    rows = Rows()
    for one in everything:
        links: Any = material.frames.pedigree.links(dict.fromkeys(one.files)) if one in steps else Links(())
        rows.add(one.name, one.what, one.rho(), len(one.x), links)
    caption = "Spearman's correlation of a loss with the Fréchet distance of the samples: 1 where both order alike."
    notes = (
        f"Brackets: 95 % interval by a bootstrap over pairs ({RESAMPLES} draws). Steps of one training follow from one "
        "another: their interval says how the order holds up, not how another training would go. Pairs in perfect "
        "order give an interval of no width, which says little where they are few.",
    )
    table = Table("loss-and-quality", caption, headers("Of | Loss | ρ | n | From"), rows, notes)
    return chapter_of(
        "loss-and-quality",
        "Does the loss say how good the samples are?",
        _words(steps, networks),
        picture(material, steps, networks),
        table,
    )


def _words(steps: Sequence[Pairs], networks: tuple[Pairs, str] | None) -> str:
    """What follows from the intervals."""
    texts = []
    for what in ("training", "held-out"):
        found = [(one, one.rho()) for one in steps if one.what.startswith(what)]
        if found:
            clear = sum(rho.low is not None and rho.low > 0 for _, rho in found)
            # Seeds of a run are named by it alone.
            rhos = spans(
                ((one.name.partition(" (seed ")[0], rho.value) for one, rho in found), lambda rho: number(rho, 2)
            )
            n = spans((one.name.partition(" (seed ")[0], len(one.x)) for one, _ in found)
            parts = ", ".join(f"{rho} for {who} (n = {n[who]})" for who, rho in rhos.items())
            texts.append(
                f"Along a training, Spearman's ρ of {what} loss and Fréchet distance is {parts}; its interval lies "
                f"above 0 in {'all' if clear == len(found) > 1 else clear} of {len(found)}."
            )
    if networks is not None:
        one, rho = networks[0], networks[0].rho()
        assert rho.low is not None
        assert rho.high is not None
        verdict = (
            "networks that err less make better samples"
            if rho.low > 0
            else "networks that err less make worse samples"
            if rho.high < 0
            else "whether networks that err less make better samples is undecided"
        )
        texts.append(f"Across {len(one.x)} networks ({networks[1]}), {verdict}: ρ of the error of ε̂ is {rho}.")
    return " ".join(texts)
