"""The report's contents: sections of paragraphs, tables, figures and commands, the same for every page format."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TypeAlias

from rediffuse.reporting.chapters import (
    ablations,
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
from rediffuse.reporting.experiments.cells import Cells
from rediffuse.reporting.experiments.claims import Verdict, tally
from rediffuse.reporting.read.frames import Frames
from rediffuse.reporting.render.style import Picture, styled
from rediffuse.reporting.render.table import Table
from rediffuse.reporting.render.terms import NOT_RUN, counted, headline_metrics, listed, metric_title, run_of_role
from rediffuse.runs import facts


@dataclass(frozen=True)
class Text:
    """A paragraph; `code` stands in backquotes."""

    text: str
    kind: str = "text"


@dataclass(frozen=True)
class Bullets:
    """Paragraphs as a list."""

    texts: tuple[str, ...]
    kind: str = "bullets"


@dataclass(frozen=True)
class Code:
    """Commands, one a line, each with what it does."""

    lines: tuple[tuple[str, str], ...]
    kind: str = "code"


@dataclass(frozen=True)
class TableBlock:
    """A numbered table."""

    number: str
    table: Table
    kind: str = "table"


@dataclass(frozen=True)
class FigureBlock:
    """A numbered figure."""

    number: str
    picture: Picture
    kind: str = "figure"


Block: TypeAlias = Text | Bullets | Code | TableBlock | FigureBlock


Item: TypeAlias = str | Table | Picture | Bullets | Code | None


@dataclass(frozen=True)
class Section:
    """A titled part of the report."""

    id: str
    title: str
    blocks: tuple[Block, ...]


class _Counter:
    """Numbers tables and figures in the order in which they are read; `prefix` stands before each number."""

    def __init__(self, prefix: str = "") -> None:
        self.tables, self.figures, self.prefix = 0, 0, prefix

    def number(self, items: Iterable["Item"]) -> tuple[Block, ...]:
        blocks: list[Block] = []
        for item in items:
            if isinstance(item, Table):
                self.tables += 1
                blocks.append(TableBlock(f"{self.prefix}{self.tables}", item))
            elif isinstance(item, Picture):
                self.figures += 1
                blocks.append(FigureBlock(f"{self.prefix}{self.figures}", item))
            elif isinstance(item, str):
                blocks += [Text(item)] if item else []
            elif item is not None:
                blocks.append(item)
        return tuple(blocks)


@dataclass(frozen=True, eq=False)
class Material:
    """What chapters are made from."""

    frames: Frames
    cells: Cells
    verdicts: list[Verdict]


@dataclass(frozen=True)
class Chapter:
    """A topic: its anchor, its title, and what makes its items; a chapter of nothing but None is left out."""

    id: str
    title: str
    make: Callable[[Material], list[Item]]


def chapters(material: Material) -> list[Section]:
    """What is the same whenever the study is rebuilt, in the reader's order."""
    return _sections(material, CHAPTERS, _Counter())


def timings(material: Material) -> list[Section]:
    """What belongs to the machine that built this report: times, and what is computed from them."""
    return _sections(material, TIMINGS, _Counter("T"))


def _sections(material: Material, wanted: tuple[Chapter, ...], count: _Counter) -> list[Section]:
    with styled():
        made = [(chapter, chapter.make(material)) for chapter in wanted]
        return [Section(chapter.id, chapter.title, count.number(items)) for chapter, items in made if any(items)]


def _summary(m: Material) -> list[Item]:
    frames, cells, verdicts = m.frames, m.cells, m.verdicts
    study = frames.loaded.study
    n = study.evaluation.group_size
    texts = (
        sentences.headline(frames, cells) + sentences.best_settings(frames, cells) + sentences.real_line(frames, cells)
    )
    texts += sentences.likelihood(frames, cells)
    texts += [tally(verdicts)] if verdicts else []
    fid = metric_title("frechet_distance", frames.features)
    if fid != "FID":
        texts.append(
            f"The {fid} is not FID, which is a Fréchet distance in Inception-v3 features, and it is computed from {n} "
            "images where "
            "papers take 50,000: the values here may be compared with one another and with the lines of real images "
            "and noise, "
            "not with published ones."
        )
    elif n < 50_000:
        texts.append(
            f"FID here is computed from {n:,} images where papers take 50,000, which raises it: compare it only at "
            "the same n."
        )
    return [study.summary, Bullets(tuple(texts))]


