"""From frames to tables of training: how steady it was and what it cost; and of what sampling costs."""

import math

import pandas as pd

from rediffuse.config import ResolvedRun
from rediffuse.reporting.chapters.tables import FROM
from rediffuse.reporting.experiments.cells import optional
from rediffuse.reporting.read.frames import Frames
from rediffuse.reporting.render.table import Column, Links, Table, Value
from rediffuse.reporting.render.terms import IMPORTED, NOT_RECORDED, NOT_RUN, setting_text
from rediffuse.runs import facts
from rediffuse.training.options import TrainingConfig

TIMING_NOTE = (
    "Times were measured once, on the machine named in the table of hardware and software. They differ from machine to "
    "machine and from run to run, and no digest covers them."
)
#: Share of the training whose mean is called the loss at the end.
END = 0.1


def final_loss(history: pd.DataFrame) -> float:
    """Mean loss over the last tenth of a run's training (at least its last logged row)."""
    tail = history[history["step"] > (1 - END) * history["step"].max()]
    return float(tail["loss"].mean())


def stability(frames: Frames) -> Table:
    """Spread of loss and gradient norm of each run and seed."""
    rows: list[tuple[Value, ...]] = []
    for run in facts.diffusion_runs(frames.loaded).values():
        for seed in run.seeds:
            history = of_run(frames.history, run, seed)
            if history.empty:
                rows.append((run.label, seed, *[NOT_RUN if run.weights is None else IMPORTED] * 9, Links(())))
                continue
            late = history[history["step"] > history["step"].max() / 2]["loss"]
            training = run.training
            assert isinstance(training, TrainingConfig)
            norms = history[history["step"] > training.warmup]["grad_norm"]
            held_out = history["held_out_loss"].dropna()
            spread = float(late.std(ddof=1))
            numbers = (
                final_loss(history), float(held_out.iloc[-1]) if len(held_out) else math.nan, spread,
                100 * spread / float(late.mean()), float(norms.mean()), float(norms.std(ddof=1)), float(norms.max()),
            )  # fmt: skip
            links = Links(frames.pedigree.ids(history["file"].iloc[:1]))
            shown: list[Value] = [NOT_RECORDED if math.isnan(n) else n for n in numbers]
            rows.append((run.label, seed, *shown, training.clip_norm, len(history), links))
    columns = (
        Column("Run"), Column("Seed"), Column("Loss at the end"), Column("Held-out loss at the end"),
        Column("Spread of loss"), Column("Spread of loss", "% of its mean"), Column("Gradient norm, mean"),
        Column("Gradient norm, std"), Column("Gradient norm, max"), Column("Clipped at"), Column("Logged rows"), FROM,
    )  # fmt: skip
    every = sorted({run.training.log_every for run in facts.diffusion_runs(frames.loaded).values()})
    return Table(
        "stability",
        "How steady training was.",
        columns,
        tuple(rows),
        notes=(
            f"All numbers are of the rows of history.csv, each a mean over {setting_text(every)} training steps. Loss at "
            "the end: mean of the last tenth of training. Spread: standard deviation over the second half. Gradient "
            "norms: before clipping, after warm-up.",
            "Losses of runs with different schedules or objectives measure different things and are not to be ranked; "
            "their spread in % of the mean may be compared.",
        ),
    )


def training(frames: Frames) -> Table:
    """What training cost."""
    rows: list[tuple[Value, ...]] = []
    for run in facts.diffusion_runs(frames.loaded).values():
        for seed in run.seeds:
            found = of_run(frames.training, run, seed)
            if found.empty or run.weights is not None:
                rows.append((run.label, seed, *[NOT_RECORDED if run.weights is None else IMPORTED] * 6, Links(())))
                continue
            row = found.iloc[0]
            parameters = frames.parameters.get(run.name)
            measured = (NOT_RECORDED if parameters is None else parameters[0], _real(row["seconds"]), _real(row["ms_per_step"]),
                        _real(row["images_per_second"]), _count(row["batch_size"]), str(row["resumed_from"]))  # fmt: skip
            rows.append((run.label, seed, *measured, Links(frames.pedigree.ids([row["file"]]))))
    columns = (Column("Run"), Column("Seed"), Column("Parameters"), Column("Training time", "s"),
               Column("Time per step", "ms"), Column("Throughput", "images/s"), Column("Batch"), Column("Resumed from step"), FROM)  # fmt: skip
    return Table("training-cost", "What training cost.", columns, tuple(rows), notes=(TIMING_NOTE,))


def sampling(frames: Frames) -> Table:
    """What sampling cost, by sampler and number of steps."""
    rows: list[tuple[Value, ...]] = []
    for run in facts.diffusion_runs(frames.loaded).values():
        for seed in run.seeds:
            timed = of_run(frames.sampling, run, seed).set_index("setting")
            for setting, key, steps in facts.settings(run):
                if setting not in timed.index:
                    rows.append((run.label, seed, key, steps, *[NOT_RECORDED] * 6, Links(())))
                    continue
                row = timed.loc[setting]
                per_image = optional(row["ms_per_image"])
                rows.append((
                    run.label, seed, key, steps, _count(row["nfe"]), _real(row["ms_per_step"]),
                    NOT_RECORDED if per_image is None else per_image / 1000, _real(row["seconds"]),
                    _count(row["images"]),                    _count(row["batch_size"]), Links(frames.pedigree.ids([str(row["file"])])),
                ))  # fmt: skip
    columns = (Column("Run"), Column("Seed"), Column("Sampler"), Column("Steps"), Column("Network evaluations"),
               Column("Time per step", "ms"), Column("Time per image", "s"), Column("Time in all", "s"),
               Column("Images"), Column("Batch"), FROM)  # fmt: skip
    note = "A step is one step of a whole batch; the time per image is that of the batch divided by its images."
    return Table("sampling-cost", "What sampling cost.", columns, tuple(rows), notes=(note, TIMING_NOTE), folded=True)


def of_run(frame: pd.DataFrame, run: ResolvedRun, seed: int) -> pd.DataFrame:
    """The rows of a run and seed."""
    return frame[(frame["run"] == run.name) & (frame["seed"] == seed)]


def _real(value: object) -> Value:
    known = optional(value)
    return NOT_RECORDED if known is None else known


def _count(value: object) -> Value:
    known = optional(value)
    return NOT_RECORDED if known is None else int(known)
