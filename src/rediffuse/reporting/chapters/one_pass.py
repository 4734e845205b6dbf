"""One-pass models beside the runs: what they are, their quality, what they cost, and the ratio of the two times."""

from collections.abc import Iterator

import pandas as pd

from rediffuse.config import ResolvedRun
from rediffuse.models.latent_options import CriticNetwork
from rediffuse.reporting.experiments.cells import Cell, Cells, optional
from rediffuse.reporting.read.frames import Frames
from rediffuse.reporting.render.table import Column, Estimate, Links, Table, Value
from rediffuse.reporting.render.terms import (
    NOT_ASKED,
    NOT_RECORDED,
    NOT_RUN,
    compared_runs,
    counted,
    direction,
    headline_metrics,
    listed,
    metric_short,
    number,
    setting_text,
)
from rediffuse.runs import facts
from rediffuse.training.options import OnePassTraining, WganTraining

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
    names = ", ".join(model.label for model in facts.one_pass_runs(frames.loaded).values())
    text = (
        f"{names}: trained, sampled and scored by the same pipeline on the same images as the runs. A one-pass model "
        "is sampled with averaged batch statistics, so that an image does not depend on its batch."
    )
    if any(model.model == "vae" for model in facts.one_pass_runs(frames.loaded).values()):
        text += (
            " The images of the VAE are its decoder's means. Its likelihood is a Gaussian integrated over the bin of "
            "each 8-bit level, so that its bound is one on the same quantity as that of the runs, on the same held-out "
            "images; a GAN has none."
        )
    return text


def models(frames: Frames) -> Table:
    """What each one-pass model is and how it was trained."""
    rows: list[tuple[Value, ...]] = []
    for model in facts.one_pass_runs(frames.loaded).values():
        training, network = model.training, facts.latent(model)
        assert isinstance(training, OnePassTraining)
        files = [str(facts.folder(model, seed) / "run.yaml") for seed in model.seeds]
        rows.append(
            (
                model.label,
                network.latent,
                network.channels,
                *frames.parameters.get(model.name, (NOT_RECORDED, NOT_RECORDED)),
                training.steps,
                training.batch_size,
                setting_text(training.learning_rate),
                setting_text(training.betas),
                _critic(model),
                setting_text(training.ema_decay) if training.ema_decay else "off",
                Links(frames.pedigree.ids(files)),
            )
        )
    names = ("Model", "Latent", "Channels", "Parameters that make images", "Parameters trained",
             "Training steps", "Batch", "Learning rate", "Adam's β", "Critic", "EMA decay", "From")  # fmt: skip
    return Table(
        "one-pass-models",
        "The one-pass models.",
        tuple(map(Column, names)),
        tuple(rows),
        notes=(
            f"{listed([KIND_TITLES[model.model] for model in facts.one_pass_runs(frames.loaded).values()])}.",
            "A GAN trains a discriminator and a VAE an encoder that sampling does not use: both numbers of parameters "
            "are given. They train in float32 whatever the runs do.",
        ),
        narrow=True,
    )


def _critic(model: ResolvedRun) -> str:
    """How often a critic steps, what holds it smooth and how it is normalised."""
    network, training = model.network, model.training
    if not (isinstance(network, CriticNetwork) and isinstance(training, WganTraining)):
        return NOT_ASKED
    norm = "no norm" if network.critic_norm == "none" else f"{network.critic_norm} norm"
    return f"{counted(training.critic_steps, 'step')}, λ = {setting_text(training.gradient_penalty)}, {norm}"


