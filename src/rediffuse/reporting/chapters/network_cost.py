"""What the networks cost: exact counts, and the cost model beside what was measured."""

import math
from collections.abc import Iterable
from typing import Any

import matplotlib.pyplot as plt

from rediffuse.config import ResolvedRun
from rediffuse.cost.model import CostModel
from rediffuse.reporting.experiments.cells import optional
from rediffuse.reporting.experiments.material import Material
from rediffuse.reporting.read.frames import Frames, cost_file, of_run
from rediffuse.reporting.read.timings import Timings, by_setting
from rediffuse.reporting.render.blocks import Chapter, chapter_of
from rediffuse.reporting.render.picture import WIDTH, Picture, finish, log_steps, plain_log
from rediffuse.reporting.render.table import Rows, Table, headers
from rediffuse.reporting.terms import (
    BASELINE,
    IMPROVED,
    VARIANTS,
    diffusion_runs,
    run_label,
    setting_title,
    training_of,
)
from rediffuse.reporting.values import NOT_ASKED, NOT_RECORDED, Estimate, Links, Value
from rediffuse.runs import facts

GFLOP, MIB = 1e9, 2**20
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


def configurations(frames: Frames) -> Table | None:
    """Parameters, FLOPs and bytes of the runs' networks and of one design in several sizes."""
    if frames.cost is None:
        return None
    links = frames.pedigree.links([str(cost_file(frames.loaded.study.study))])
    rows = Rows()
    named = [(run_label(frames.loaded, name), entry) for name, entry in frames.cost["runs"].items()]
    presets = sorted(frames.cost["presets"].items(), key=lambda preset: preset[1]["parameters"])
    for name, entry in [*named, *((f"preset {name}", entry) for name, entry in presets)]:
        flops, state, side = entry["flops"], entry["state_bytes"], entry["config"]["image_size"]
        total = sum(flops.values())
        shares = [100 * part / total for part in (flops["projection"] + flops["attention"], flops["attention"])]
        held = (entry["activation_bytes"], entry["checkpointed_bytes"], sum(state.values()), state["parameters"])
        sizes = (count / MIB for count in held)
        rows.add(name, f"{side}×{side}", entry["parameters"], total / GFLOP, *shares, *sizes, links)
    columns = headers(
        "Network | Images | Parameters | Forward pass (GFLOP/image) | Attention layers (% of it) | "
        "Products QKᵀ and AV (% of it) | Activations saved (MiB/image) | "
        "With checkpointing (MiB/image) | State in training (MiB) | in sampling (MiB) | From"
    )
    note = (
        "State in training: weights, gradients, Adam's two moments and the average of the weights, float32. "
        "Checkpointing keeps the inputs of each block and computes the rest again in the backward pass."
    )
    return Table("configurations", "What the networks hold and compute.", columns, rows, notes=(note,))


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
        kappa = NOT_RECORDED if timing is None else _spread(timing["training"]["kappa"])
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
        "N: optimiser steps of B images; S: evaluations of the network for each of B images, two a step under guidance. "
        "κ: median of the backward pass's time over the forward pass's, with its quartiles. What the ratio exceeds 1 by "
        "is what the network's passes leave out: noise, loss, optimiser, average of the weights, the samplers' own "
        "arithmetic, and whatever else the machine did.",
    )
    return Table("cost-model", "The cost model against the clock.", columns, rows, notes=notes, folded=True)


def latency(frames: Frames, clock: Timings) -> Table | None:
    """Seconds an image takes at the customary numbers of steps, measured where the study has them."""
    if frames.cost is None:
        return None
    rows = Rows()
    for run in diffusion_runs(frames.loaded):
        fitted, seed = cost_model(frames, clock, run), run.seeds[0]
        timed = by_setting(clock, run, seed)
        for steps in STEPS:
            found = next((f"{s}-{steps}" for s in PLAIN if f"{s}-{steps}" in timed and not _guided(run, s)), None)
            if found is not None:
                row = timed[found]
                images = int(row["batch_size"])
                per_step, per_image = float(row["ms_per_step"]), float(row["ms_per_image"])
                how, links = f"measured, {setting_title(frames.loaded, run.name, found)}", clock.links([row["file"]])
            elif fitted is not None:
                images = min(run.sampling.batch_size, run.sampling.images)
                per_step = 1e3 * fitted.sampling_seconds(1, images)
                per_image = per_step * steps / images
                how, links = "predicted", clock.links([clock.cost["file"]] if clock.cost else [])
            else:
                rows.add(run.label, steps, *[NOT_RECORDED] * 5, Links(()))
                continue
            rows.add(run.label, steps, how, images, per_step, per_image * images / 1e3, per_image / 1e3, links)
    columns = headers("Run | Steps | How | Batch | One step (ms) | One batch (s) | One image (s) | From")
    note = (
        "One image: the batch's time divided by its images, not what a single image by itself would take (batch 1 of the "
        "next table). Predicted: by the cost model, the network alone."
    )
    return Table("latency", "How long sampling takes by number of steps.", columns, rows, notes=(note,))


