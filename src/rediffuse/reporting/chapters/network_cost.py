"""What the networks cost, counted: parameters, FLOPs and memory, and what the documents say of them."""

import math
from collections.abc import Iterator
from typing import Any

import matplotlib.pyplot as plt

from rediffuse.cost.gains import LIGHTER
from rediffuse.reporting.experiments.material import Material
from rediffuse.reporting.read.frames import Frames, cost_file
from rediffuse.reporting.render.blocks import Bullets, Chapter, Item, chapter_of
from rediffuse.reporting.render.picture import WIDTH, Picture, finish, log_steps, plain_log
from rediffuse.reporting.render.table import Rows, Table, headers
from rediffuse.reporting.terms import BASELINE, IMPROVED, VARIANTS, run_label
from rediffuse.reporting.values import NOT_ASKED, Value, listed, number

GFLOP, MIB = 1e9, 2**20
#: Images of a training batch for which memory is stated: what document D0 fell back to when 128 did not fit.
TRAINED = 32
#: What D0, section 4.2.2, hopes that depthwise-separable blocks save, in per cent.
HOPED_PARAMETERS, HOPED_MEMORY = 80, 60
#: Parameters as D4, exercise 3.6.1, prints them.
PRINTED = {"d4-tiny": 461_729, "d4-light": 3_652_481, "d4-base": 35_742_785, "d4-large": 142_836_097}

Entry = dict[str, Any]


def memory(entry: Entry) -> tuple[float, float]:
    """Bytes of training on `TRAINED` images, and of sampling one, by the cost model."""
    state = entry["state_bytes"]
    training = sum(state.values()) + TRAINED * entry["activation_bytes"]
    return training, state["parameters"] + entry["sampling_bytes"]


def configurations(frames: Frames) -> Table | None:
    """Parameters, FLOPs and bytes of the runs' networks, of smaller ones, and of networks of the literature."""
    if frames.cost is None:
        return None
    links = frames.pedigree.links([str(cost_file(frames.loaded.study.study))])
    rows = Rows()
    first = run_label(frames.loaded, frames.cost["first"])
    named = [(run_label(frames.loaded, name), entry) for name, entry in frames.cost["runs"].items()]
    named += [(f"{first} with {what}", entry) for what, entry in frames.cost["smaller"].items()]
    presets = sorted(frames.cost["presets"].items(), key=lambda preset: preset[1]["parameters"])
    for name, entry in [*named, *((f"preset {name}", entry) for name, entry in presets)]:
        flops, side = entry["flops"], entry["config"]["image_size"]
        total = sum(flops.values())
        shares = [100 * part / total for part in (flops["projection"] + flops["attention"], flops["attention"])]
        held = (entry["activation_bytes"], entry["checkpointed_bytes"], entry["state_bytes"]["parameters"])
        sizes = (count / MIB for count in (*held, *memory(entry)))
        rows.add(name, f"{side}×{side}", entry["parameters"], total / GFLOP, *shares, *sizes, links)
    columns = headers(
        "Network | Images | Parameters | Forward pass (GFLOP/image) | Attention layers (% of it) | "
        "Products QKᵀ and AV (% of it) | Activations saved (MiB/image) | With checkpointing (MiB/image) | "
        f"Weights (MiB) | Training on {TRAINED} images (MiB) | Sampling one image (MiB) | From"
    )
    note = (
        "Training: five float32 numbers a parameter and the activations of all images, without checkpointing. "
        "Sampling: the weights and what one forward pass holds at once, whatever the number of steps. Checkpointing "
        "keeps the inputs of each block and computes the rest again in the backward pass."
    )
    return Table("configurations", "What the networks hold and compute.", columns, rows, notes=(note,))


def light(frames: Frames) -> Item:
    """Whether lighter blocks save what D0 hopes, for the network of Ho et al. and for the study's own."""
    if frames.cost is None:
        return None
    sentences = [_saving(*pair) for pair in _pairs(frames, frames.cost)]
    if not sentences:
        return None
    return Bullets(
        (
            f"D0 (section 4.2.2) hopes that depthwise-separable blocks save {HOPED_PARAMETERS} % of the parameters and "
            f"{HOPED_MEMORY} % of the memory.",
            *sentences,
        )
    )


