"""One-pass models beside the runs: what they are, their quality, what they cost, and the ratio of the two times."""

from collections.abc import Iterator
from typing import Any

import matplotlib.pyplot as plt
import pandas as pd

from rediffuse.config import ResolvedRun
from rediffuse.config.sampling import Pace
from rediffuse.evaluation.metrics import metric_short
from rediffuse.models.latent_options import CriticNetwork
from rediffuse.reporting.experiments.cells import Cells, estimate, optional, recorded
from rediffuse.reporting.experiments.material import Material
from rediffuse.reporting.read.frames import Frames, of_run
from rediffuse.reporting.read.records import held_out_images, parameter_count, parameters, sample_images
from rediffuse.reporting.read.timings import Timings
from rediffuse.reporting.render.blocks import Chapter, chapter_of
from rediffuse.reporting.render.picture import WIDTH, Picture, finish, handle, mosaic, show
from rediffuse.reporting.render.table import Rows, Table, headers, metric_titles
from rediffuse.reporting.terms import (
    MAIN,
    REAL_LINES,
    compared_runs,
    headline_metrics,
    one_pass_runs,
    run_colours,
    sampler_title,
    setting_words,
)
from rediffuse.reporting.values import NOT_ASKED, NOT_RECORDED, NOT_RUN, Value, counted, listed, number, setting_text
from rediffuse.runs import facts
from rediffuse.training.options import OnePassTraining, WganTraining

KIND_TITLES = {
    "dcgan": "DCGAN (Radford et al. 2016)",
    "wgan-gp": "WGAN-GP (Gulrajani et al. 2017)",
    "vae": "VAE (Kingma & Welling 2014)",
}
#: The thesis's table 4: CelebA at 64×64, FID and millions of parameters. Quoted; nothing here was run.
QUOTED = (("DCGAN", "12.5", "6.4"), ("WGAN-GP", "6.8", "12.2"), ("PGAN", "5.3", "23.1"), ("DDPM", "3.2", "35.7"))
NOT_COMPARABLE = "not comparable"
#: The graduation report's ratio, and the one-pass time it takes from the literature, in seconds an image.
QUOTED_RATIO, QUOTED_SECONDS = 237, 0.002


def introduction(frames: Frames) -> str:
    """What stands in this section and what the times mean."""
    names = ", ".join(model.label for model in one_pass_runs(frames.loaded))
    text = (
        f"{names}: trained, sampled and scored by the same pipeline on the same images as the runs. A one-pass model "
        "is sampled with averaged batch statistics, so that an image does not depend on its batch."
    )
    if any(facts.bounds_likelihood(model) for model in one_pass_runs(frames.loaded)):
        text += (
            " The images of the VAE are its decoder's means. Its likelihood is a Gaussian integrated over the bin of "
            "each 8-bit level, so that its bound is one on the same quantity as that of the runs, on the same held-out "
            "images; a GAN has none."
        )
    return text


def models(frames: Frames) -> Table:
    """What each one-pass model is and how it was trained."""
    rows = Rows()
    for model in one_pass_runs(frames.loaded):
        training = model.training
        assert isinstance(training, OnePassTraining)
        sizes = parameters(frames, model) or (NOT_RECORDED, NOT_RECORDED)
        files = [str(facts.folder(model, seed) / "run.yaml") for seed in model.seeds]
        shape, averaged = facts.latent(model), setting_text(training.ema_decay) if training.ema_decay else "off"
        adam = (setting_text(training.learning_rate), setting_text((training.beta1, training.beta2)))
        trained = (training.steps, training.batch_size, *adam, _critic(model), averaged)
        rows.add(model.label, shape.latent, shape.channels, *sizes, *trained, frames.pedigree.links(files))
    columns = headers(
        "Model | Latent | Channels | Parameters that make images | Parameters trained | Training steps | Batch | "
        "Learning rate | Adam's β | Critic | EMA decay | From"
    )
    notes = (
        f"{listed([KIND_TITLES[model.model] for model in one_pass_runs(frames.loaded)])}.",
        "A GAN trains a discriminator and a VAE an encoder that sampling does not use: both numbers of parameters "
        "are given. They train in float32 whatever the runs do.",
    )
    return Table("one-pass-models", "The one-pass models.", columns, rows, notes=notes, narrow=True)


