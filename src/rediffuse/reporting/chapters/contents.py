"""The report's contents: sections of paragraphs, tables, figures and commands, the same for every page format."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeAlias

from rediffuse.config.facts import HEADLINE_METRICS
from rediffuse.reporting.chapters import ablations as ablation
from rediffuse.reporting.chapters import (
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
from rediffuse.reporting.chapters.ablations import CurrentKeys
from rediffuse.reporting.experiments.cells import Cells
from rediffuse.reporting.experiments.claims import Verdict, tally
from rediffuse.reporting.read.frames import Frames
from rediffuse.reporting.render.style import Picture, styled
from rediffuse.reporting.render.table import Table
from rediffuse.reporting.render.terms import NOT_RUN, counted, listed, metric_title, run_of_role


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

    number: int
    table: Table
    kind: str = "table"


@dataclass(frozen=True)
class FigureBlock:
    """A numbered figure."""

    number: int
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
    """Numbers tables and figures in the order in which they are read."""

    def __init__(self) -> None:
        self.tables, self.figures = 0, 0

    def number(self, items: Iterable["Item"]) -> tuple[Block, ...]:
        blocks: list[Block] = []
        for item in items:
            if isinstance(item, Table):
                self.tables += 1
                blocks.append(TableBlock(self.tables, item))
            elif isinstance(item, Picture):
                self.figures += 1
                blocks.append(FigureBlock(self.figures, item))
            elif isinstance(item, str):
                blocks += [Text(item)] if item else []
            elif item is not None:
                blocks.append(item)
        return tuple(blocks)


def make_sections(
    frames: Frames, cells: Cells, verdicts: list[Verdict], current_keys: CurrentKeys | None
) -> list[Section]:
    """All sections in order. A section of optional results (likelihood, ablations) is there when the study has them."""
    metrics, count = list(HEADLINE_METRICS), _Counter()
    with styled():
        contents: list[tuple[str, str, list[Item]]] = [
            ("summary", "Summary", _summary(frames, cells, verdicts)),
            ("setup", "What was run and on what", _setup(frames)),
            ("comparison", "Baseline against improved", _comparison(frames, cells, metrics)),
            ("likelihood", "Likelihood", [
                " ".join(sentences.likelihood(frames, cells)), tables.likelihood(frames),
                figures_more.bound_by_t(frames)]),
            ("guidance", "Class conditioning and guidance", [
                guidance.table(frames, cells), guidance.figure(frames, cells), guidance.accuracy_figure(frames),
                guidance.classifiers(frames)]),
            ("training", "Training stability and cost", [
                tables_cost.stability(frames), " ".join(sentences.cost(frames)), tables_cost.training(frames),
                tables_cost.sampling(frames)]),
            ("cost", "Cost of the networks", [
                compute.words(frames), compute.configurations(frames), compute.model(frames), compute.latency(frames),
                compute.batches(frames), compute.checkpointing(frames), compute_resolution.resolution(frames),
                compute_resolution.resolution_figure(frames)]),
            ("one-pass", "One-pass models", _one_pass(frames, cells)),
            ("claims", "Claims", [tally(verdicts), tables.claims(frames, verdicts)] if verdicts else []),
            ("ablations", "Ablations", _ablations(frames, cells, metrics, current_keys)),
            ("curves", "Loss and quality during training", [
                figures.loss_curves(frames) or f"History of training: {NOT_RUN}.", figures.loss_by_quartile(frames),
                during_training.words(frames), during_training.figure(frames), during_training.table(frames)]),
            ("images", "Samples", _images(frames, cells)),
            ("quality", "Quality against steps and seconds", [
                figures.quality_against_steps(frames, cells, metrics[1:], "quality-steps-more"),
                figures.quality_against_seconds(frames, cells) or "Quality against sampling time: not recorded.",
                tables.quality(frames, metrics)]),
            ("fidelity", "Fidelity, variety and memorisation", [
                fidelity.words(frames, cells), fidelity.table(frames, cells), sample_count.words(frames),
                sample_count.table(frames), sample_count.figure(frames), memorisation.words(frames),
                memorisation.table(frames), memorisation.duplicates(frames), memorisation.figure(frames),
                mode_coverage.words(frames), mode_coverage.table(frames), mode_coverage.figure(frames), mode_coverage.by_class(frames),
                colours.table(frames)]),
            ("restoration", "Restoration", [
                restoration.table(frames), restoration.figure(frames), restoration.film(frames)]),
            ("schedules", "Noise schedules", [figures_more.schedules(frames)]),
            ("settings", "Settings", [tables_setup.settings(frames)]),
            ("repeat", "How to repeat", _repeat(frames)),
            ("pedigree", "Pedigree", [" ".join(sentences.provenance(frames)), tables.pedigree(frames)]),
        ]  # fmt: skip
        return [Section(name, title, count.number(items)) for name, title, items in contents if any(items)]


def _summary(frames: Frames, cells: Cells, verdicts: list[Verdict]) -> list[Item]:
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


def _setup(frames: Frames) -> list[Item]:
    study, evaluation = frames.loaded.study, frames.loaded.study.evaluation
    runs = counted(len(frames.loaded.runs), "run")
    seeds = f"{'seed' if len(study.seeds) == 1 else 'seeds'} {listed([str(seed) for seed in study.seeds])}"
    text = (
        f"Study `{study.study}`: {runs}, training {seeds}. "
        f"Each value is the mean over {counted(evaluation.groups, 'disjoint group')} of "
        f"{counted(evaluation.group_size, 'image')}, each "
        "compared with the same reference statistics."
    )
    return [text, " ".join(sentences.provenance(frames)), tables_setup.data(frames), tables_setup.runs(frames),
            tables_setup.samplers(frames), tables_setup.machines(frames)]  # fmt: skip


def _comparison(frames: Frames, cells: Cells, metrics: list[str]) -> list[Item]:
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


def _ablations(frames: Frames, cells: Cells, metrics: list[str], current_keys: CurrentKeys | None) -> list[Item]:
    if not frames.loaded.ablations:
        return []
    rows = ablation.variants(frames, cells, current_keys)
    asked = [row for row in rows if row.name in frames.loaded.ablations]
    missing = [row.name for row in asked if row.state == NOT_RUN]
    text = f"{counted(len(asked) - len(missing), 'ablation')} of {len(asked)} run."
    if missing:
        text += f" Not run: {listed(missing)}; `{ablation.COMMAND}` runs them."
    stale = [row.name for row in asked if "other settings" in row.state]
    if stale:
        text += f" Made with other settings or code than today's: {listed(stale)}."
    details = ablation.details_table(frames, metrics) if frames.ablations else None
    questions = Bullets(tuple(ablation.answers(frames, rows)))
    return [text, questions, ablation.ablation_table(frames, rows), figures_more.ablation_dots(frames, rows), details]


def _one_pass(frames: Frames, cells: Cells) -> list[Item]:
    if not frames.loaded.generators:
        return []
    return [
        one_pass.introduction(frames), one_pass.models(frames), one_pass.table(frames, cells),
        one_pass.latency_sentence(frames), one_pass.latency(frames), one_pass_figures.samples(frames, cells),
        one_pass_figures.losses(frames) or f"Losses of the one-pass models: {NOT_RUN}.", one_pass.quoted(),
    ]  # fmt: skip


def _images(frames: Frames, cells: Cells) -> list[Item]:
    found: list[Item] = [grids.previews(frames) or f"Samples by training step: {NOT_RUN}."]
    for run in frames.loaded.runs.values():
        found.append(grids.samples_by_steps(frames, cells, run) or f"Samples of {run.label}: {NOT_RUN}.")
        guided = grids.guided_samples(frames, cells, run)
        found += [] if guided is None else [guided]
    found.append(grids.real_beside_generated(frames, cells) or f"Real images beside generated ones: {NOT_RUN}.")
    return found


def _repeat(frames: Frames) -> list[Item]:
    study = frames.loaded.study
    baseline = run_of_role(frames.loaded, "baseline")
    example = baseline.name if baseline else next(iter(frames.loaded.runs))
    lines = (
        (f"rediffuse use {study.study}", "make this study the active one"),
        ("make repro", "install what is needed and rebuild every result"),
        ("dvc repro", "rebuild what is out of date, in the active environment"),
        (ablation.COMMAND, "run the ablations; then `dvc repro` takes them into this report"),
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
