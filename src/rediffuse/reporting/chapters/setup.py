"""What was run, on what and how."""

from pathlib import Path
from typing import Any

from rediffuse.config import ResolvedRun
from rediffuse.reporting.experiments.comparison import altered
from rediffuse.reporting.experiments.material import Material
from rediffuse.reporting.read.frames import Frames
from rediffuse.reporting.read.records import parameter_count
from rediffuse.reporting.read.timings import Timings
from rediffuse.reporting.render.blocks import Chapter, chapter_of
from rediffuse.reporting.render.table import Rows, Table, headers
from rediffuse.reporting.terms import diffusion_runs, feature_title, sampler_title, training_of
from rediffuse.reporting.values import IMPORTED, NOT_ASKED, NOT_RECORDED, Value, counted, listed, setting_text, short
from rediffuse.runs import facts


def data(frames: Frames) -> Table:
    """The data card and the card of the reference statistics."""
    folder, rows = Path("data", frames.loaded.study.data.name), Rows()
    card, reference = frames.card or {}, frames.reference or {}
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
    for told, file in ((own, "card.json"), (theirs, f"reference-{frames.features}.json")):
        for name, value in told:
            rows.add(name, _value(value), frames.pedigree.links([str(folder / file)]))
    caption = "The images and the statistics that samples are compared with."
    return Table("data", caption, headers("What | Value | From"), rows)


def runs(frames: Frames) -> Table:
    """What each run is."""
    rows = Rows()
    for run in diffusion_runs(frames.loaded):
        files = [str(facts.folder(run, seed) / "run.yaml") for seed in run.seeds]
        d, t = facts.diffusion(run), training_of(run)
        trained = (t.steps, t.batch_size, setting_text(t.ema_decay) if t.ema_decay else "off")
        here = run.weights is None
        process = (d.schedule, d.prediction, d.variance, d.loss if here else NOT_RECORDED, d.timesteps)
        size, last = parameter_count(frames, run), (setting_text(run.seeds), frames.pedigree.links(files))
        rows.add(run.label, run.role, *process, size, *(trained if here else (IMPORTED,) * 3), *last)
    columns = headers(
        "Run | Role | Schedule | Prediction | Reverse variance | Loss | Diffusion steps T | Parameters | "
        "Training steps | Batch | EMA decay | Seeds | From"
    )
    return Table("runs", "The runs compared.", columns, rows)


def samplers(frames: Frames) -> Table:
    """What each sampler's name stands for, run by run."""
    rows = Rows()
    for run in diffusion_runs(frames.loaded):
        for key, sampler in run.sampling.samplers.items():
            kind, options = sampler.kind or key, {**facts.other_options(run, key), **facts.guiding(run, key)}
            variance = sampler.variance or facts.diffusion(run).variance if kind == "ancestral" else NOT_ASKED
            eta = setting_text(sampler.options.get("eta", 0.0)) if kind == "ddim" else NOT_ASKED
            settings = [(setting, str(pace)) for setting, of, pace in facts.settings(run) if of == key]
            steps, numbers = ", ".join(pace for _, pace in settings), _numbers(run, settings)
            others = ", ".join(f"{name} {setting_text(value)}" for name, value in options.items())
            rows.add(run.label, key, sampler_title(run, key), variance, eta, others or NOT_ASKED, steps, numbers)
    columns = headers("Run | `Key` | Sampler | Reverse variance | η | Other options | Steps | Images of each")
    return Table("samplers", "How the runs were sampled.", columns, rows, folded=len(rows) > 24)


def _numbers(run: ResolvedRun, settings: list[tuple[str, str]]) -> Value:
    """How many images each setting has; which, where they differ."""
    paces: dict[int, list[str]] = {}
    for setting, pace in settings:
        paces.setdefault(facts.images_of(run, setting), []).append(pace)
    if len(paces) == 1:
        return next(iter(paces))
    return "; ".join(f"{number:,} at {', '.join(found)}" for number, found in paces.items())


def machines(clock: Timings) -> Table | None:
    """Who took which times when, on what; None where nothing was timed."""
    facts_ = ("cpu", "cores", "threads", "device", "torch", "python", "platform")
    rows = Rows()
    for path, one in clock.taken.items():
        told = (_value(one.value(name)) for name in facts_)
        rows.add(one.job, *told, one.date, short(one.commit), clock.links([path]))
    columns = headers(
        "Job | Processor | Cores | Threads used | Device | PyTorch | Python | System | Date | Commit | From"
    )
    return Table("machines", "Hardware and software of each job.", columns, rows, folded=True) if rows else None


def _value(value: Any) -> Value:
    if value is None:
        return NOT_RECORDED
    return value if isinstance(value, int) and not isinstance(value, bool) else str(value)


def chapter(material: Material) -> Chapter | None:
    """The study in a sentence, its images, runs and samplers."""
    frames, study = material.frames, material.loaded.study
    evaluation, seeds = study.evaluation, listed([str(seed) for seed in study.seeds])
    more = any(run.sampling.images_of for run in material.loaded.runs.values())
    text = (
        f"Study `{study.study}`: {counted(len(diffusion_runs(material.loaded)), 'run')}, training "
        f"{'seed' if len(study.seeds) == 1 else 'seeds'} {seeds}. Each value is the mean over "
        f"{counted(evaluation.groups, 'disjoint group')} of {counted(evaluation.group_size, 'image')}"
        f"{', or of more where the table of samplers says more images' if more else ''}, each compared with the same "
        "reference statistics."
    )
    title = "What was run and on what"
    return chapter_of("setup", title, text, altered(frames), data(frames), runs(frames), samplers(frames))


def timings(material: Material, clock: Timings) -> Chapter | None:
    """The machines."""
    return chapter_of("machines", "Machines", machines(clock))
