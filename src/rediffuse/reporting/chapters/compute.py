"""What the networks cost: exact counts, and the cost model beside what was measured."""

from collections.abc import Iterable
from typing import Any

from rediffuse.config import ResolvedRun
from rediffuse.cost.model import CostModel
from rediffuse.reporting.chapters.tables import FROM
from rediffuse.reporting.chapters.tables_cost import TIMING_NOTE, of_run
from rediffuse.reporting.experiments.cells import optional
from rediffuse.reporting.read.frames import Frames
from rediffuse.reporting.render.table import Column, Estimate, Links, Table, Value
from rediffuse.reporting.render.terms import NOT_ASKED, NOT_RECORDED, run_label
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
        f"{frames.cost['convention']} The cost model: training ≈ N · B · (1 + κ) · F / rate and sampling ≈ S · B · F / "
        "rate, for N steps of B images, S evaluations of the network, F FLOPs of one image and a backward pass that "
        "takes κ forward passes."
    )


def configurations(frames: Frames) -> Table | None:
    """Parameters, FLOPs and bytes of the runs' networks and of one design in several sizes."""
    if frames.cost is None:
        return None
    links = _links(frames, [str(frames.plan.find("cost").outputs[0])])
    rows: list[tuple[Value, ...]] = []
    named = [(run_label(frames.loaded, name), entry) for name, entry in frames.cost["runs"].items()]
    presets = sorted(frames.cost["presets"].items(), key=lambda preset: preset[1]["parameters"])
    for name, entry in [*named, *((f"preset {name}", entry) for name, entry in presets)]:
        flops, state, side = entry["flops"], entry["state_bytes"], entry["config"]["image_size"]
        total = sum(flops.values())
        attention = flops["projection"] + flops["attention"]
        rows.append((
            name, f"{side}×{side}", entry["parameters"], total / GFLOP, 100 * attention / total,
            100 * flops["attention"] / total, entry["activation_bytes"] / MIB, entry["checkpointed_bytes"] / MIB,
            sum(state.values()) / MIB, state["parameters"] / MIB, links,
        ))  # fmt: skip
    columns = (Column("Network"), Column("Images"), Column("Parameters"), Column("Forward pass", "GFLOP/image"),
               Column("Attention layers", "% of it"), Column("Products QKᵀ and AV", "% of it"),
               Column("Activations saved", "MiB/image"), Column("With checkpointing", "MiB/image"),
               Column("State in training", "MiB"), Column("in sampling", "MiB"), FROM)  # fmt: skip
    note = (
        "State in training: weights, gradients, Adam's two moments and the average of the weights, float32. "
        "Checkpointing keeps the inputs of each block and computes the rest again in the backward pass."
    )
    return Table("configurations", "What the networks hold and compute.", columns, tuple(rows), notes=(note,))


def cost_model(frames: Frames, run: ResolvedRun) -> CostModel | None:
    """The cost model of a run from the passes that were measured; None when they were not."""
    if frames.cost is None or frames.cost_timing is None or run.name not in frames.cost_timing["runs"]:
        return None
    measured = frames.cost_timing["runs"][run.name]
    training, sampling = measured["training"], measured["sampling"]
    return CostModel.measured(
        sum(frames.cost["runs"][run.name]["flops"].values()),
        training["kappa"]["median"],
        (training["batch"], training["forward"]["median"]),
        (sampling["batch"], sampling["forward"]["median"]),
    )


