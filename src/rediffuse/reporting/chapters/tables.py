"""From frames to tables of quality: lines of real images and noise, the comparison, every value, verdicts."""

from rediffuse.config import ResolvedRun
from rediffuse.reporting.experiments.cells import Cell, Cells, compare, optional
from rediffuse.reporting.experiments.claims import Verdict
from rediffuse.reporting.read.frames import Frames
from rediffuse.reporting.read.pedigree import SHORT
from rediffuse.reporting.render.table import Anchor, Column, Estimate, Links, Table, Value
from rediffuse.reporting.render.terms import (
    NOT_ASKED,
    NOT_RECORDED,
    NOT_RUN,
    REAL_LINES,
    cell_label,
    compared_runs,
    direction,
    metric_short,
    metric_title,
    run_label,
    run_of_role,
    settings_in_order,
)
from rediffuse.runs import facts

FROM = Column("From")
INTERVAL_NOTE = (
    "Brackets hold the interval of the value: {interval}. It says how far new samples of the same trained network "
    "would "
    "move the value, not how far training again would."
)


def estimate(cell: Cell | None, asked: bool = True) -> Value:
    """A cell as a table shows it: "not run" when it is missing, a dash when the study does not ask for it."""
    if cell is None:
        return NOT_RUN if asked else NOT_ASKED
    return Estimate(cell.value, cell.low, cell.high)


def reference_lines(frames: Frames, cells: Cells, metrics: list[str]) -> Table:
    """What held-out real images and noise score at the same n."""
    features = frames.features
    rows: list[tuple[Value, ...]] = []
    for name, title in REAL_LINES.items():
        found = [cells.get(("real", name, metric)) for metric in metrics]
        known = next((cell for cell in found if cell is not None), None)
        quality = frames.quality[(frames.quality["run"] == "real") & (frames.quality["setting"] == name)]
        groups: Value = int(quality["groups"].iloc[0]) if len(quality) else NOT_RUN
        files = known.files if known else ()
        values = (estimate(cell) for cell in found)
        rows.append((title, *values, known.n if known else NOT_RUN, groups, Links(frames.pedigree.ids(files))))
    columns = (
        Column("Images"),
        *(_metric_column(metric, features) for metric in metrics),
        Column("n"),
        Column("Groups"),
    )
    return Table(
        "reference-lines",
        "What real images that no network has seen score, and what noise scores, against the same reference and from "
        "as many images as every sampled value.",
        (*columns, FROM),
        tuple(rows),
        notes=("A value from a single group has no interval.",),
    )


def comparison(frames: Frames, cells: Cells, metric: str, folded: bool) -> Table:
    """The runs side by side in one metric at every sampler and step count, and which of the two main runs is better."""
    loaded, features = frames.loaded, frames.features
    runs = compared_runs(loaded)
    baseline, improved = run_of_role(loaded, "baseline"), run_of_role(loaded, "improved")
    rows: list[tuple[Value, ...]] = []
    for setting, key, steps in settings_in_order(loaded):
        found = {run.name: cells.get((run.name, setting, metric)) for run in runs}
        values = [estimate(found[run.name], _asks(run, setting)) for run in runs]
        row: list[Value] = [key, steps, *values]
        if baseline and improved:
            row.append(_winner(baseline, improved, found, setting))
        there = [cell for cell in found.values() if cell is not None]
        row.append(there[0].n if there else NOT_RUN)
        rows.append((*row, Links(frames.pedigree.ids(path for cell in there for path in cell.files))))
    for name, title in REAL_LINES.items():
        line = cells.get(("real", name, metric))
        filler: list[Value] = [NOT_ASKED] if baseline and improved else []
        links = Links(frames.pedigree.ids(line.files if line else ()))
        rows.append((title, NOT_ASKED, *[estimate(line)] * len(runs), *filler, line.n if line else NOT_RUN, links))
    run_columns = (Column(_label(frames, run), estimate=True) for run in runs)
    verdict = (Column("Better"),) if baseline and improved else ()
    title = metric_title(metric, features)
    return Table(
        f"comparison-{metric.replace('_', '-')}",
        f"{title[:1].upper()}{title[1:]} ({direction(metric)} is better) of every run, by sampler and number of steps.",
        (Column("Sampler"), Column("Steps"), *run_columns, *verdict, Column("n"), FROM),
        tuple(rows),
        notes=(
            _interval_note(cells, metric),
            "The last two rows are lines to read the others against: the same in every column.",
        ),
        marked=frozenset((len(rows) - 2, len(rows) - 1)),
        folded=folded,
    )