def _pairs(frames: Frames, cost: Entry) -> Iterator[tuple[str, Entry, str, Entry]]:
    """(name, network, name, lighter one)."""
    presets, smaller = cost["presets"], cost["smaller"]
    for name in ("light-cifar10", "light-se-cifar10"):
        if {name, "base"} <= set(presets):
            yield "the CIFAR-10 network of Ho et al. (base)", presets["base"], name, presets[name]
    if LIGHTER in smaller:
        first = cost["first"]
        yield run_label(frames.loaded, first), cost["runs"][first], "its own network with such blocks", smaller[LIGHTER]


def _saving(name: str, whole_one: Entry, lighter: str, entry: Entry) -> str:
    before, after = (whole_one["parameters"], *memory(whole_one)), (entry["parameters"], *memory(entry))
    saved = [100 * (1 - b / a) for a, b in zip(before, after, strict=True)]
    hoped = (HOPED_PARAMETERS, HOPED_MEMORY, HOPED_MEMORY)
    of = ("parameters", f"memory of training on {TRAINED} images", "memory of sampling one image")
    parts = [
        f"{'saves' if share >= 0 else 'adds'} {number(abs(share), 3)} % of the {what} "
        f"({'holds' if share >= hope else 'does not hold'})"
        for share, hope, what in zip(saved, hoped, of, strict=True)
    ]
    activations = [number(one["activation_bytes"] / MIB, 3) for one in (whole_one, entry)]
    return (
        f"Beside {name}, {lighter} {listed(parts)}; each image keeps {activations[1]} MiB of activations in "
        f"training instead of {activations[0]}."
    )


def printed(frames: Frames) -> Table | None:
    """Parameters as D4 prints them beside those of its networks as they are read here."""
    presets = {} if frames.cost is None else frames.cost["presets"]
    if not set(PRINTED) <= set(presets):
        return None
    links = frames.pedigree.links([str(cost_file(frames.loaded.study.study))])
    rows = Rows()
    for name, quoted in PRINTED.items():
        config, count = presets[name]["config"], presets[name]["parameters"]
        # On the way up a transposed 4×4 convolution has 16c² weights, where a 3×3 one has 9c².
        wider = count + 7 * sum((config["channels"] * m) ** 2 for m in config["multipliers"][1:])
        multipliers = ", ".join(map(str, config["multipliers"]))
        ratios = (quoted / count, quoted / wider)
        rows.add(name, f"{config['channels']} × ({multipliers})", quoted, count, wider, *ratios, links)
    columns = headers(
        "Preset | Channels | Parameters as printed there | Parameters here | With transposed 4×4 convolutions | "
        "Printed / here | Printed / with those | From"
    )
    note = (
        "Quoted from D4, exercise 3.6.1: grey digits, two blocks a scale, no attention, 28×28 there and padded to "
        "32×32 here. Here: its widths and groups of 8 with the blocks, skips and changes of resolution of Ho et al.; "
        "its own code doubles by transposed convolutions. Neither reading gives the printed numbers."
    )
    return Table(
        "d4-sizes", "Document D4's four networks: parameters as printed and as counted.", columns, rows, (note,)
    )


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
    name = frames.cost["first"]
    entry = frames.cost["runs"][name]
    sides = sorted(map(int, entry["flops_by_resolution"]))
    return name, {side: entry["flops_by_resolution"][str(side)] for side in sides}


def _exponent(first: float, last: float, pixels: float) -> Value:
    return math.log(last / first) / math.log(pixels) if first and last else NOT_ASKED


def chapter(material: Material) -> Chapter | None:
    """What is counted of the networks."""
    frames = material.frames
    parts = (light(frames), configurations(frames), printed(frames), resolution(frames), resolution_figure(frames))
    convention = "" if frames.cost is None else str(frames.cost["convention"])
    return chapter_of("cost", "Cost of the networks", convention, *parts)
