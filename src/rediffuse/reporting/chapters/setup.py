"""What was run, on what and how."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeAlias
from rediffuse.config.facts import HEADLINE_METRICS
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
from rediffuse.reporting.frames import Frames
from rediffuse.reporting.style import Picture, styled
from rediffuse.reporting.table import Table
from rediffuse.reporting.terms import NOT_RUN, counted, listed, metric_title, run_of_role
from typing import Any
from rediffuse.config import ResolvedGenerator, ResolvedRun
from rediffuse.reporting.paths import data_folder
from rediffuse.reporting.table import Column, Links, Table, Value
from rediffuse.reporting.tables import FROM
from rediffuse.reporting.terms import IMPORTED, NOT_ASKED, NOT_RECORDED, counted, feature_title, setting_text


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
            tables_setup.samplers(frames), tables_setup.machines(frames)]


def data(frames: Frames) -> Table:
    """The data card and the card of the reference statistics."""
    folder = data_folder(frames.loaded)
    card, reference = frames.card or {}, frames.reference or {}
    links = Links(frames.pedigree.ids([str(folder / "card.json")]))
    reference_links = Links(frames.pedigree.ids([str(folder / f"reference-{frames.features}.json")]))
    size = [card.get(name) for name in ("channels", "height", "width")]
    shape = " × ".join(str(n) for n in size) if None not in size else NOT_RECORDED
    steps = card.get("preprocessing")
    own: list[tuple[str, Any]] = [
        ("Data set", card.get("title")),
        ("Source", card.get("source")),
        ("Licence", card.get("licence")),
        ("Citation", card.get("citation")),
        ("Images", card.get("images")),
        ("Training images", card.get("train")),
        ("Held-out images", card.get("held_out")),
        ("Channels × height × width", shape),
        ("Preprocessing", "; ".join(steps) if isinstance(steps, list) else steps),
        ("SHA-256 of the images", card.get("images_sha256")),
    ]
    theirs: list[tuple[str, Any]] = [
        ("Feature network", feature_title(frames.features)),
        ("Features of one image", reference.get("dim")),
        ("Images brought to its size by", reference.get("resize")),
        ("Reference split", reference.get("split")),
        ("Reference images", reference.get("count")),
        ("SHA-256 of the reference", reference.get("sha256")),
    ]
    rows = [(name, _value(value), links) for name, value in own]
    rows += [(name, _value(value), reference_links) for name, value in theirs]
    return Table("data", "The images and the statistics that samples are compared with.",
                 (Column("What"), Column("Value"), FROM), tuple(rows))


def runs(frames: Frames) -> Table:
    """What each run is."""
    rows: list[tuple[Value, ...]] = []
    for run in frames.loaded.runs.values():
        measured = frames.training[frames.training["run"] == run.name]["parameters"].dropna()
        parameters: Value = int(measured.iloc[0]) if len(measured) else NOT_RECORDED
        files = [str(run.folder(seed) / "run.yaml") for seed in run.seeds]
        d, t = run.diffusion, run.training
        trained: tuple[Value, ...] = (t.steps, t.batch_size, setting_text(t.ema_decay) if t.ema_decay else "off")
        here = run.weights is None
        rows.append((run.label, run.role, d.schedule, d.prediction, d.variance, d.loss if here else NOT_RECORDED,
                     d.timesteps, parameters, *(trained if here else (IMPORTED,) * 3), setting_text(run.seeds), Links(frames.pedigree.ids(files))))
    names = ("Run", "Role", "Schedule", "Prediction", "Reverse variance", "Loss", "Diffusion steps T", "Parameters",
             "Training steps", "Batch", "EMA decay", "Seeds")
    return Table("runs", "The runs compared.", (*map(Column, names), FROM), tuple(rows))


def samplers(frames: Frames) -> Table:
    """What each sampler's name stands for, run by run."""
    rows: list[tuple[Value, ...]] = []
    for run in frames.loaded.runs.values():
        for key, sampler in run.sampling.samplers.items():
            kind = sampler.kind or key
            variance, eta = NOT_ASKED, NOT_ASKED
            if kind == "ancestral":
                variance = sampler.variance or run.diffusion.variance
            if kind == "ddim":
                eta = setting_text(0.0 if sampler.eta is None else sampler.eta)
            rows.append(
                (run.label, key, kind, variance, eta, sampler.spacing, setting_text(sampler.steps), run.sampling.images)
            )
    names = ("Run", "Sampler", "Kind", "Reverse variance", "η", "Spacing", "Steps", "Images of each")
    return Table("samplers", "How the runs were sampled.", tuple(map(Column, names)), tuple(rows))


def machines(frames: Frames) -> Table:
    """What each run and one-pass model was trained and sampled on."""
    rows: list[tuple[Value, ...]] = []
    models: list[ResolvedRun | ResolvedGenerator] = [*frames.loaded.runs.values()]
    for run in [*models, *frames.loaded.generators.values()]:
        for seed in run.seeds:
            for what, frame in (("training", frames.training), ("sampling", frames.sampling)):
                found = frame[(frame["run"] == run.name) & (frame["seed"] == seed)]
                machine: dict[str, Any] = found["machine"].iloc[0] if len(found) else {}
                parts = [
                    _value(machine.get(name))
                    for name in ("cpu", "cores", "threads", "device", "torch", "python", "platform")
                ]
                links = Links(frames.pedigree.ids(found["file"].iloc[:1]))
                rows.append((run.label, seed, what, *parts, links))
    names = ("Run", "Seed", "Job", "Processor", "Cores", "Threads used", "Device", "PyTorch", "Python", "System")
    return Table(
        "machines", "Hardware and software that trained and sampled.", (*map(Column, names), FROM), tuple(rows)
    )


def _value(value: Any) -> Value:
    if value is None:
        return NOT_RECORDED
    return value if isinstance(value, int) and not isinstance(value, bool) else str(value)