def _critic(model: ResolvedRun) -> str:
    """How often a critic steps, what holds it smooth and how it is normalised."""
    if not isinstance(model.training, WganTraining) or not isinstance(model.network, CriticNetwork):
        return NOT_ASKED
    norm = "no norm" if model.network.critic_norm == "none" else f"{model.network.critic_norm} norm"
    steps, weight = model.training.critic_steps, setting_text(model.training.gradient_penalty)
    return f"{counted(steps, 'step')}, λ = {weight}, {norm}"


def table(frames: Frames, cells: Cells) -> Table:
    """Quality of every one-pass model beside the compared runs at each step count of their first sampler."""
    rows, marked, metrics = Rows(), [], headline_metrics(frames.loaded)
    for model, _, setting, steps in _places(frames):
        if facts.is_one_pass(model):
            marked.append(len(rows))
        found = [cells.get((model.name, setting, metric)) for metric in metrics]
        bound = cells.get((model.name, "likelihood", "bits_per_dim"))
        files = [file for cell in [*found[:1], bound] if cell is not None for file in cell.files]
        scores = (*map(estimate, found), estimate(bound, facts.bounds_likelihood(model)))
        sampler, size = _sampler(model, setting), parameter_count(frames, model)
        rows.add(model.label, sampler, steps, size, *scores, frames.pedigree.links(files))
    columns = headers(
        "Model | Sampler | Steps | Parameters", metric_titles(metrics, frames.features), "Bound (bits/dim) | From"
    )
    caption = "One-pass models, first, beside the runs at each number of steps of their first sampler: quality."
    note = (
        f"Quality is from {frames.loaded.study.evaluation.group_size} images, over all training seeds. Parameters "
        "are those that make an image."
    )
    return Table("one-pass", caption, columns, rows, notes=(note,), marked=frozenset(marked), narrow=True)


def cost(frames: Frames, clock: Timings) -> Table:
    """Time of training and images a second of every one-pass model and of the compared runs, first seed."""
    rows, marked = Rows(), []
    for model, seed, setting, steps in _places(frames):
        if facts.is_one_pass(model):
            marked.append(len(rows))
        trained, drawn = of_run(clock.training, model, seed), of_run(clock.sampling, model, seed, setting)
        per_image, seconds = _first(drawn, "ms_per_image"), _first(trained, "seconds")
        files = [str(path) for part in (trained, drawn) for path in part["file"].iloc[:1]]
        sampler, rate = _sampler(model, setting), NOT_RECORDED if per_image is None else 1000 / per_image
        rows.add(model.label, sampler, steps, recorded(seconds), rate, clock.links(files))
    columns = headers("Model | Sampler | Steps | Training (s) | Images per second | From")
    note = "The time of a one-pass model is the median of repeated batches. All are of the first training seed."
    what = "One-pass models, first, beside the runs at each number of steps of their first sampler: cost."
    return Table("one-pass-cost", what, columns, rows, (note,), frozenset(marked))


def latency(frames: Frames, clock: Timings) -> Table | None:
    """How many times as long an image of each compared run takes as one of each one-pass model; None without times."""
    one_pass = list(one_pass_runs(frames.loaded))
    rows = Rows()
    for run, seed, setting, steps in _places(frames):
        if facts.is_one_pass(run):
            continue
        ours = of_run(clock.sampling, run, seed, setting)
        if _first(ours, "ms_per_image") is None:
            continue
        others = {model.name: of_run(clock.sampling, model, model.seeds[0]) for model in one_pass}
        ratios = [_ratio(ours, others[model.name]) for model in one_pass]
        files = [str(path) for part in (ours, *others.values()) for path in part["file"].iloc[:1]]
        sampler, taken = _sampler(run, setting), float(ours["ms_per_image"].iloc[0])
        rows.add(run.label, sampler, steps, taken, *ratios, clock.links(files))
    if not rows:
        return None
    columns = headers("Run | Sampler | Steps | Time per image (ms)", [f"× {model.label}" for model in one_pass], "From")
    caption = "Time of an image of each run divided by that of an image of each one-pass model."
    note = (
        "Both times are those of a batch, from drawing its noise to 8-bit images, divided by its images. A ratio "
        "stands here only where both were taken on the same processor and device with the same batch and the same "
        f"number of threads; otherwise it says {NOT_COMPARABLE!r}. Other jobs may have run on other cores."
    )
    return Table("one-pass-latency", caption, columns, rows, notes=(note,))