def _setup(m: Material) -> list[Item]:
    frames = m.frames
    study, evaluation = frames.loaded.study, frames.loaded.study.evaluation
    runs = counted(len(facts.diffusion_runs(frames.loaded)), "run")
    seeds = f"{'seed' if len(study.seeds) == 1 else 'seeds'} {listed([str(seed) for seed in study.seeds])}"
    text = (
        f"Study `{study.study}`: {runs}, training {seeds}. "
        f"Each value is the mean over {counted(evaluation.groups, 'disjoint group')} of "
        f"{counted(evaluation.group_size, 'image')}, each "
        "compared with the same reference statistics."
    )
    warning = " ".join(sentences.altered(frames))
    return [text, warning, tables_setup.data(frames), tables_setup.runs(frames), tables_setup.samplers(frames)]


def _comparison(m: Material) -> list[Item]:
    frames, cells, metrics = m.frames, m.cells, headline_metrics()
    others: list[Item] = []
    for metric in metrics[1:]:
        others.append(" ".join(sentences.headline(frames, cells, metric)))
        others.append(tables.comparison(frames, cells, metric, folded=True))
    return [
        " ".join(sentences.headline(frames, cells) + sentences.exceptions(frames, cells)),
        tables.comparison(frames, cells, metrics[0], folded=False),
        figures.quality_against_steps(frames, cells, metrics[:1], "quality-steps")
        or f"Quality against steps: {NOT_RUN}.",
        *others,
        " ".join(sentences.beyond_real(frames, cells)),
        tables.reference_lines(frames, cells, metrics),
    ]  # fmt: skip


def _ablations(m: Material) -> list[Item]:
    frames, cells, metrics = m.frames, m.cells, headline_metrics()
    if not frames.loaded.ablations:
        return []
    rows = ablations.variants(frames, cells)
    asked = [row for row in rows if row.name in frames.loaded.ablations]
    missing = [row.name for row in asked if row.state == NOT_RUN]
    text = f"{counted(len(asked) - len(missing), 'ablation')} of {len(asked)} run."
    if missing:
        text += f" Not run: {listed(missing)}; `{ablations.COMMAND}` runs them."
    stale = [row.name for row in asked if "other settings" in row.state]
    if stale:
        text += f" Made with other settings or code than today's: {listed(stale)}."
    details = ablations.details_table(frames, metrics) if frames.ablations else None
    questions = Bullets(tuple(ablations.answers(frames, rows)))
    return [text, questions, ablations.ablation_table(frames, rows), figures_more.ablation_dots(frames, rows), details]


def _one_pass(m: Material) -> list[Item]:
    frames, cells = m.frames, m.cells
    if not facts.one_pass_runs(frames.loaded):
        return []
    return [
        one_pass.introduction(frames),
        one_pass.models(frames),
        one_pass.table(frames, cells),
        one_pass_figures.samples(frames, cells),
        one_pass_figures.losses(frames) or f"Losses of the one-pass models: {NOT_RUN}.",
        one_pass.quoted(),
    ]


def _images(m: Material) -> list[Item]:
    frames, cells = m.frames, m.cells
    found: list[Item] = [grids.previews(frames) or f"Samples by training step: {NOT_RUN}."]
    for run in facts.diffusion_runs(frames.loaded).values():
        found.append(grids.samples_by_steps(frames, cells, run) or f"Samples of {run.label}: {NOT_RUN}.")
        guided = grids.guided_samples(frames, cells, run)
        found += [] if guided is None else [guided]
    found.append(grids.real_beside_generated(frames, cells) or f"Real images beside generated ones: {NOT_RUN}.")
    return found


def _repeat(m: Material) -> list[Item]:
    frames = m.frames
    study = frames.loaded.study
    baseline = run_of_role(frames.loaded, "baseline")
    example = baseline.name if baseline else next(iter(facts.diffusion_runs(frames.loaded)))
    lines = (
        (f"rediffuse use {study.study}", "make this study the active one"),
        ("make repro", "install what is needed and rebuild every result"),
        ("dvc repro", "rebuild what is out of date, in the active environment"),
        (ablations.COMMAND, "run the ablations; then `dvc repro` takes them into this report"),
        (
            f"rediffuse train {example} --seed {study.seeds[0]}",
            "one job by itself; the pedigree names the command of each file",
        ),
        ("rediffuse status", "say of every job whether it is up to date"),
        ("dvc metrics show", "the numbers of metrics.json; `dvc metrics diff` compares with the last commit"),
        ("make ui", f"the runs in MLflow, also `mlflow ui --backend-store-uri {study.tracking.uri}`"),
        ("rediffuse track", "log to MLflow what is on disk and not there yet"),
    )
    return [
        "In a clone of the repository, with the environment active after the first `make`:",
        Code(lines),
        "Weights, samples and metrics are promised to be the same bytes on the same model of processor; timings are "
        "not.",
    ]


def _likelihood(m: Material) -> list[Item]:
    words = " ".join(sentences.likelihood(m.frames, m.cells))
    return [words, tables.likelihood(m.frames), figures_more.bound_by_t(m.frames)]


