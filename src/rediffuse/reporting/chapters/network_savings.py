"""What saves time and memory on this machine: precision, compiling, smaller networks, checkpointing;
and where time goes.
"""

from rediffuse.reporting.chapters.network_cost import MIB
from rediffuse.reporting.chapters.network_times import as_written, clocked, spread
from rediffuse.reporting.experiments.material import Material
from rediffuse.reporting.read.frames import Frames
from rediffuse.reporting.read.timings import Timings
from rediffuse.reporting.render.blocks import Chapter, chapter_of
from rediffuse.reporting.render.table import Rows, Table, headers
from rediffuse.reporting.terms import run_label
from rediffuse.reporting.values import NOT_ASKED, NOT_RECORDED, Value, listed, number


def checkpointing(frames: Frames, clock: Timings) -> Table | None:
    """Memory against time of every run, with and without activation checkpointing."""
    if frames.cost is None or clock.cost is None:
        return None
    links = clock.links([clock.cost["file"]])
    rows = Rows()
    for name, measured in clock.cost["runs"].items():
        entry = frames.cost["runs"][name]
        plain, kept = measured["checkpointing"]
        seconds = [row["forward"]["median"] + row["backward"]["median"] for row in (plain, kept)]
        held = [
            entry[key] * row["batch"] / MIB for key, row in (("activation_bytes", plain), ("checkpointed_bytes", kept))
        ]
        kappas = [spread(row["kappa"]) for row in (plain, kept)]
        times = [1e3 * one for one in seconds]
        saved, longer = 100 * (1 - held[1] / held[0]), 100 * (seconds[1] / seconds[0] - 1)
        rows.add(run_label(frames.loaded, name), plain["batch"], *held, saved, *kappas, *times, longer, links)
    columns = headers(
        "Run | Batch | Activations (MiB) | checkpointed (MiB) | Memory saved (%) | κ | κ checkpointed | "
        "Forward and backward (ms) | checkpointed (ms) | More time (%) | From"
    )
    note = (
        "Activations are counted, times and κ measured: medians, κ with quartiles. A checkpointed backward pass "
        "computes the forward pass of each block once more."
    )
    notes = (note, *as_written(frames))
    return Table("checkpointing", "Activation checkpointing: memory against time.", columns, rows, notes=notes)


def peaks(frames: Frames, clock: Timings) -> Table | None:
    """Memory that training and sampling took at most, beside what is counted."""
    if (found := clocked(frames, clock)) is None:
        return None
    timing, entry, label, links = found
    gradients = entry["state_bytes"]["gradients"]
    rows = Rows()
    for peak in timing["peaks"]:
        count: Value = NOT_RECORDED if peak["bytes"] is None else peak["bytes"] / MIB
        training = peak["steps"] is None
        expected = peak["batch"] * entry["activation_bytes" if training else "sampling_bytes"] + training * gradients
        steps: Value = NOT_ASKED if training else peak["steps"]
        rows.add("training" if training else "sampling", peak["batch"], steps, expected / MIB, count, links)
    columns = headers("What | Batch | Steps | Counted (MiB) | Peak measured (MiB) | From")
    note = (
        "Above the network's own weights. Counted: activations and gradients in training, the largest sum of tensors "
        f"at one moment of a forward pass in sampling. Measured ({timing['peak_method']}) in a process of its own, "
        "with the operators' scratch memory; blocks too small for the system's notice do not show. Sampling takes "
        "memory by the batch, and no more for more steps."
    )
    notes = (note, *as_written(frames))
    return Table("memory", f"Memory of {label}'s network: counted, and at its peak.", columns, rows, notes=notes)


def gains(frames: Frames, clock: Timings) -> tuple[str, Table] | tuple[()]:
    """What precision, memory order, compiling, batches and smaller networks buy, in words and as a table."""
    if (found := clocked(frames, clock)) is None:
        return ()
    timing, _, label, links = found
    rows = Rows()
    told: dict[str, list[str]] = {"faster": [], "slower": [], "not told apart": []}
    for gain in timing["gains"]:
        training = NOT_ASKED if gain["training"] is None else spread(gain["training"])
        sampling = gain["sampling"]
        rows.add(gain["what"], training, spread(sampling), sampling["repeats"], links)
        verdict = "faster" if sampling["low"] > 1 else "slower" if sampling["high"] < 1 else "not told apart"
        told[verdict].append(f"{gain['what']} ({number(sampling['median'], 3)} times as fast)")
    rows += [(what, "left out", why, NOT_ASKED, links) for what, why in timing["left_out"].items()]
    said = "; ".join(f"{verdict}: {listed(names)}" for verdict, names in told.items() if names)
    n = min((gain["sampling"]["repeats"] for gain in timing["gains"]), default=0)
    note = (
        f"Each of n rounds times {label}'s network as the study runs it and with one change; what stands here is the "
        "median of the rounds' ratios and, in brackets, the smallest and the largest, which hold the true median with "
        f"{number(100 * (1 - 2.0 ** (1 - n)), 3)} % confidence where rounds are independent. Above 1 is a gain; its "
        "price in quality is in the experiments."
    )
    columns = headers("Change | Training (times as fast) | Sampling (times as fast) | n | From")
    caption = f"What each change buys: speed against {label} as it is."
    notes = (note, *as_written(frames, "The row of images at once"))
    return f"Sampling {said}.", Table("gains", caption, columns, rows, notes=notes)


def operators(frames: Frames, clock: Timings) -> Table | None:
    """torch's profile by operator."""
    if (found := clocked(frames, clock)) is None:
        return None
    timing, _, label, links = found
    titles = {"forward": "forward pass without gradients", "training": "training step"}
    rows = Rows()
    for key, what in titles.items():
        for one in timing["operators"][key]:
            rows.add(what, one["operator"], 100 * one["share"], one["calls"], links)
    columns = headers("Work | `Operator` | Time inside it (% of the work) | Calls | From")
    note = (
        "Training step: forward pass, backward pass and Adam. Time inside an operator itself, without those it calls, "
        "as torch's profiler has it, which slows small operators more than large ones."
    )
    notes = (note, *as_written(frames))
    return Table("operators", f"Where the time of {label}'s network goes.", columns, rows, notes=notes, folded=True)


def timings(material: Material, clock: Timings) -> Chapter | None:
    """What each change buys, and what it costs."""
    frames = material.frames
    parts = (*gains(frames, clock), operators(frames, clock), checkpointing(frames, clock), peaks(frames, clock))
    return chapter_of("savings", "What saves time and memory", *parts)
