"""What the networks cost by the clock: the cost model beside what was measured, latencies,
and what each change buys.
"""

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from rediffuse.config import ResolvedRun
from rediffuse.cost.model import CostModel
from rediffuse.reporting.experiments.cells import optional
from rediffuse.reporting.experiments.material import Material
from rediffuse.reporting.read.frames import Frames, of_run
from rediffuse.reporting.read.timings import Timings, by_setting, computed_on
from rediffuse.reporting.render.blocks import Chapter, chapter_of
from rediffuse.reporting.render.table import Rows, Table, headers
from rediffuse.reporting.terms import diffusion_runs, run_label, setting_title, training_of
from rediffuse.reporting.values import NOT_ASKED, NOT_RECORDED, Estimate, Links, Value, counted, number
from rediffuse.runs import facts

GFLOP = 1e9
STEPS = (10, 50, 100, 500, 1000)
#: Samplers that evaluate the network once a step and do little else.
PLAIN = ("ddim", "ancestral")


def words(frames: Frames) -> str:
    """What the numbers of this section count."""
    if frames.cost is None:
        return ""
    return (
        "The cost model: training ≈ N · B · (1 + κ) · F / rate and sampling ≈ S · B · F / rate, for N steps of B "
        "images, S evaluations of the network, F FLOPs of one image and a backward pass that takes κ forward passes."
    )


def cost_model(frames: Frames, clock: Timings, run: ResolvedRun) -> CostModel | None:
    """The cost model of a run from the passes that were measured; None when they were not."""
    if frames.cost is None or clock.cost is None or run.name not in clock.cost["runs"]:
        return None
    measured = clock.cost["runs"][run.name]
    training, sampling = measured["training"], measured["sampling"]
    return CostModel.measured(
        sum(frames.cost["runs"][run.name]["flops"].values()),
        training["kappa"]["median"],
        (training["batch"], training["forward"]["median"]),
        (sampling["batch"], sampling["forward"]["median"]),
    )


def model(frames: Frames, clock: Timings) -> Table | None:
    """Predicted and measured seconds of every training and every sampling."""
    if frames.cost is None:
        return None
    rows = Rows()
    for run in diffusion_runs(frames.loaded):
        fitted = cost_model(frames, clock, run)
        timing = None if clock.cost is None else clock.cost["runs"].get(run.name)
        kappa = NOT_RECORDED if timing is None else spread(timing["training"]["kappa"])
        for seed in run.seeds:
            steps, batch = training_of(run).steps, training_of(run).batch_size
            trained = of_run(clock.training, run, seed)
            measured = optional(trained.iloc[0]["seconds"]) if len(trained) else None
            # The backward pass that was timed made the checkpointed forward pass again: κ holds it.
            predicted = fitted and (fitted.training_rate, fitted.training_seconds(steps, batch))
            against = _against(clock, predicted, measured, trained["file"])
            rows.add(run.label, seed, "training", steps, batch, kappa, *against)
            timed = by_setting(clock, run, seed)
            for setting, key, _ in facts.settings(run):
                if setting not in timed:
                    continue
                row = timed[setting]
                passes, images = int(row["nfe"]) * (2 if _guided(run, key) else 1), int(row["images"])
                predicted = fitted and (fitted.sampling_rate, fitted.sampling_seconds(passes, images))
                against = _against(clock, predicted, optional(row["seconds"]), [row["file"]])
                rows.add(
                    run.label,
                    seed,
                    setting_title(frames.loaded, run.name, setting),
                    passes,
                    images,
                    NOT_ASKED,
                    *against,
                )
    columns = headers(
        "Run | Seed | What | N or S | B | κ | Rate (GFLOP/s) | Predicted (s) | Measured (s) | "
        "Measured / predicted | From"
    )
    notes = (
        "N: optimiser steps of B images; S: evaluations of the network for each of B images, two a step under "
        "guidance. κ: median of the backward pass's time over the forward pass's, with its quartiles. What the ratio "
        "exceeds 1 by is what the network's passes leave out: noise, loss, optimiser, average of the weights, the "
        "samplers' own arithmetic, and whatever else the machine did.",
        *_on_gpu(frames, clock),
    )
    return Table("cost-model", "The cost model against the clock.", columns, rows, notes=notes, folded=True)


