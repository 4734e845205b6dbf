"""How steady training was; what it and sampling cost on this machine."""

import math

from rediffuse.reporting.experiments.cells import optional, recorded
from rediffuse.reporting.experiments.comparison import main_pair
from rediffuse.reporting.experiments.material import Material
from rediffuse.reporting.read.frames import Frames, final_loss, of_run
from rediffuse.reporting.read.records import parameter_count, parameters
from rediffuse.reporting.read.timings import Timings, by_setting
from rediffuse.reporting.render.blocks import Chapter, chapter_of
from rediffuse.reporting.render.table import Rows, Table, headers
from rediffuse.reporting.terms import EVALUATIONS, diffusion_runs, sampler_title, seeds_of, training_of
from rediffuse.reporting.values import IMPORTED, NOT_RECORDED, NOT_RUN, Links, Value, number, setting_text
from rediffuse.runs import facts


def stability(frames: Frames) -> Table:
    """Spread of loss and gradient norm of each run and seed."""
    rows = Rows()
    for run, seed in seeds_of(diffusion_runs(frames.loaded)):
        history = of_run(frames.history, run, seed)
        if history.empty:
            rows.add(run.label, seed, *[NOT_RUN if run.weights is None else IMPORTED] * 9, Links(()))
            continue
        late = history[history["step"] > history["step"].max() / 2]["loss"]
        norms = history[history["step"] > training_of(run).warmup]["grad_norm"]
        held_out = history["held_out_loss"].dropna()
        spread = float(late.std(ddof=1))
        ends = (final_loss(history), float(held_out.iloc[-1]) if len(held_out) else math.nan)
        of_norms = (float(norms.mean()), float(norms.std(ddof=1)), float(norms.max()))
        numbers = (*ends, spread, 100 * spread / float(late.mean()), *of_norms)
        links = frames.pedigree.links(history["file"].iloc[:1])
        shown: list[Value] = [NOT_RECORDED if math.isnan(n) else n for n in numbers]
        rows.add(run.label, seed, *shown, training_of(run).clip_norm, len(history), links)
    columns = headers(
        "Run | Seed | Loss at the end | Held-out loss at the end | Spread of loss | Spread of loss (% of its mean) | "
        "Gradient norm, mean | Gradient norm, std | Gradient norm, max | Clipped at | Logged rows | From"
    )
    every = sorted({training_of(run).log_every for run in diffusion_runs(frames.loaded)})
    notes = (
        "All numbers are of the rows of history.csv and, but for the held-out loss, of the raw weights, each a mean "
        f"over {setting_text(every)} training steps. Loss at the end: mean of the last tenth of training. Spread: "
        "standard deviation over the second half. Gradient norms: before clipping, after warm-up.",
        "Held-out loss: of the averaged weights, where there is an average, at the end and with dropout off: it may "
        "lie below the training loss for that alone.",
        "Losses of runs with different schedules or objectives measure different things and are not to be ranked; "
        "their spread in % of the mean may be compared.",
    )
    return Table("stability", "How steady training was.", columns, rows, notes=notes)


def training(material: Material, clock: Timings) -> Table:
    """What training cost."""
    rows = Rows()
    for run, seed in seeds_of(diffusion_runs(material.loaded)):
        found = of_run(clock.training, run, seed)
        if found.empty:
            rows.add(run.label, seed, *[NOT_RECORDED if run.weights is None else IMPORTED] * 6, Links(()))
            continue
        row = found.iloc[0]
        measured = [recorded(row[name]) for name in ("seconds", "ms_per_step", "images_per_second")]
        size, last = parameter_count(material.frames, run), (str(row["resumed_from"]), clock.links([row["file"]]))
        rows.add(run.label, seed, size, *measured, recorded(row["batch_size"], int), *last)
    columns = headers(
        "Run | Seed | Parameters | Training time (s) | Time per step (ms) | Throughput (images/s) | "
        "Batch | Resumed from step | From"
    )
    return Table("training-cost", "What training cost.", columns, rows)


def sampling(material: Material, clock: Timings) -> Table:
    """What sampling cost, by sampler and number of steps."""
    rows = Rows()
    for run, seed in seeds_of(diffusion_runs(material.loaded)):
        timed = by_setting(clock, run, seed)
        for setting, key, steps in facts.settings(run):
            if setting not in timed:
                rows.add(run.label, seed, sampler_title(run, key), steps, *[NOT_RECORDED] * 6, Links(()))
                continue
            row = timed[setting]
            per_image = optional(row["ms_per_image"])
            nfe, images, batch = (recorded(row[name], int) for name in ("nfe", "images", "batch_size"))
            seconds = NOT_RECORDED if per_image is None else per_image / 1000
            took, links = (recorded(row["ms_per_step"]), seconds, recorded(row["seconds"])), clock.links([row["file"]])
            rows.add(run.label, seed, sampler_title(run, key), steps, nfe, *took, images, batch, links)
    columns = headers(
        "Run | Seed | Sampler | Steps | Network evaluations | Time per step (ms) | Time per image (s) | "
        "Time in all (s) | Images | Batch | From"
    )
    note = (
        "A step is one step of a whole batch, or an evaluation of the network where the sampler chooses its steps; the "
        "time per image is that of the batch divided by its images."
    )
    return Table("sampling-cost", "What sampling cost.", columns, rows, notes=(note, EVALUATIONS), folded=True)


def compared(what: str, unit: str, values: list[float | None], labels: list[str]) -> str:
    """Two values beside one another, and the ratio of the second to the first."""
    first, second = values
    if first is None or second is None:
        return f"{what} of the two runs: {NOT_RECORDED}."
    shown = [f"{value:,}" if isinstance(value, int) else number(value) for value in (first, second)]
    ratio = number(second / first)
    return f"{what}: {shown[0]}{unit} for {labels[0]}, {shown[1]}{unit} for {labels[1]}, a ratio of {ratio}."


def chapter(material: Material) -> Chapter | None:
    """How steady training was, and how large the two networks are."""
    frames, pair, words = material.frames, main_pair(material.frames), ""
    if pair is not None:
        sizes = [found and found.makes_images for found in (parameters(frames, run) for run in pair)]
        words = compared("Parameters", "", sizes, [run.label for run in pair])
    return chapter_of("training", "Training stability", stability(frames), words)


def timings(material: Material, clock: Timings) -> Chapter | None:
    """What training and sampling cost."""
    pair, words = main_pair(material.frames), ""
    if pair is not None:
        steps = [clock.training[clock.training["run"] == run.name]["ms_per_step"].dropna() for run in pair]
        means = [float(of_one.mean()) if len(of_one) else None for of_one in steps]
        words = compared("Time per training step", " ms", means, [run.label for run in pair])
    return chapter_of("costs", "Training and sampling", words, training(material, clock), sampling(material, clock))