def model(frames: Frames) -> Table | None:
    """Predicted and measured seconds of every training and every sampling."""
    if frames.cost is None:
        return None
    rows: list[tuple[Value, ...]] = []
    for run in facts.diffusion_runs(frames.loaded).values():
        fitted = cost_model(frames, run)
        timing = None if frames.cost_timing is None else frames.cost_timing["runs"].get(run.name)
        kappa = NOT_RECORDED if timing is None else _spread(timing["training"]["kappa"])
        for seed in run.seeds:
            t = run.training
            trained = of_run(frames.training, run, seed)
            measured = optional(trained.iloc[0]["seconds"]) if len(trained) else None
            # The backward pass that was timed made the checkpointed forward pass again: κ holds it.
            predicted = None if fitted is None else fitted.training_seconds(t.steps, t.batch_size)
            rows.append((run.label, seed, "training", t.steps, t.batch_size, kappa,
                         *_against(frames, None if fitted is None else fitted.training_rate, predicted, measured, trained["file"])))  # fmt: skip
            timed = of_run(frames.sampling, run, seed).set_index("setting")
            for setting, key, _ in facts.settings(run):
                if setting not in timed.index:
                    continue
                row = timed.loc[setting]
                passes, images = int(row["nfe"]) * (2 if _guided(run, key) else 1), int(row["images"])
                measured, predicted = (
                    optional(row["seconds"]),
                    None if fitted is None else fitted.sampling_seconds(passes, images),
                )
                rows.append((run.label, seed, setting, passes, images, NOT_ASKED,
                             *_against(frames, None if fitted is None else fitted.sampling_rate, predicted, measured, [row["file"]])))  # fmt: skip
    columns = (Column("Run"), Column("Seed"), Column("What"), Column("N or S"), Column("B"), Column("κ"),
               Column("Rate", "GFLOP/s"), Column("Predicted", "s"), Column("Measured", "s"),
               Column("Measured / predicted"), FROM)  # fmt: skip
    notes = (
        "N: optimiser steps of B images; S: evaluations of the network for each of B images, two a step under guidance. "
        "κ: median of the backward pass's time over the forward pass's, with its quartiles. What the ratio exceeds 1 by "
        "is what the network's passes leave out: noise, loss, optimiser, average of the weights, the samplers' own "
        "arithmetic, and whatever else the machine did.",
        TIMING_NOTE,
    )
    return Table("cost-model", "The cost model against the clock.", columns, tuple(rows), notes=notes, folded=True)


def latency(frames: Frames) -> Table | None:
    """Seconds an image takes at the customary numbers of steps, measured where the study has them."""
    if frames.cost is None:
        return None
    rows: list[tuple[Value, ...]] = []
    for run in facts.diffusion_runs(frames.loaded).values():
        fitted, seed = cost_model(frames, run), run.seeds[0]
        timed = of_run(frames.sampling, run, seed).set_index("setting")
        for steps in STEPS:
            found = next((f"{s}-{steps}" for s in PLAIN if f"{s}-{steps}" in timed.index and not _guided(run, s)), None)
            if found is not None:
                row = timed.loc[found]
                images = int(row["batch_size"])
                per_step, per_image = float(row["ms_per_step"]), float(row["ms_per_image"])
                how, links = f"measured, {found}", _links(frames, [row["file"]])
            elif fitted is not None:
                images = min(run.sampling.batch_size, run.sampling.images)
                per_step = 1e3 * fitted.sampling_seconds(1, images)
                per_image = per_step * steps / images
                how, links = "predicted", _links(frames, [frames.cost_timing["file"]] if frames.cost_timing else [])
            else:
                rows.append((run.label, steps, *[NOT_RECORDED] * 5, Links(())))
                continue
            rows.append((run.label, steps, how, images, per_step, per_step * steps / 1e3, per_image / 1e3, links))
    columns = (Column("Run"), Column("Steps"), Column("How"), Column("Batch"), Column("One step", "ms"),
               Column("One batch", "s"), Column("One image", "s"), FROM)  # fmt: skip
    note = (
        "One image: the batch's time divided by its images, not what a single image by itself would take (batch 1 of the "
        "next table). Predicted: by the cost model, the network alone."
    )
    return Table(
        "latency", "How long sampling takes by number of steps.", columns, tuple(rows), notes=(note, TIMING_NOTE)
    )


