"""One-pass models beside the runs: what they are, their quality, what they cost, and the ratio of the two times."""

from collections.abc import Iterator
import pandas as pd
from rediffuse.config import ResolvedGenerator, ResolvedRun
from rediffuse.config.facts import HEADLINE_METRICS
from rediffuse.reporting.cells import Cell, Cells, optional
from rediffuse.reporting.frames import Frames
from rediffuse.reporting.table import Column, Estimate, Links, Table, Value
from rediffuse.reporting.terms import (
    NOT_ASKED,
    NOT_RECORDED,
    NOT_RUN,
    compared_runs,
    counted,
    direction,
    listed,
    metric_short,
    number,
    setting_text,
)
from typing import Any
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from rediffuse.config import ResolvedGenerator
from rediffuse.reporting.cells import Cells, bounds
from rediffuse.reporting.grids import mosaic, show
from rediffuse.reporting.pictures import held_out_images, sample_images
from rediffuse.reporting.style import WIDTH, Picture, finish
from rediffuse.reporting.terms import REAL_LINES, metric_short, model_colours, number
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeAlias
from rediffuse.reporting import (
    ablation,
    colours,
    compute,
    compute_resolution,
    during_training,
    fidelity,
    figures,
    figures_more,
    grids,
    guidance,
    memorisation,
    mode_coverage,
    one_pass,
    one_pass_figures,
    restoration,
    sample_count,
    sentences,
    tables,
    tables_cost,
    tables_setup,
)
from rediffuse.reporting.ablation import CurrentKeys
from rediffuse.reporting.cells import Cells
from rediffuse.reporting.claims import Verdict, tally
from rediffuse.reporting.style import Picture, styled
from rediffuse.reporting.table import Table
from rediffuse.reporting.terms import NOT_RUN, counted, listed, metric_title, run_of_role


KIND_TITLES = {
    "dcgan": "DCGAN (Radford et al. 2016)",
    "wgan-gp": "WGAN-GP (Gulrajani et al. 2017)",
    "vae": "VAE (Kingma & Welling 2014)",
}


#: The thesis's table 4: CelebA at 64×64, FID and millions of parameters. Quoted; nothing here was run.
QUOTED = (("DCGAN", 12.5, 6.4), ("WGAN-GP", 6.8, 12.2), ("PGAN", 5.3, 23.1), ("DDPM", 3.2, 35.7))


NOT_COMPARABLE = "not comparable"


#: The graduation report's ratio, and the one-pass time it takes from the literature, in seconds an image.
QUOTED_RATIO, QUOTED_SECONDS = 237, 0.002


def introduction(frames: Frames) -> str:
    """What stands in this section and what the times mean."""
    names = ", ".join(model.label for model in frames.loaded.generators.values())
    text = (
        f"{names}: trained, sampled and scored by the same pipeline on the same images as the runs. A one-pass model "
        "is sampled with averaged batch statistics, so that an image does not depend on its batch."
    )
    if any(model.kind == "vae" for model in frames.loaded.generators.values()):
        text += (
            " The images of the VAE are its decoder's means. Its likelihood is a Gaussian integrated over the bin of "
            "each 8-bit level, so that its bound is one on the same quantity as that of the runs, on the same held-out "
            "images; a GAN has none."
        )
    return text


def models(frames: Frames) -> Table:
    """What each one-pass model is and how it was trained."""
    rows: list[tuple[Value, ...]] = []
    for model in frames.loaded.generators.values():
        training, timed = model.training, _of(frames.training, model.name, model.seeds[0])
        sizes = [_first(timed, name) for name in ("parameters", "parameters_trained")]
        files = [str(model.folder(seed) / "run.yaml") for seed in model.seeds]
        rows.append((
            model.label, model.latent, model.channels,
            *(NOT_RECORDED if size is None else int(size) for size in sizes), training.steps, training.batch_size,
            setting_text(training.learning_rate), setting_text((training.beta1, training.beta2)),
            _critic(model),
            setting_text(training.ema_decay) if training.ema_decay else "off",
            Links(frames.pedigree.ids(files)),
        ))
    names = ("Model", "Latent", "Channels", "Parameters that make images", "Parameters trained",
             "Training steps", "Batch", "Learning rate", "Adam's β", "Critic", "EMA decay", "From")
    return Table(
        "one-pass-models",
        "The one-pass models.",
        tuple(map(Column, names)),
        tuple(rows),
        notes=(
            f"{listed([KIND_TITLES[model.kind] for model in frames.loaded.generators.values()])}.",
            "A GAN trains a discriminator and a VAE an encoder that sampling does not use: both numbers of parameters "
            "are given. They train in float32 whatever the runs do.",
        ),
        narrow=True,
    )


