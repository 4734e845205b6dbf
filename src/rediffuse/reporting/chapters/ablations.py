"""Each run beside variants of it that change one thing."""

import matplotlib.pyplot as plt

from rediffuse.evaluation.metrics import metric_short, metric_title
from rediffuse.reporting.experiments.cells import recorded
from rediffuse.reporting.experiments.material import Material
from rediffuse.reporting.experiments.variants import COMMAND, Variant, ablation_settings, answers, variants
from rediffuse.reporting.read.frames import Frames, metric_rows
from rediffuse.reporting.read.pedigree import ablation_place
from rediffuse.reporting.read.timings import Timings
from rediffuse.reporting.render.blocks import Bullets, Chapter, chapter_of
from rediffuse.reporting.render.picture import MARKERS, WIDTH, Picture, finish, handle, outside_legend, plain_log
from rediffuse.reporting.render.table import Rows, Table, headers
from rediffuse.reporting.terms import HEADLINE, MAIN, capital, diffusion_runs, run_colours, run_label
from rediffuse.reporting.values import NOT_ASKED, NOT_RECORDED, NOT_RUN, Estimate, counted, listed, setting_text, short
from rediffuse.runs import facts


def ablation_table(frames: Frames, rows: list[Variant]) -> Table:
    """Each run and its ablations in the main metric."""
    short, sampled = metric_short(MAIN, frames.features), ablation_settings(frames.loaded)
    # A setting that no main run has cannot be read against one: its values stand in the text and among the details.
    main = {setting for run in diffusion_runs(frames.loaded) for setting, _, _ in facts.settings(run)}
    settings = [setting for setting in sampled if setting in main] or sampled
    titles = [f"{short}, {setting}" for setting in settings]
    columns = headers("Run or ablation | Change | Seeds | Parameters | Loss at the end", titles, "State | From")
    cells = Rows()
    for row in rows:
        values = (row.values[setting] for setting in settings)
        links = frames.pedigree.links(row.places)
        cells.add(row.name, row.change, setting_text(row.seeds), row.parameters, row.loss, *values, row.state, links)
    title = metric_title(MAIN, frames.features)
    notes = [
        f"Values are the {title} (lower is better) from {frames.loaded.study.evaluation.group_size} images. With one "
        "seed the brackets hold the interval over groups of samples; with several, ± is the standard deviation over "
        "training seeds."
        if title != "FID"
        else "With one seed the brackets hold the interval over groups of samples; with several, ± is the standard deviation.",
        f"Ablations are run by `{COMMAND}`; what was not run says so. A row of dashes was sampled in other ways, see the list above.",
    ]
    gone = sorted({e["ablation"] for e in frames.ablations} - set(frames.loaded.ablations))
    if gone:
        notes.append(f"The evidence also holds {listed(gone)}, which the study no longer has.")
    marked = frozenset(i for i, row in enumerate(rows) if row.question == NOT_ASKED)
    caption = "Each run beside variants of it that change one thing."
    return Table("ablations", caption, columns, cells, tuple(notes), marked, narrow=True)


def details_table(frames: Frames, metrics: list[str]) -> Table:
    """Every value of every finished ablation, seed by seed."""
    rows = Rows()
    for entry in frames.ablations:
        for setting, record in entry["metrics"].items():
            found = {row["metric"]: row for row in metric_rows(record)}
            known = {metric: Estimate.of(row) for metric, row in found.items() if row["value"] is not None}
            values = [known.get(metric, NOT_RECORDED) for metric in metrics]
            n = next((row["n"] for row in found.values()), NOT_RECORDED)
            links = frames.pedigree.links([ablation_place(frames.ablations_file, entry)])
            rows.add(entry["ablation"], entry["seed"], setting, record.get("features", NOT_RECORDED), *values, n, links)
    titles = [metric_short(metric, frames.features) for metric in metrics]
    columns = headers("Ablation | Seed | Sampler and steps | Features", titles, "n | From")
    caption = "Every value of the finished ablations, seed by seed."
    return Table("ablations-details", caption, columns, rows, folded=True)