def batches(frames: Frames) -> Table | None:
    """Forward passes of the first run's network by batch size and by resolution."""
    if (clocked := _clocked(frames)) is None:
        return None
    timing, entry, label, links = clocked
    own = entry["config"]["image_size"]
    rows: list[tuple[Value, ...]] = []
    for row in [*({**row, "side": own} for row in timing["batches"]), *timing["resolutions"]]:
        flops = sum(entry["flops_by_resolution"][str(row["side"])].values())
        forward, batch = row["forward"], row["batch"]
        rows.append((f"{row['side']}×{row['side']}", batch, _spread(forward, 1e3), 1e3 * forward["median"] / batch,
                     batch / forward["median"], batch * flops / forward["median"] / GFLOP, links))  # fmt: skip
    columns = (Column("Images"), Column("Batch"), Column("Forward pass", "ms"), Column("One image", "ms"),
               Column("Throughput", "images/s"), Column("Rate", "GFLOP/s"), FROM)  # fmt: skip
    what = f"Forward passes of {label}'s network without gradients, by batch and by resolution."
    return Table("throughput", what, columns, tuple(rows), notes=("Medians, with quartiles in brackets.", TIMING_NOTE))


def checkpointing(frames: Frames) -> Table | None:
    """Memory against time, with and without activation checkpointing; and peak memory as measured."""
    if (clocked := _clocked(frames)) is None:
        return None
    timing, entry, label, links = clocked
    state = entry["state_bytes"]
    base = timing["checkpointing"][0]
    rows: list[tuple[Value, ...]] = []
    for row in timing["checkpointing"]:
        saved = entry["checkpointed_bytes" if row["on"] else "activation_bytes"] * row["batch"]
        seconds = row["forward"]["median"] + row["backward"]["median"]
        relative = seconds / (base["forward"]["median"] + base["backward"]["median"])
        what = "training, checkpointing" if row["on"] else "training"
        rows.append((what, row["batch"], NOT_ASKED, saved / MIB, NOT_ASKED, 1e3 * seconds, relative, links))
    for peak in timing["peaks"]:
        count: Value = NOT_RECORDED if peak["bytes"] is None else peak["bytes"] / MIB
        if peak["steps"] is None:
            expected: Value = (entry["activation_bytes"] * peak["batch"] + state["gradients"]) / MIB
            rows.append(("training, peak", peak["batch"], NOT_ASKED, expected, count, NOT_ASKED, NOT_ASKED, links))
        else:
            rows.append(("sampling, peak", peak["batch"], peak["steps"], NOT_ASKED, count, NOT_ASKED, NOT_ASKED, links))
    columns = (Column("What"), Column("Batch"), Column("Steps"), Column("Counted", "MiB"), Column("Peak measured", "MiB"),
               Column("Forward and backward", "ms"), Column("Time against none"), FROM)  # fmt: skip
    notes = (
        "Counted: activations saved for the backward pass; in the rows of peaks the gradients, too. Peak: memory above "
        f"the network's own weights ({timing['peak_method']}), in a process of its own; blocks too small for the "
        "system's notice do not show. Sampling needs the activations of one block at a time and "
        "x_t, whatever the number of steps.",
        TIMING_NOTE,
    )
    return Table(
        "memory", f"Memory and time of {label}'s network, with and without activation checkpointing.",
        columns, tuple(rows), notes=notes,
    )  # fmt: skip


def _guided(run: ResolvedRun, key: str) -> bool:
    sampler = run.sampling.samplers.get(key)
    return sampler is not None and facts.is_conditional(run) and sampler.guidance not in (None, 0, 1)


def _against(
    frames: Frames, rate: float | None, predicted: float | None, measured: float | None, files: Iterable[str]
) -> tuple[Value, ...]:
    """The rate in GFLOP/s, predicted and measured seconds, their ratio, and where they are from."""
    ratio = None if predicted is None or measured is None else measured / predicted
    numbers = (None if rate is None else rate / GFLOP, predicted, measured, ratio)
    return *(NOT_RECORDED if number is None else number for number in numbers), _links(frames, files)


def _clocked(frames: Frames) -> tuple[dict[str, Any], dict[str, Any], str, Links] | None:
    """What was timed of the measured run's network, what was counted of it, its label, and where the times are from."""
    timing = frames.cost_timing
    if frames.cost is None or timing is None:
        return None
    name = timing["measured_run"]
    return timing, frames.cost["runs"][name], run_label(frames.loaded, name), _links(frames, [timing["file"]])


def _spread(record: dict[str, Any], scale: float = 1.0) -> Value:
    return Estimate(scale * record["median"], scale * record["low"], scale * record["high"])


def _links(frames: Frames, files: Iterable[str]) -> Links:
    return Links(frames.pedigree.ids(files))