def _winner(baseline: ResolvedRun, improved: ResolvedRun, found: dict[str, Cell | None], setting: str) -> str:
    if not (_asks(baseline, setting) and _asks(improved, setting)):
        return NOT_ASKED
    ours, theirs = found[improved.name], found[baseline.name]
    if ours is None or theirs is None:
        return NOT_RUN
    outcome = compare(ours, theirs)
    names = {"better": improved.label, "worse": baseline.label, "equal": "neither"}
    return (
        names[outcome.leaning] if outcome.outcome != "undecided" else f"undecided (leans to {names[outcome.leaning]})"
    )


def _asks(run: ResolvedRun, setting: str) -> bool:
    return any(name == setting for name, _, _ in facts.settings(run))


def _label(frames: Frames, run: ResolvedRun) -> str:
    labels = [other.label for other in facts.diffusion_runs(frames.loaded).values()]
    return run.label if labels.count(run.label) == 1 else f"{run.label} ({run.name})"


def _metric_column(metric: str, features: str) -> Column:
    return Column(metric_short(metric, features), f"{direction(metric)} is better", estimate=True)


def _interval_note(cells: Cells, metric: str) -> str:
    kinds = dict.fromkeys(
        c.interval for c in cells.values() if c.metric == metric and c.run != "real" and c.low is not None
    )
    return INTERVAL_NOTE.format(interval="; ".join(kinds)) if kinds else "No value has an interval."


def quality(frames: Frames, metrics: list[str]) -> Table:
    """Every value of every run and training seed."""
    rows: list[tuple[Value, ...]] = []
    by_place = {(r["run"], r["seed"], r["setting"], r["metric"]): r for r in frames.quality.to_dict("records")}
    for run in facts.diffusion_runs(frames.loaded).values():
        for seed in run.seeds:
            for setting, key, steps in facts.settings(run):
                places = [(run.name, seed, setting, metric) for metric in metrics]
                found = [by_place.get(place) for place in places]
                known = next((row for row in found if row is not None), None)
                values: list[Value] = [
                    NOT_RUN if row is None
                    else f"not available: {row['unavailable']}" if optional(row["value"]) is None
                    else Estimate(float(row["value"]), optional(row["low"]), optional(row["high"]))
                    for row in found
                ]  # fmt: skip
                counts: list[Value] = [NOT_RUN] * 4
                if known is not None:
                    counts = [
                        NOT_RECORDED if optional(known[c]) is None else int(known[c])
                        for c in ("nfe", "n", "groups", "images")
                    ]
                nfe, *rest = counts
                links = Links(frames.pedigree.ids([known["file"]] if known is not None else ()))
                rows.append((_label(frames, run), seed, key, steps, nfe, *values, *rest, links))
    columns = (Column("Run"), Column("Seed"), Column("Sampler"), Column("Steps"), Column("Network evaluations"))
    counts_columns = (Column("n"), Column("Groups"), Column("Images"), FROM)
    return Table(
        "quality",
        "Every value of every run, training seed, sampler and number of steps.",
        (*columns, *(_metric_column(metric, frames.features) for metric in metrics), *counts_columns),
        tuple(rows),
        notes=(
            "n is the number of images that one value is computed from; the value shown is the mean over the groups.",
        ),
        folded=True,
        narrow=True,
    )