def _on_gpu(frames: Frames, clock: Timings) -> Iterator[str]:
    """What else the ratio holds on a GPU."""
    if frames.loaded.study.hardware.device == "cpu":
        return
    yield (
        "Predicted from passes whose kernels are launched one by one. A training launches those of its recorded step "
        "at one go: by what that saves the ratio is smaller."
    )
    if (shared := max((one.value("at_once") or 1 for one in clock.taken.values()), default=1)) > 1:
        yield f"Up to {shared} jobs shared the GPU, and the passes had it for themselves: by that the ratio is larger."


class Latency(NamedTuple):
    """Seconds of one step of a batch, of the batch, and of its share for one image."""

    steps: int
    how: str
    images: int
    step: float
    image: float
    links: Links

    @property
    def batch(self) -> float:
        """Seconds of the batch."""
        return self.image * self.images


def latencies(frames: Frames, clock: Timings, run: ResolvedRun) -> Iterator[Latency]:
    """By the customary numbers of steps, measured where the study samples with them, predicted elsewhere."""
    fitted, timed = cost_model(frames, clock, run), by_setting(clock, run, run.seeds[0])
    for steps in STEPS:
        found = next((f"{s}-{steps}" for s in PLAIN if f"{s}-{steps}" in timed and not _guided(run, s)), None)
        if found is not None:
            row, how = timed[found], f"measured, {setting_title(frames.loaded, run.name, found)}"
            seconds = (float(row["ms_per_step"]) / 1e3, float(row["ms_per_image"]) / 1e3)
            yield Latency(steps, how, int(row["batch_size"]), *seconds, clock.links([row["file"]]))
        elif fitted is not None:
            images = min(run.sampling.batch_size, run.sampling.images)
            step = fitted.sampling_seconds(1, images)
            links = clock.links([clock.cost["file"]] if clock.cost else [])
            yield Latency(steps, "predicted", images, step, step * steps / images, links)


def latency(frames: Frames, clock: Timings) -> Table | None:
    """Seconds an image takes at the customary numbers of steps, measured where the study has them."""
    if frames.cost is None:
        return None
    rows = Rows()
    for run in diffusion_runs(frames.loaded):
        there = {one.steps: one for one in latencies(frames, clock, run)}
        for steps in STEPS:
            if one := there.get(steps):
                rows.add(run.label, steps, one.how, one.images, 1e3 * one.step, one.batch, one.image, one.links)
            else:
                rows.add(run.label, steps, *[NOT_RECORDED] * 5, Links(()))
    columns = headers("Run | Steps | How | Batch | One step (ms) | One batch (s) | One image (s) | From")
    note = (
        "One image: the batch's time divided by its images, not what a single image by itself would take (batch 1 of "
        "the table of batches). Predicted: by the cost model, the network alone."
    )
    return Table("latency", "How long sampling takes by number of steps.", columns, rows, notes=(note,))


def batches(frames: Frames, clock: Timings) -> Table | None:
    """Forward passes of the first run's network by batch size and by resolution."""
    if (found := clocked(frames, clock)) is None:
        return None
    timing, entry, label, links = found
    own = entry["config"]["image_size"]
    rows = Rows()
    for row in [*({**row, "side": own} for row in timing["batches"]), *timing["resolutions"]]:
        flops = sum(entry["flops_by_resolution"][str(row["side"])].values())
        forward, batch = row["forward"], row["batch"]
        seconds = forward["median"]
        rates = (1e3 * seconds / batch, batch / seconds, batch * flops / seconds / GFLOP)
        rows.add(f"{row['side']}×{row['side']}", batch, spread(forward, 1e3), *rates, links)
    columns = headers(
        "Images | Batch | Forward pass (ms) | One image (ms) | Throughput (images/s) | Rate (GFLOP/s) | From"
    )
    what = f"Forward passes of {label}'s network without gradients, by batch and by resolution."
    return Table("throughput", what, columns, rows, notes=("Medians, with quartiles in brackets.", *as_written(frames)))