def _guidance(m: Material) -> list[Item]:
    return [
        guidance.table(m.frames, m.cells),
        guidance.figure(m.frames, m.cells),
        guidance.accuracy_figure(m.frames),
        guidance.classifiers(m.frames),
    ]


def _cost(m: Material) -> list[Item]:
    return [
        " ".join(sentences.parameters(m.frames)),
        compute.words(m.frames),
        compute.configurations(m.frames),
        compute_resolution.resolution(m.frames),
        compute_resolution.resolution_figure(m.frames),
    ]


def _claims(m: Material) -> list[Item]:
    return [tally(m.verdicts), tables.claims(m.frames, m.verdicts)] if m.verdicts else []


def _curves(m: Material) -> list[Item]:
    return [
        figures.loss_curves(m.frames) or f"History of training: {NOT_RUN}.",
        figures.loss_by_quartile(m.frames),
        during_training.words(m.frames),
        during_training.figure(m.frames),
        during_training.table(m.frames),
    ]


def _quality(m: Material) -> list[Item]:
    metrics = headline_metrics()
    more = figures.quality_against_steps(m.frames, m.cells, metrics[1:], "quality-steps-more")
    return [more, tables.quality(m.frames, metrics)]


def _fidelity(m: Material) -> list[Item]:
    frames, cells = m.frames, m.cells
    return [
        fidelity.words(frames, cells),
        fidelity.table(frames, cells),
        sample_count.words(frames),
        sample_count.table(frames),
        sample_count.figure(frames),
        memorisation.words(frames),
        memorisation.table(frames),
        memorisation.duplicates(frames),
        memorisation.figure(frames),
        mode_coverage.words(frames),
        mode_coverage.table(frames),
        mode_coverage.figure(frames),
        mode_coverage.by_class(frames),
        colours.table(frames),
    ]


def _restoration(m: Material) -> list[Item]:
    return [restoration.table(m.frames), restoration.figure(m.frames), restoration.film(m.frames)]


def _pedigree(m: Material) -> list[Item]:
    return [" ".join(sentences.altered(m.frames)), tables.pedigree(m.frames)]


def _where(m: Material) -> list[Item]:
    return [sentences.stamp(m.frames), tables_setup.machines(m.frames), tables.measured(m.frames)]


def _training_times(m: Material) -> list[Item]:
    return [
        " ".join(sentences.step_time(m.frames)),
        tables_cost.training(m.frames),
        during_training.cost(m.frames),
        ablations.times_table(m.frames),
    ]


def _sampling_times(m: Material) -> list[Item]:
    return [
        figures.quality_against_seconds(m.frames, m.cells) or "Quality against sampling time: not recorded.",
        tables_cost.sampling(m.frames),
        compute.latency(m.frames),
    ]


def _network_times(m: Material) -> list[Item]:
    return [compute.model(m.frames), compute.batches(m.frames), compute.checkpointing(m.frames)]


def _one_pass_times(m: Material) -> list[Item]:
    if not facts.one_pass_runs(m.frames.loaded):
        return []
    return [one_pass.latency_sentence(m.frames), one_pass.times(m.frames), one_pass.latency(m.frames)]


CHAPTERS = (
    Chapter("summary", "Summary", _summary),
    Chapter("setup", "What was run", _setup),
    Chapter("comparison", "Baseline against improved", _comparison),
    Chapter("likelihood", "Likelihood", _likelihood),
    Chapter("guidance", "Class conditioning and guidance", _guidance),
    Chapter("training", "Training stability", lambda m: [tables_cost.stability(m.frames)]),
    Chapter("cost", "Cost of the networks", _cost),
    Chapter("one-pass", "One-pass models", _one_pass),
    Chapter("claims", "Claims", _claims),
    Chapter("ablations", "Ablations", _ablations),
    Chapter("curves", "Loss and quality during training", _curves),
    Chapter("images", "Samples", _images),
    Chapter("quality", "Quality against steps", _quality),
    Chapter("fidelity", "Fidelity, variety and memorisation", _fidelity),
    Chapter("restoration", "Restoration", _restoration),
    Chapter("schedules", "Noise schedules", lambda m: [figures_more.schedules(m.frames)]),
    Chapter("settings", "Settings", lambda m: [tables_setup.settings(m.frames)]),
    Chapter("repeat", "How to repeat", _repeat),
    Chapter("pedigree", "Pedigree", _pedigree),
)
TIMINGS = (
    Chapter("this-machine", "This machine", _where),
    Chapter("training-times", "What training took", _training_times),
    Chapter("sampling-times", "What sampling took", _sampling_times),
    Chapter("network-times", "The networks against the clock", _network_times),
    Chapter("one-pass-times", "One-pass models against the clock", _one_pass_times),
)