def likelihood(frames: Frames) -> Table | None:
    """The bound of each run and its parts; None when no run has one."""
    rows: list[tuple[Value, ...]] = []
    for row in frames.likelihood.to_dict("records"):
        total = Estimate(row["value"], row["low"], row["high"])
        parts = (row["prior"], row["steps"], row["decoder"])
        links = Links(frames.pedigree.ids([row["file"]]))
        rows.append((run_label(frames.loaded, row["run"]), row["seed"], total, *parts, row["n"], links))
    if not rows:
        return None
    columns = (Column("Run"), Column("Seed"), Column("Bound (bits/dim)", estimate=True), Column("L_T (bits/dim)"),
               Column("L_1 … L_{T−1} (bits/dim)"), Column("L_0 (bits/dim)"), Column("Images"), FROM)  # fmt: skip
    return Table(
        "likelihood",
        "The variational bound on the negative log-likelihood of held-out images (lower is better), and its parts: "
        "prior, steps of the chain, decoder.",
        columns,
        tuple(rows),
        notes=(f"Brackets: {frames.likelihood['interval'].iloc[0]}. One evaluation of the network an image and t.",),
    )


def claims(frames: Frames, verdicts: list[Verdict]) -> Table:
    """Each claim with its source, what was measured and what follows."""
    rows: list[tuple[Value, ...]] = []
    for item in verdicts:
        files = [path for cell in (item.better, item.worse) if cell is not None for path in cell.files]
        metric = metric_short(item.claim.metric, frames.features)
        names = [cell_label(frames.loaded, *name.split("/", 1)) for name in (item.claim.better, item.claim.worse)]
        links = Links(frames.pedigree.ids(files))
        rows.append((
            item.claim.claim, item.claim.source, metric, names[0], estimate(item.better), names[1],
            estimate(item.worse), item.verdict, item.reason, links,
        ))  # fmt: skip
    return Table(
        "claims",
        "Each claim: a metric of the cell said to be better against the same metric of the cell said to be worse.",
        (Column("Claim"), Column("Source"), Column("Metric"), Column("Said to be better"),
         Column("Its value", estimate=True), Column("Said to be worse"), Column("Value of that", estimate=True), Column("Verdict"), Column("Why"), FROM),
        tuple(rows),
        notes=(
            "holds: the intervals are apart in the claimed direction; does not hold: they are apart in the other; "
            "undecided: they overlap.",
        ),
        narrow=True,
    )  # fmt: skip


def pedigree(frames: Frames) -> Table:
    """For every file that digests cover: the job that made it, its command, key and code."""
    rows = tuple(
        (Anchor(s.id), s.path, s.job, s.command, short(s.key), short(s.code), s.state)
        for s in frames.pedigree.sources.values()
        if s.measured is None
    )
    columns = (
        Column("Id"),
        Column("File", code=True),
        Column("Job"),
        Column("Command", code=True),
        Column("Key", code=True),
        Column("Code", code=True),
        Column("State"),
    )
    return Table(
        "pedigree",
        "Where every number comes from. Key and code are shortened to their first characters.",
        columns,
        rows,
        notes=(
            f"In MLflow, search the runs of experiment {frames.loaded.study.study} for "
            "`tags.\"rediffuse.key\" LIKE 'KEY%'`, KEY being the one of the row.",
            "State: whether the file is byte for byte the one its receipt describes. When and on what it was made stands "
            "in timings.md.",
        ),
    )


def measured(frames: Frames) -> Table:
    """For every job that was made here: its times' file, and when, on what and by which commit it was made."""
    rows = []
    for s in frames.pedigree.sources.values():
        if s.measured is not None:
            machine = s.measured.get("machine") or {}
            rows.append(
                (
                    Anchor(s.id),
                    s.path,
                    s.job,
                    short(s.key),
                    short(str(s.measured.get("commit") or NOT_RECORDED)),
                    str(s.measured.get("date") or NOT_RECORDED),
                    str(machine.get("cpu") or NOT_RECORDED),
                )
            )
    columns = (
        Column("Id"),
        Column("File", code=True),
        Column("Job"),
        Column("Key", code=True),
        Column("Commit", code=True),
        Column("Made (UTC)"),
        Column("Processor"),
    )
    note = "`+changes` marks source that differed from the commit; the code digest of the pedigree tells such states apart."
    return Table(
        "measured",
        "When, on what and by which code each job was made.",
        columns,
        tuple(rows),
        notes=(note,),
        folded=True,
    )


def short(digest: str) -> str:
    """The first characters of a digest or commit; the mark of uncommitted changes is kept."""
    head, plus, changes = digest.partition("+")
    return digest if digest == NOT_RECORDED else head[:SHORT] + plus + changes