def latency_sentence(frames: Frames, clock: Timings) -> str:
    """Our own ratio in words, beside the quoted one."""
    diffusion = [place for place in _places(frames) if not facts.is_one_pass(place[0])]
    slowest = min(diffusion, key=lambda place: facts.fineness(("", "", place[3])), default=None)
    quoted = (
        f"The graduation report's “{QUOTED_RATIO}×” divides the time of one image in a batch of a DDPM by "
        f"{QUOTED_SECONDS} s, a figure for a GAN from the literature: two machines and two ways of counting."
    )
    if slowest is None:
        return quoted
    run, seed, setting, _ = slowest
    ours = of_run(clock.sampling, run, seed, setting)
    parts = []
    for model in one_pass_runs(frames.loaded):
        theirs = of_run(clock.sampling, model, model.seeds[0])
        if isinstance(ratio := _ratio(ours, theirs), float):
            parts.append(f"{number(ratio, 3)} times as long as one of {model.label}")
    if not parts:
        return quoted
    batch = int(ours["batch_size"].iloc[0])
    return (
        f"Here an image of {run.label} with {setting_words(frames.loaded, run.name, setting)} took {', '.join(parts)}: "
        f"same machine, same batch of {batch}, same threads. {quoted}"
    )


def quoted() -> Table:
    """The literature's table of GANs beside DDPM, of which only the sizes of networks can be held against ours."""
    ours = _sizes()
    rows = tuple((name, fid, size, *ours.get(name, (NOT_ASKED,) * 2), "quoted, not run") for name, fid, size in QUOTED)
    caption = (
        "Quoted from the thesis draft that this project follows (its table 4): CelebA at 64×64, with data, "
        "preprocessing and feature network of its own. Beside it the size of this project's networks for such images."
    )
    columns = headers(
        "Model | FID as printed there | Parameters as printed there (millions) | Ours, trained (millions) | "
        "of which make images (millions) | State here"
    )
    note = (
        "Not one of the distances was measured by this study, and none may be compared with those above: other images, "
        "another feature network. Ours: a latent vector of 100 and 64 channels at the largest map, as Radford et al. "
        "2016 have them, and the U-Net of Ho et al. 2020. PGAN has no counterpart here."
    )
    return Table("one-pass-quoted", caption, columns, rows, notes=(note,))


def _sizes() -> dict[str, tuple[float, float]]:
    """Millions of parameters for RGB images of 64×64: all that are trained, and those that make an image."""
    import torch

    from rediffuse.models.dcgan import Discriminator, Generator
    from rediffuse.models.presets import FIELDS
    from rediffuse.models.unet import UNet
    from rediffuse.models.unet_config import UNetConfig

    def millions(network: torch.nn.Module) -> float:
        return sum(p.numel() for p in network.parameters()) / 1e6

    options, shape, found = CriticNetwork(), (3, 64, 64), {}
    with torch.device("meta"):
        makes = millions(Generator(options.latent, options.channels, shape))
        for name, norm in (("DCGAN", "batch"), ("WGAN-GP", options.critic_norm)):
            found[name] = (makes + millions(Discriminator(options.channels, shape, norm)), makes)
        unet = millions(UNet(UNetConfig(**FIELDS["celeba64"])))
    return found | {"DDPM": (unet, unet)}


def _places(frames: Frames) -> Iterator[tuple[ResolvedRun, int, str, Pace]]:
    """(model, first seed, setting, steps) of the one-pass models, then of the compared runs' first sampler."""
    for model in one_pass_runs(frames.loaded):
        yield from ((model, model.seeds[0], setting, steps) for setting, _, steps in facts.settings(model))
    for run in compared_runs(frames.loaded):
        main = next(iter(run.sampling.samplers))
        chosen = sorted((setting for setting in facts.own_settings(run) if setting[1] == main), key=facts.fineness)
        yield from ((run, run.seeds[0], setting, pace) for setting, _, pace in chosen)


