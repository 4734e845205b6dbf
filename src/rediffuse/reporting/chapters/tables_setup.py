"""From the study, the data card and the receipts to tables of what was run, on what and how."""

from typing import Any

from rediffuse.config import ResolvedRun
from rediffuse.reporting.chapters.tables import FROM
from rediffuse.reporting.read.frames import Frames
from rediffuse.reporting.render.table import Column, Links, Table, Value
from rediffuse.reporting.render.terms import IMPORTED, NOT_ASKED, NOT_RECORDED, counted, feature_title, setting_text
from rediffuse.runs import facts

SECTIONS = ("data", "hardware", "network", "diffusion", "training", "sampling", "evaluation")


def data(frames: Frames) -> Table:
    """The data card and the card of the reference statistics."""
    folder = frames.plan.find("prepare").folder
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
                 (Column("What"), Column("Value"), FROM), tuple(rows))  # fmt: skip


def runs(frames: Frames) -> Table:
    """What each run is."""
    rows: list[tuple[Value, ...]] = []
    for run in facts.diffusion_runs(frames.loaded).values():
        counts = frames.parameters.get(run.name)
        parameters: Value = NOT_RECORDED if counts is None else counts[0]
        files = [str(facts.folder(run, seed) / "run.yaml") for seed in run.seeds]
        d, t = facts.diffusion(run), run.training
        trained: tuple[Value, ...] = (t.steps, t.batch_size, setting_text(t.ema_decay) if t.ema_decay else "off")
        here = run.weights is None
        rows.append((run.label, run.role, d.schedule, d.prediction, d.variance, d.loss if here else NOT_RECORDED,
                     d.timesteps, parameters, *(trained if here else (IMPORTED,) * 3), setting_text(run.seeds), Links(frames.pedigree.ids(files))))  # fmt: skip
    names = ("Run", "Role", "Schedule", "Prediction", "Reverse variance", "Loss", "Diffusion steps T", "Parameters",
             "Training steps", "Batch", "EMA decay", "Seeds")  # fmt: skip
    return Table("runs", "The runs compared.", (*map(Column, names), FROM), tuple(rows))


def samplers(frames: Frames) -> Table:
    """What each sampler's name stands for, run by run."""
    rows: list[tuple[Value, ...]] = []
    for run in facts.diffusion_runs(frames.loaded).values():
        for key, sampler in run.sampling.samplers.items():
            kind = sampler.kind or key
            variance, eta = NOT_ASKED, NOT_ASKED
            if kind == "ancestral":
                variance = sampler.variance or facts.diffusion(run).variance
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
    models: list[ResolvedRun] = [*facts.diffusion_runs(frames.loaded).values()]
    for run in [*models, *facts.one_pass_runs(frames.loaded).values()]:
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


def flat_settings(run: ResolvedRun) -> dict[str, str]:
    """Every setting of a run, by dotted key."""
    values = run.model_dump(mode="json")
    flat: dict[str, str] = {}
    for section in SECTIONS:
        if section != "training" or run.weights is None:
            _flatten(section, values[section], flat)
    if run.weights is not None:
        _flatten("weights", values["weights"], flat)
    return flat


def _flatten(key: str, value: Any, into: dict[str, str]) -> None:
    if isinstance(value, dict):
        for name, part in value.items():
            _flatten(f"{key}.{name}", part, into)
    else:
        into[key] = setting_text(value)


def differing(frames: Frames) -> list[str]:
    """Keys of the settings in which the runs differ."""
    flats = [flat_settings(run) for run in facts.diffusion_runs(frames.loaded).values()]
    keys = dict.fromkeys(key for flat in flats for key in flat)
    return [key for key in keys if len({flat.get(key) for flat in flats}) > 1]


def settings(frames: Frames) -> Table:
    """Every setting of every run, those that differ first and marked."""
    all_runs = list(facts.diffusion_runs(frames.loaded).values())
    flats = [flat_settings(run) for run in all_runs]
    different = differing(frames)
    same = [key for key in dict.fromkeys(key for flat in flats for key in flat) if key not in different]
    rows: list[tuple[Value, ...]] = [
        (key, *(flat.get(key, NOT_ASKED) for flat in flats), "differs" if key in different else "same")
        for key in (*different, *same)
    ]
    files = [str(facts.folder(run, seed) / "run.yaml") for run in all_runs for seed in run.seeds]
    ids = " ".join(frames.pedigree.ids(files))
    return Table(
        "settings",
        f"Settings of the runs; {counted(len(different), 'setting')} of {len(rows)} differ"
        f"{'s' if len(different) == 1 else ''} and stand{'s' if len(different) == 1 else ''} first.",
        (Column("Setting", code=True), *(Column(run.label, code=True) for run in all_runs), Column("Same?")),
        tuple(rows),
        notes=(f"As resolved from the study; the files {ids} hold what was trained.",) if ids else (),
        marked=frozenset(range(len(different))),
        folded=True,
    )


def _value(value: Any) -> Value:
    if value is None:
        return NOT_RECORDED
    return value if isinstance(value, int) and not isinstance(value, bool) else str(value)