def table(frames: Frames, cells: Cells) -> Table:
    """Quality of every one-pass model beside the compared runs at each step count of their first sampler."""
    rows: list[tuple[Value, ...]] = []
    marked = []
    for model, seed, setting, steps in _places(frames):
        if facts.is_one_pass(model):
            marked.append(len(rows))
        found = [cells.get((model.name, setting, metric)) for metric in headline_metrics()]
        bound = cells.get((model.name, "likelihood", "bits_per_dim"))
        parameters = frames.parameters.get(model.name)
        files = [file for cell in [*found[:1], bound] if cell is not None for file in cell.files]
        has_bound = not facts.is_one_pass(model) or model.model == "vae"
        rows.append(
            (
                model.label,
                setting.rpartition("-")[0],
                steps,
                NOT_RECORDED if parameters is None else parameters[0],
                *map(_estimate, found),
                _estimate(bound) if has_bound else NOT_ASKED,
                Links(frames.pedigree.ids(files)),
            )
        )
    columns = (
        Column("Model"), Column("Sampler"), Column("Steps"), Column("Parameters"),
        *(Column(metric_short(m, frames.features), f"{direction(m)} is better", estimate=True) for m in headline_metrics()),
        Column("Bound", "bits/dim", estimate=True), Column("From"),
    )  # fmt: skip
    return Table(
        "one-pass",
        "One-pass models (marked) beside the runs at each number of steps of their first sampler.",
        columns,
        tuple(rows),
        notes=(
            f"Quality is from {frames.loaded.study.evaluation.group_size} images. "
            "Parameters are those that make an image. What each takes stands in timings.md.",
        ),
        marked=frozenset(marked),
        narrow=True,
    )


def times(frames: Frames) -> Table | None:
    """Seconds of training and images per second of every one-pass model beside the compared runs; None without any."""
    rows: list[tuple[Value, ...]] = []
    for model, seed, setting, steps in _places(frames):
        trained, drawn = _of(frames.training, model.name, seed), _of(frames.sampling, model.name, seed, setting)
        per_image, seconds = _first(drawn, "ms_per_image"), _first(trained, "seconds")
        files = [str(path) for part in (trained, drawn) for path in part["file"].iloc[:1]]
        rows.append(
            (
                model.label,
                setting.rpartition("-")[0],
                steps,
                NOT_RECORDED if seconds is None else seconds,
                NOT_RECORDED if per_image is None else 1000 / per_image,
                Links(frames.pedigree.ids(files)),
            )
        )
    if not rows:
        return None
    columns = (
        Column("Model"),
        Column("Sampler"),
        Column("Steps"),
        Column("Training", "s"),
        Column("Images per second"),
        Column("From"),
    )
    note = "The time of a one-pass model is the median of repeated batches; times are of the first training seed."
    return Table("one-pass-times", "What one-pass models and runs take.", columns, tuple(rows), notes=(note,))


def latency(frames: Frames) -> Table | None:
    """How many times as long an image of each compared run takes as one of each one-pass model; None without times."""
    one_pass = list(facts.one_pass_runs(frames.loaded).values())
    rows: list[tuple[Value, ...]] = []
    for run, seed, setting, steps in _places(frames):
        if facts.is_one_pass(run):
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
        ))  # fmt: skip
    if not rows:
        return None
    columns = (Column("Run"), Column("Sampler"), Column("Steps"), Column("Time per image", "ms"),
               *(Column(f"× {model.label}") for model in one_pass), Column("From"))  # fmt: skip
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
    slowest = max((p for p in _places(frames) if not facts.is_one_pass(p[0])), key=lambda p: p[3], default=None)
    quoted = (
        f"The graduation report's “{QUOTED_RATIO}×” divides the time of one image in a batch of a DDPM by "
        f"{QUOTED_SECONDS} s, a figure for a GAN from the literature: two machines and two ways of counting."
    )
    if slowest is None:
        return quoted
    run, seed, setting, steps = slowest
    ours = _of(frames.sampling, run.name, seed, setting)
    parts = []
    for model in facts.one_pass_runs(frames.loaded).values():
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
    )  # fmt: skip


def _places(frames: Frames) -> Iterator[tuple[ResolvedRun, int, str, int]]:
    """(model, first seed, setting, steps) of the one-pass models, then of the compared runs' first sampler."""
    for model in facts.one_pass_runs(frames.loaded).values():
        yield from ((model, model.seeds[0], setting, steps) for setting, _, steps in facts.settings(model))
    for run in compared_runs(frames.loaded):
        main = next(iter(run.sampling.samplers))
        chosen = [(setting, steps) for setting, key, steps in facts.settings(run) if key == main]
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