def _critic(model: ResolvedGenerator) -> str:
    """How often a critic steps, what holds it smooth and how it is normalised."""
    if model.critic_norm is None:
        return NOT_ASKED
    norm = "no norm" if model.critic_norm == "none" else f"{model.critic_norm} norm"
    return f"{counted(int(model.training.critic_steps or 0), 'step')}, λ = {setting_text(model.training.gradient_penalty)}, {norm}"


def table(frames: Frames, cells: Cells) -> Table:
    """Quality and cost of every one-pass model beside the compared runs at each step count of their first sampler."""
    rows: list[tuple[Value, ...]] = []
    marked = []
    for model, seed, setting, steps in _places(frames):
        if isinstance(model, ResolvedGenerator):
            marked.append(len(rows))
        found = [cells.get((model.name, setting, metric)) for metric in HEADLINE_METRICS]
        bound = cells.get((model.name, "likelihood", "bits_per_dim"))
        trained, drawn = _of(frames.training, model.name, seed), _of(frames.sampling, model.name, seed, setting)
        per_image = _first(drawn, "ms_per_image")
        parameters, seconds = _first(trained, "parameters"), _first(trained, "seconds")
        files = [file for cell in [*found[:1], bound] if cell is not None for file in cell.files]
        files += [str(path) for part in (trained, drawn) for path in part["file"].iloc[:1]]
        has_bound = not isinstance(model, ResolvedGenerator) or model.kind == "vae"
        rows.append((
            model.label, setting.rpartition("-")[0], steps,
            NOT_RECORDED if parameters is None else int(parameters), NOT_RECORDED if seconds is None else seconds,
            NOT_RECORDED if per_image is None else 1000 / per_image, *map(_estimate, found),
            _estimate(bound) if has_bound else NOT_ASKED, Links(frames.pedigree.ids(files)),
        ))
    columns = (
        Column("Model"), Column("Sampler"), Column("Steps"), Column("Parameters"),
        Column("Training", "s"), Column("Images per second"),
        *(Column(metric_short(m, frames.features), f"{direction(m)} is better", estimate=True) for m in HEADLINE_METRICS),
        Column("Bound", "bits/dim", estimate=True), Column("From"),
    )
    return Table(
        "one-pass",
        "One-pass models (marked) beside the runs at each number of steps of their first sampler: quality and cost.",
        columns,
        tuple(rows),
        notes=(
            f"Quality is from {frames.loaded.study.evaluation.group_size} images. "
            "Parameters are those that make an image. Times were measured once on the machine of the table of "
            "hardware and software and differ from machine to machine; that of a one-pass model is the median of "
            "repeated batches. Quality is over all training seeds, times are of the first.",
        ),
        marked=frozenset(marked),
        narrow=True,
    )


def latency(frames: Frames) -> Table | None:
    """How many times as long an image of each compared run takes as one of each one-pass model; None without times."""
    one_pass = list(frames.loaded.generators.values())
    rows: list[tuple[Value, ...]] = []
    for run, seed, setting, steps in _places(frames):
        if isinstance(run, ResolvedGenerator):
            continue
        ours = _of(frames.sampling, run.name, seed, setting)
        if _first(ours, "ms_per_image") is None:
            continue
        others = {model.name: _of(frames.sampling, model.name, model.seeds[0]) for model in one_pass}
        ratios = [_ratio(ours, others[model.name]) for model in one_pass]
        files = [str(path) for part in (ours, *others.values()) for path in part["file"].iloc[:1]]
        rows.append((
            run.label, setting.rpartition("-")[0], steps, float(ours["ms_per_image"].iloc[0]), *ratios,
            Links(frames.pedigree.ids(files)),
        ))
    if not rows:
        return None
    columns = (Column("Run"), Column("Sampler"), Column("Steps"), Column("Time per image", "ms"),
               *(Column(f"× {model.label}") for model in one_pass), Column("From"))
    return Table(
        "one-pass-latency",
        "Time of an image of each run divided by that of an image of each one-pass model.",
        columns,
        tuple(rows),
        notes=(
            "Both times are those of a batch, from drawing its noise to 8-bit images, divided by its images. A ratio "
            "stands here only where both were taken on the same processor and device with the same batch and the same "
            f"number of threads; otherwise it says {NOT_COMPARABLE!r}. Other jobs may have run on other cores.",
        ),
    )