def ablation_dots(frames: Frames, rows: list[Variant]) -> Picture | None:
    """The main metric of each run and its ablations, a panel for each run."""
    settings = ablation_settings(frames.loaded)
    drawn = [row for row in rows if any(isinstance(value, Estimate) for value in row.values.values())]
    with_ablations = {row.base for row in drawn if row.question != NOT_ASKED}
    bases = [base for base in frames.loaded.runs if base in with_ablations]
    if not bases:
        return None
    counts = [sum(row.base == base for row in drawn) for base in bases]
    size, ratios = (WIDTH, 1.3 * len(bases) + 0.5 * sum(counts) + 0.6), [count + 0.6 for count in counts]
    figure, grid = plt.subplots(len(bases), 1, figsize=size, sharex=True, squeeze=False, height_ratios=ratios)
    shades = [("#333333", "#888888", "#BBBBBB")[i % 3] for i in range(len(settings))]
    marks = [MARKERS[i % len(MARKERS)] for i in range(len(settings))]
    positive = True
    for axes, base in zip(grid[:, 0], bases, strict=True):
        names = [row for row in drawn if row.base == base]
        for place, row in enumerate(names):
            present = [(i, row.values[s]) for i, s in enumerate(settings) if isinstance(row.values[s], Estimate)]
            for position, (index, value) in enumerate(present):
                assert isinstance(value, Estimate)
                own = row.question == NOT_ASKED
                colour = run_colours(frames.loaded)[base] if own else shades[index]
                low, high = value.ends()
                positive = positive and low > 0
                y = place + min(0.22, 0.8 / len(present)) * (position - (len(present) - 1) / 2)
                axes.plot([low, high], [y, y], color=colour, linewidth=1.4, solid_capstyle="butt")
                axes.plot(value.value, y, marker=marks[index], color=colour, linestyle="none", markersize=7)
        axes.set_yticks(range(len(names)), [row.name for row in names])
        axes.set_ylim(len(names) - 0.5, -0.5)
        axes.set_title(f"{run_label(frames.loaded, base)} and its ablations")
    if positive:
        grid[-1, 0].set_xscale("log")
        plain_log(grid[-1, 0], "x")
    grid[-1, 0].set_xlabel(f"{metric_short(MAIN, frames.features)} (lower is better, no unit)")
    outside_legend(figure, [handle(s, shades[i], marker=marks[i], linestyle="none") for i, s in enumerate(settings)])
    title = metric_title(MAIN, frames.features)
    caption = (
        f"{capital(title)} of each run (in its colour) and "
        "of its ablations. Bars: the interval over groups of samples, or ± one standard deviation over training seeds."
    )
    alt = "Dots of the main metric for each run and ablation, by sampler and number of steps."
    return finish(figure, "ablations", caption, alt)


def cost_table(clock: Timings) -> Table | None:
    """Times of the finished ablations, seed by seed, and whose they are; None when none are kept."""
    rows = Rows()
    for entry in clock.ablations:
        machine = entry.get("machine") or {}
        who = [str(machine.get(name) or NOT_RECORDED) for name in ("cpu", "threads", "torch")]
        times = [recorded(entry.get(f"{name}_ms_per_step")) for name in ("train", "sample")]
        date, commit = (entry.get(name) or NOT_RECORDED for name in ("date", "commit"))
        trained = recorded(entry.get("train_seconds"))
        rows.add(entry["ablation"], entry["seed"], trained, *times, *who, date, short(commit))
    columns = headers(
        "Ablation | Seed | Training time (s) | Training step (ms) | Sampling step of a batch (ms) | Processor | Threads | PyTorch | Date | Commit"
    )
    notes = (
        f"As kept in {clock.ablations_file} when the ablations were gathered: of the machines they ran on. Sampling: the "
        "median over the settings.",
    )
    what = "What the finished ablations cost, each on the machine that it names."
    return Table("ablations-cost", what, columns, rows, notes) if rows else None


def chapter(material: Material) -> Chapter | None:
    """The questions and their answers, the table and the picture; then every value."""
    frames, asked_of = material.frames, material.loaded.ablations
    if not asked_of:
        return None
    rows = variants(frames, material.cells, material.keys)
    asked = [row for row in rows if row.name in asked_of]
    missing = [row.name for row in asked if row.state == NOT_RUN]
    text = f"{counted(len(asked) - len(missing), 'ablation')} of {len(asked)} run."
    if missing:
        text += f" Not run: {listed(missing)}; `{COMMAND}` runs them."
    stale = [row.name for row in asked if "other settings" in row.state]
    if stale:
        text += f" Made with other settings or code than today's: {listed(stale)}."
    details = details_table(frames, HEADLINE) if frames.ablations else None
    questions = Bullets(tuple(answers(frames, rows)))
    items = (text, questions, ablation_table(frames, rows), ablation_dots(frames, rows), details)
    return chapter_of("ablations", "Ablations", *items)


def timings(material: Material, clock: Timings) -> Chapter | None:
    """What the ablations cost where they ran."""
    return chapter_of("ablation-times", "Ablations on their machines", cost_table(clock))