CARD = "RTX 3090"
#: Latencies as printed: source, side, batch, steps, one step (s), one batch (s), one image (s), images a second,
#: conditions.
QUOTED: tuple[tuple[Value, ...], ...] = (
    *(
        (
            "D1, table 5",
            32,
            NOT_ASKED,
            steps,
            NOT_ASKED,
            NOT_ASKED,
            image,
            NOT_ASKED,
            f"CIFAR-10, {CARD}; batch not said",
        )
        for steps, image in ((1000, 8.52), (250, 2.15), (100, 0.88), (50, 0.45))
    ),
    (
        "D0, section 3.3.1",
        32,
        32,
        1000,
        0.015,
        15.2,
        0.475,
        NOT_ASKED,
        f"CIFAR-10, {CARD}; batch divided by its images",
    ),
    *(
        (
            "D4, section 3.5.1",
            side,
            batch,
            1000,
            step,
            whole,
            NOT_ASKED,
            rate,
            f"“typical” of an {CARD}; network not said",
        )
        for side, batch, step, whole, rate in (
            (32, 64, 0.005, 5.0, 12.8),
            (256, 8, 0.05, 50.0, 0.16),
            (512, 4, 0.2, 200.0, 0.02),
        )
    ),
)


def quoted(frames: Frames, clock: Timings) -> Table | None:
    """Latencies that the documents print, beside those of the first run."""
    if (found := clocked(frames, clock)) is None:
        return None
    timing, entry, label, _ = found
    rows, side = Rows(), entry["config"]["image_size"]
    machine = timing.get("machine") or {}
    here = str(computed_on(machine))
    if here == machine.get("cpu"):
        here += f", {counted(machine.get('threads') or 1, 'thread')}"
    for row in latencies(frames, clock, frames.loaded.runs[timing["measured_run"]]):
        if row.steps in (50, 100, 1000):
            times = (row.step, row.batch, row.image, 1 / row.image)
            rows.add(f"{label}, here ({row.how})", side, row.images, row.steps, *times, here, row.links)
    rows += [(*cells, Links(())) for cells in QUOTED]
    columns = headers(
        "Whose | Side (pixels) | Batch | Steps | One step (s) | One batch (s) | One image (s) | Images a second | "
        "Conditions | From"
    )
    alone, shared = QUOTED[0][6], QUOTED[4][6]
    assert isinstance(alone, float)
    assert isinstance(shared, float)
    note = (
        "Rows of documents are quoted, nothing of them was run here: other networks, other machines. Even on a card of "
        f"the same name an image of 1000 steps takes {number(alone / shared, 3)} times as long in D1 as in D0, whose "
        "figure is the time of a batch divided by its images."
    )
    return Table("latency-quoted", "Latencies as the documents print them, beside ours.", columns, rows, notes=(note,))


def _guided(run: ResolvedRun, key: str) -> bool:
    sampler = run.sampling.samplers.get(key)
    return sampler is not None and facts.is_conditional(run) and sampler.guidance not in (None, 0, 1)


def _against(
    clock: Timings, predicted: tuple[float, float] | None, measured: float | None, files: Iterable[str]
) -> tuple[Value, ...]:
    """The rate in GFLOP/s, predicted (`(rate, seconds)`) and measured seconds, their ratio, and where they are from."""
    rate, seconds = (None, None) if predicted is None else (predicted[0] / GFLOP, predicted[1])
    ratio = None if seconds is None or measured is None else measured / seconds
    shown = (NOT_RECORDED if number is None else number for number in (rate, seconds, measured, ratio))
    return *shown, clock.links(files)


def clocked(frames: Frames, clock: Timings) -> tuple[dict[str, Any], dict[str, Any], str, Links] | None:
    """What was timed of the measured run's network, what was counted of it, its label, and where the times are from."""
    timing = clock.cost
    if frames.cost is None or timing is None:
        return None
    name = timing["measured_run"]
    return timing, frames.cost["runs"][name], run_label(frames.loaded, name), clock.links([timing["file"]])


def as_written(frames: Frames, what: str = "This table") -> tuple[str, ...]:
    """What is to be said of times and memory of a network that is not as the study runs it."""
    hardware = frames.loaded.study.hardware
    if hardware.precision == "float32" and not hardware.compile:
        return ()
    return (f"{what} is of the network in float32 and not compiled, which the study has otherwise.",)


def spread(record: dict[str, Any], scale: float = 1.0) -> Value:
    """A measured spread as a cell."""
    return Estimate(scale * record["median"], scale * record["low"], scale * record["high"])


def timings(material: Material, clock: Timings) -> Chapter | None:
    """The cost model against the clock, and how long sampling takes."""
    frames = material.frames
    parts = (model(frames, clock), latency(frames, clock), quoted(frames, clock), batches(frames, clock))
    return chapter_of("cost-model", "The cost model against the clock", words(frames), *parts)