def latency_sentence(frames: Frames) -> str:
    """Our own ratio in words, beside the quoted one."""
    slowest = max((p for p in _places(frames) if isinstance(p[0], ResolvedRun)), key=lambda p: p[3], default=None)
    quoted = (
        f"The graduation report's “{QUOTED_RATIO}×” divides the time of one image in a batch of a DDPM by "
        f"{QUOTED_SECONDS} s, a figure for a GAN from the literature: two machines and two ways of counting."
    )
    if slowest is None:
        return quoted
    run, seed, setting, steps = slowest
    ours = _of(frames.sampling, run.name, seed, setting)
    parts = []
    for model in frames.loaded.generators.values():
        theirs = _of(frames.sampling, model.name, model.seeds[0])
        if isinstance(ratio := _ratio(ours, theirs), float):
            parts.append(f"{number(ratio, 3)} times as long as one of {model.label}")
    if not parts:
        return quoted
    batch = int(ours["batch_size"].iloc[0])
    return (
        f"Here an image of {run.label} with {steps} steps of {setting.rpartition('-')[0]} took {', '.join(parts)}: same "
        f"machine, same batch of {batch}, same threads. {quoted}"
    )


def quoted() -> Table:
    """The literature's table of GANs beside DDPM, which nothing here reproduces."""
    rows = tuple((name, fid, size, "quoted, not run") for name, fid, size in QUOTED)
    return Table(
        "one-pass-quoted",
        "Quoted from the thesis draft that this project follows (its table 4): CelebA at 64×64, with data, "
        "preprocessing and feature network of its own.",
        (Column("Model"), Column("FID as printed there"), Column("Parameters as printed there", "millions"),
         Column("State here")),
        rows,
        notes=(
            "Not one of these numbers was measured by this study, and none may be compared with those above: other "
            "images, another feature network, other sizes. PGAN has no counterpart here.",
        ),
    )


def _places(frames: Frames) -> Iterator[tuple[ResolvedRun | ResolvedGenerator, int, str, int]]:
    """(model, first seed, setting, steps) of the one-pass models, then of the compared runs' first sampler."""
    for model in frames.loaded.generators.values():
        yield from ((model, model.seeds[0], setting, steps) for setting, _, steps in model.settings())
    for run in compared_runs(frames.loaded):
        main = next(iter(run.sampling.samplers))
        chosen = [(setting, steps) for setting, key, steps in run.settings() if key == main]
        yield from ((run, run.seeds[0], setting, n) for setting, n in sorted(chosen, key=lambda s: -s[1]))


def _of(frame: pd.DataFrame, name: str, seed: int, setting: str | None = None) -> pd.DataFrame:
    rows = frame[(frame["run"] == name) & (frame["seed"] == seed)]
    return rows if setting is None else rows[rows["setting"] == setting]


def _first(rows: pd.DataFrame, column: str) -> float | None:
    return optional(rows[column].iloc[0]) if len(rows) else None


def _estimate(cell: Cell | None) -> Value:
    return NOT_RUN if cell is None else Estimate(cell.value, cell.low, cell.high)