def _sampler(run: ResolvedRun, setting: str) -> str:
    return sampler_title(run, setting.rpartition("-")[0])


def _first(rows: pd.DataFrame, column: str) -> float | None:
    return optional(rows[column].iloc[0]) if len(rows) else None


def _ratio(ours: pd.DataFrame, theirs: pd.DataFrame) -> Value:
    """Time of an image in `ours` over that in `theirs`, where both were measured alike."""
    mine, other = _first(ours, "ms_per_image"), _first(theirs, "ms_per_image")
    if mine is None or other is None:
        return NOT_RECORDED
    machines = [rows["machine"].iloc[0] for rows in (ours, theirs)]
    same = all(machines[0].get(name) == machines[1].get(name) for name in ("cpu", "device", "threads"))
    return mine / other if same and _first(ours, "batch_size") == _first(theirs, "batch_size") else NOT_COMPARABLE


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
    there = [model for model in one_pass_runs(frames.loaded) if (history["run"] == model.name).any()]
    if not there:
        return None
    figure, grid = plt.subplots(1, len(there), figsize=(WIDTH, 3.9), squeeze=False)
    for axes, model in zip(grid[0], there, strict=True):
        for seed in model.seeds:
            rows = history[(history["run"] == model.name) & (history["seed"] == seed)]
            for column, _, style in CURVES[model.model]:
                axes.plot(rows["step"], rows[column], color=run_colours(frames.loaded)[model.name], linestyle=style)
        axes.set(title=model.label, xlabel="training step", ylabel="loss" if axes is grid[0, 0] else "")
        handles = [handle(name, "#444444", linestyle=style) for _, name, style in CURVES[model.model]]
        axes.legend(handles=handles, fontsize=8)
    caption = (
        "Losses of the one-pass models along training, each point a mean over the logged interval. A GAN's losses say "
        "how the two networks stand against each other, not how good the images are: a DCGAN's discriminator knows "
        "nothing at 2 ln 2 = 1.386. Each panel has its own scale."
    )
    alt = "One panel for each one-pass model with its losses against training step."
    return finish(figure, "one-pass-losses", caption, alt)


def samples(frames: Frames, cells: Cells) -> Picture | None:
    """The first images of each one-pass model beside held-out real ones."""
    short = metric_short("frechet_distance", frames.features)
    settings = {model.name: facts.settings(model)[0][0] for model in one_pass_runs(frames.loaded)}
    found = [(m, sample_images(frames, m, settings[m.name], 64)) for m in one_pass_runs(frames.loaded)]
    if all(images is None for _, images in found):
        return None
    real = held_out_images(frames, 64)
    figure, grid = plt.subplots(1, len(found) + 1, figsize=(WIDTH, WIDTH / (len(found) + 1) + 0.9), squeeze=False)
    show(grid[0, 0], None if real is None else mosaic(real, 8), REAL_LINES["held-out"])
    for axes, (model, images) in zip(grid[0, 1:], found, strict=True):
        cell = cells.get((model.name, settings[model.name], MAIN))
        note = f"{short} {number(cell.value)}" if cell else ""
        show(axes, None if images is None else mosaic(images, 8), model.label, note)
    caption = (
        "Held-out real images beside the first images (at most 64) of each one-pass model, and below each its "
        f"{short}. None was picked."
    )
    alt = "A grid of real images beside a grid of images of each one-pass model."
    return finish(figure, "one-pass-samples", caption, alt, raster=True)


def chapter(material: Material) -> Chapter | None:
    """What they are, how good their images are, and what is quoted of others."""
    frames, cells = material.frames, material.cells
    if not one_pass_runs(material.loaded):
        return None
    curves = losses(frames) or f"Losses of the one-pass models: {NOT_RUN}."
    items = (models(frames), table(frames, cells), samples(frames, cells), curves, quoted())
    return chapter_of("one-pass", "One-pass models", introduction(frames), *items)


def timings(material: Material, clock: Timings) -> Chapter | None:
    """What they cost, and how many times as long the runs take."""
    frames = material.frames
    if not one_pass_runs(material.loaded):
        return None
    items = (cost(frames, clock), latency_sentence(frames, clock), latency(frames, clock))
    return chapter_of("one-pass-times", "One-pass models against the clock", *items)