def batches(frames: Frames, clock: Timings) -> Table | None:
    """Forward passes of the first run's network by batch size and by resolution."""
    if (clocked := _clocked(frames, clock)) is None:
        return None
    timing, entry, label, links = clocked
    own = entry["config"]["image_size"]
    rows = Rows()
    for row in [*({**row, "side": own} for row in timing["batches"]), *timing["resolutions"]]:
        flops = sum(entry["flops_by_resolution"][str(row["side"])].values())
        forward, batch = row["forward"], row["batch"]
        seconds = forward["median"]
        rates = (1e3 * seconds / batch, batch / seconds, batch * flops / seconds / GFLOP)
        rows.add(f"{row['side']}×{row['side']}", batch, _spread(forward, 1e3), *rates, links)
    columns = headers(
        "Images | Batch | Forward pass (ms) | One image (ms) | Throughput (images/s) | Rate (GFLOP/s) | From"
    )
    what = f"Forward passes of {label}'s network without gradients, by batch and by resolution."
    return Table("throughput", what, columns, rows, notes=("Medians, with quartiles in brackets.",))


def checkpointing(frames: Frames, clock: Timings) -> Table | None:
    """Memory against time, with and without activation checkpointing; and peak memory as measured."""
    if (clocked := _clocked(frames, clock)) is None:
        return None
    timing, entry, label, links = clocked
    state = entry["state_bytes"]
    base = timing["checkpointing"][0]
    rows = Rows()
    for row in timing["checkpointing"]:
        saved = entry["checkpointed_bytes" if row["on"] else "activation_bytes"] * row["batch"]
        seconds = row["forward"]["median"] + row["backward"]["median"]
        relative = seconds / (base["forward"]["median"] + base["backward"]["median"])
        what = "training, checkpointing" if row["on"] else "training"
        rows.add(what, row["batch"], NOT_ASKED, saved / MIB, NOT_ASKED, 1e3 * seconds, relative, links)
    for peak in timing["peaks"]:
        count: Value = NOT_RECORDED if peak["bytes"] is None else peak["bytes"] / MIB
        if peak["steps"] is None:
            expected: Value = (entry["activation_bytes"] * peak["batch"] + state["gradients"]) / MIB
            rows.add("training, peak", peak["batch"], NOT_ASKED, expected, count, NOT_ASKED, NOT_ASKED, links)
        else:
            rows.add("sampling, peak", peak["batch"], peak["steps"], NOT_ASKED, count, NOT_ASKED, NOT_ASKED, links)
    columns = headers(
        "What | Batch | Steps | Counted (MiB) | Peak measured (MiB) | Forward and backward (ms) | "
        "Time against none | From"
    )
    notes = (
        "Counted: activations saved for the backward pass; in the rows of peaks the gradients, too. Peak: memory above "
        f"the network's own weights ({timing['peak_method']}), in a process of its own; blocks too small for the "
        "system's notice do not show. Sampling needs the activations of one block at a time and "
        "x_t, whatever the number of steps.",
    )
    caption = f"Memory and time of {label}'s network, with and without activation checkpointing."
    return Table("memory", caption, columns, rows, notes=notes)


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


def _clocked(frames: Frames, clock: Timings) -> tuple[dict[str, Any], dict[str, Any], str, Links] | None:
    """What was timed of the measured run's network, what was counted of it, its label, and where the times are from."""
    timing = clock.cost
    if frames.cost is None or timing is None:
        return None
    name = timing["measured_run"]
    return timing, frames.cost["runs"][name], run_label(frames.loaded, name), clock.links([timing["file"]])