def _ratio(ours: pd.DataFrame, theirs: pd.DataFrame) -> Value:
    """Time of an image in `ours` over that in `theirs`, where both were measured alike."""
    mine, other = _first(ours, "ms_per_image"), _first(theirs, "ms_per_image")
    if mine is None or other is None:
        return NOT_RECORDED
    machines = [rows["machine"].iloc[0] for rows in (ours, theirs)]
    same = all(machines[0].get(name) == machines[1].get(name) for name in ("cpu", "device", "threads"))
    return mine / other if same and _first(ours, "batch_size") == _first(theirs, "batch_size") else NOT_COMPARABLE


MARKER = "*"


DASHED = "dashed"


#: What is drawn of each kind's history: column, its name, its line.
CURVES: dict[str, tuple[tuple[str, str, Any], ...]] = {
    "dcgan": (("discriminator_loss", "discriminator", "solid"), ("generator_loss", "generator", DASHED)),
    "wgan-gp": (
        ("wasserstein_estimate", "critic's estimate of the distance", "solid"),
        ("gradient_penalty", "gradient penalty", DASHED),
    ),
    "vae": (("reconstruction", "reconstruction (bits/dim)", "solid"), ("kl", "KL (bits/dim)", DASHED)),
}


def losses(frames: Frames) -> Picture | None:
    """What each one-pass model minimises along its training, a panel each."""
    history = frames.one_pass_history
    there = [model for model in frames.loaded.generators.values() if (history["run"] == model.name).any()]
    if not there:
        return None
    figure, grid = plt.subplots(1, len(there), figsize=(WIDTH, 3.9), squeeze=False)
    for axes, model in zip(grid[0], there, strict=True):
        for seed in model.seeds:
            rows = history[(history["run"] == model.name) & (history["seed"] == seed)]
            for column, _, style in CURVES[model.kind]:
                axes.plot(rows["step"], rows[column], color=model_colours(frames.loaded)[model.name], linestyle=style)
        axes.set(title=model.label, xlabel="training step", ylabel="loss" if axes is grid[0, 0] else "")
        handles = [
            Line2D([], [], color="#444444", linestyle=style, label=name) for _, name, style in CURVES[model.kind]
        ]
        axes.legend(handles=handles, fontsize=8)
    return finish(
        figure, "one-pass-losses",
        "Losses of the one-pass models along training, each point a mean over the logged interval. A GAN's losses say "
        "how the two networks stand against each other, not how good the images are: at 2 ln 2 = 1.386 the "
        "discriminator knows nothing. Each panel has its own scale.",
        "One panel for each one-pass model with its losses against training step.",
    )


def samples(frames: Frames, cells: Cells) -> Picture | None:
    """The first images of each one-pass model beside held-out real ones."""
    short = metric_short("frechet_distance", frames.features)
    found = [(model, _images(frames, model)) for model in frames.loaded.generators.values()]
    if all(images is None for _, images in found):
        return None
    real = held_out_images(frames, 64)
    figure, grid = plt.subplots(1, len(found) + 1, figsize=(WIDTH, WIDTH / (len(found) + 1) + 0.9), squeeze=False)
    show(grid[0, 0], None if real is None else mosaic(real, 8), REAL_LINES["held-out"])
    for axes, (model, images) in zip(grid[0, 1:], found, strict=True):
        cell = cells.get((model.name, model.settings()[0][0], "frechet_distance"))
        note = f"{short} {number(cell.value)}" if cell else ""
        show(axes, None if images is None else mosaic(images, 8), model.label, note)
    return finish(
        figure, "one-pass-samples",
        "Held-out real images beside the first images (at most 64) of each one-pass model, and below each its "
        f"{short}. None was picked.",
        "A grid of real images beside a grid of images of each one-pass model.", raster=True,
    )


def _images(frames: Frames, model: ResolvedGenerator) -> np.ndarray | None:
    return sample_images(frames, model.name, model.seeds[0], model.settings()[0][0], 64)


def _one_pass(frames: Frames, cells: Cells) -> list[Item]:
    if not frames.loaded.generators:
        return []
    return [
        one_pass.introduction(frames), one_pass.models(frames), one_pass.table(frames, cells),
        one_pass.latency_sentence(frames), one_pass.latency(frames), one_pass_figures.samples(frames, cells),
        one_pass_figures.losses(frames) or f"Losses of the one-pass models: {NOT_RUN}.", one_pass.quoted(),
    ]