def _spread(record: dict[str, Any], scale: float = 1.0) -> Value:
    return Estimate(scale * record["median"], scale * record["low"], scale * record["high"])


KINDS = {
    "convolution": ("convolutions", BASELINE),
    "projection": ("linear layers of attention", VARIANTS[0]),
    "attention": ("products of attention", IMPROVED),
}


def resolution(frames: Frames) -> Table | None:
    """FLOPs of one image by kind and side, and the exponents of their growth."""
    if (found := _first(frames)) is None:
        return None
    name, by_side = found
    links = frames.pedigree.links([str(cost_file(frames.loaded.study.study))])
    rows = Rows()
    for side, flops in by_side.items():
        total = sum(flops.values())
        kinds, share = [flops[kind] / GFLOP for kind in KINDS], 100 * flops["attention"] / total
        rows.add(f"{side}×{side}", side * side, *kinds, total / GFLOP, share, links)
    low, high = min(by_side), max(by_side)
    first, last = by_side[low], by_side[high]
    pixels = (high / low) ** 2
    totals = (sum(first.values()), sum(last.values()))
    exponents = [_exponent(first[kind], last[kind], pixels) for kind in KINDS]
    rows.add("exponent p of pixelsᵖ", NOT_ASKED, *exponents, _exponent(*totals, pixels), NOT_ASKED, links)
    titles = [f"{title[0].upper()}{title[1:]} (GFLOP)" for title, _ in KINDS.values()]
    columns = headers("Images | Pixels", titles, "All (GFLOP) | Products of attention (% of all) | From")
    note = (
        "The same weights on larger images, attention at the same levels of the network. Cost grows as a power of the "
        "number of pixels between 1 and 2, not exponentially, and the number of steps is a factor of its own."
    )
    caption = f"Cost against resolution: one forward pass of {run_label(frames.loaded, name)}'s network."
    return Table("resolution", caption, columns, rows, notes=(note,))


def resolution_figure(frames: Frames) -> Picture | None:
    """FLOPs by kind against the side of the image, both axes logarithmic."""
    if (found := _first(frames)) is None:
        return None
    name, by_side = found
    figure, axes = plt.subplots(figsize=(0.62 * WIDTH, 3.8))
    for kind, (title, colour) in KINDS.items():
        values = [flops[kind] / GFLOP for flops in by_side.values()]
        if all(values):
            axes.plot(list(by_side), values, marker="o", color=colour, label=title)
    axes.set_yscale("log")
    log_steps(axes, list(by_side))
    plain_log(axes, "y")
    axes.set(xlabel="side of the image (pixels)", ylabel="GFLOP of one forward pass")
    axes.legend()
    caption = (
        f"FLOPs of one forward pass of {run_label(frames.loaded, name)}'s network on larger images: convolutions and "
        "linear layers in proportion to the pixels, the products of attention to their square."
    )
    alt = "Lines of FLOPs by kind of layer against image side, on logarithmic axes."
    return finish(figure, "resolution", caption, alt)


def _first(frames: Frames) -> tuple[str, dict[int, dict[str, int]]] | None:
    if frames.cost is None:
        return None
    name, entry = next(iter(frames.cost["runs"].items()))
    sides = sorted(map(int, entry["flops_by_resolution"]))
    return name, {side: entry["flops_by_resolution"][str(side)] for side in sides}


def _exponent(first: float, last: float, pixels: float) -> Value:
    return math.log(last / first) / math.log(pixels) if first and last else NOT_ASKED


def chapter(material: Material) -> Chapter | None:
    """What is counted of the networks."""
    frames = material.frames
    parts = (configurations(frames), resolution(frames), resolution_figure(frames))
    convention = "" if frames.cost is None else str(frames.cost["convention"])
    return chapter_of("cost", "Cost of the networks", convention, *parts)


def timings(material: Material, clock: Timings) -> Chapter | None:
    """The cost model against the clock, and what was measured of passes and memory."""
    frames = material.frames
    parts = (model(frames, clock), latency(frames, clock), batches(frames, clock), checkpointing(frames, clock))
    return chapter_of("cost-model", "The cost model against the clock", words(frames), *parts)
