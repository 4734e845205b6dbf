"""The part of docs/scale.md that holds the cost model against what was measured."""

import statistics
from collections.abc import Iterator
from typing import Any

from scale_text import WAYS, found, measured, paragraph, table


def known(costs: dict[str, Any]) -> Iterator[str]:
    """The model against what is known."""
    gpu, ho, assumed = found("gpu"), costs["ho"], costs["assumed"]
    yield "\n## Against what is known\n\n"
    images, seconds = ho["sampled"]
    network = costs["sizes"][0]
    yield (
        f"**Ho et al. 2020**, appendix B: {ho['steps a second']} steps of {ho['batch']} images a second, "
        f"and {images} samples "
        f"in {ho['T']:,} steps in {seconds} s, on a TPU v3-8.\nBy our F = {network['flops'] / 1e9:.2f} GFLOP and κ = "
        f"{assumed['κ']:.0f} (assumed) that is {ho['training'] / 1e12:.0f} TFLOP/s in training, "
        f"{ho['share in training']:.0%} of its peak of {assumed['TPU peak'] / 1e12:.0f} in bfloat16, and\n"
        f"{ho['sampling'] / 1e12:.0f}, {ho['share in sampling']:.0%}, in sampling. "
        "Both are below one and of the usual size: the count fits the paper's clock.\n"
    )
    yield (
        "\n**An H100**, passes alone, bfloat16 under autocast, channels last, deterministic; "
        "a matrix product of 8192×8192 "
        f"reaches\n{gpu['matrix rate'] / 1e12:.0f} TFLOP/s of the {assumed['peak'] / 1e12:.0f} of its data sheet. "
        "Training: forward and backward pass; the peak of memory holds neither\noptimiser nor average.\n"
    )
    rows = []
    for way in ("eager", "compiled"):
        for size in costs["sizes"]:
            name, flops = size["network"], size["flops"]
            if (one := gpu[way].get(name)) is None:
                continue
            t, s = one["training"], one["sampling"]
            both = t["forward"]["median"] + t["backward"]["median"]
            kappa, k = 1 + t["kappa"]["median"], t["kappa"]
            rows.append(
                [
                    f"`{name}`",
                    WAYS[way].split(", ")[1],
                    f"{t['batch'] / both:,.0f}",
                    f"{t['batch'] * kappa * flops / both / assumed['peak']:.1%}",
                    f"{k['median']:.2f} ({k['low']:.2f}–{k['high']:.2f})",
                    f"{one['peak bytes'] / 2**30:.1f}",
                    f"{s['batch'] / s['forward']['median']:,.0f}",
                    f"{s['batch'] * flops / s['forward']['median'] / assumed['peak']:.1%}",
                ]
            )
    repeats = {one["training"]["kappa"]["repeats"] for way in ("eager", "compiled") for one in gpu[way].values()}
    yield table(
        ["network", "", "training, images/s", "of the peak", "κ", "GiB", "evaluations/s", "of the peak"],
        rows,
    )
    yield (
        f"\nMedians of {max(repeats)} passes, quartiles in brackets. "
        "Only the first network was compiled in the time there was. "
        "Not run on\nseveral GPUs.\n"
    )
    yield measured(gpu["about"])
    yield from whole_steps()
    yield (
        "\n**The runs there are**, on two CPU cores: seconds of whole trainings and samplings "
        "over those that the model predicts\n"
        "from the passes of the same report (median, quartiles in brackets).\n"
    )

    def ratio(one: dict[str, float]) -> str:
        return f"{one['median']:.2f} ({one['low']:.2f}–{one['high']:.2f}), n = {one['n']}"

    yield table(
        ["report", "training", "sampling", "κ", "rate measured, hours after the trainings"],
        (
            [
                f"[{name}](../reports/{name}/timings.md)",
                ratio(one["training"]),
                ratio(one["sampling"]),
                "–".join(f"{k:.2f}" for k in (min(one["κ"]), max(one["κ"]))),
                f"{one['hours apart']:+.1f}",
            ]
            for name, one in costs["reports"].items()
        ),
    )
    yield (
        "\nThe n are of few trainings on one machine that other work shared, and no independent draws. "
        "Where the rate was taken\n"
        "hours from the runs, under another load, the ratio says how loaded the machine was, "
        "and nothing of the model.\n"
    )


def whole_steps() -> Iterator[str]:
    """What whole steps take on a GPU, and four trainings side by side."""
    steps, together = found("gpu-steps"), found("gpu-together")
    network = steps["networks"]["quarter"]
    of = {
        "training": network["eager"]["training"]["replayed"]["step"]["repeats"],
        "sampling": network["eager"]["sampling"]["free"]["repeats"],
    }
    yield paragraph(
        "**Whole steps on an H100**, of the network of studies/cifar10-jpeg.yaml (a quarter of Ho et al.'s), as",
        "a study has them: batch, noise, loss, gradient, Adam and average. A training step is recorded once as a CUDA",
        "graph and replayed, with the same bytes (tests/training/test_replay.py holds that on a GPU); “one by one” is",
        "the same step without it.",
        f"Sampling: a step of ancestral sampling of {steps['images']} images. Milliseconds, medians of",
        f"{of['training']} rounds in training and {of['sampling']} in sampling, quartiles in brackets.",
    )

    def ms(one: dict[str, float]) -> str:
        return f"{1000 * one['median']:.1f} ({1000 * one['low']:.1f}–{1000 * one['high']:.1f})"

    rows = []
    for way, name in (("eager", "as written"), ("compiled", "compiled")):
        one = network[way]
        replayed = one["training"]["replayed"]["step"]
        rows.append(
            [
                name,
                ms(one["training"]["one by one"]["step"]),
                ms(replayed),
                f"{steps['batch'] / replayed['median']:,.0f}",
                ms(one["sampling"]["counted"]),
                ms(one["sampling"]["free"]),
            ]
        )
    yield table(["", "training, one by one", "replayed", "images/s", "sampling", "without its noise"], rows)
    before, after = (network["compiled"]["training"][way]["step"]["median"] for way in ("one by one", "replayed"))
    noise = network["compiled"]["sampling"]
    share = 1 - noise["free"]["median"] / noise["counted"]["median"]
    rate, count = statistics.median(together["images_per_second"]), together["at once"]
    yield paragraph(
        f"Replaying makes the compiled step {before / after:.1f} times as fast: it had waited for the processor.",
        f"Counted noise took {share:.0%} of a compiled sampling step; where the study compiles, one compiled kernel",
        f"makes it since (its speed was not measured). {count} trainings of that network side by side on the one GPU,",
        f"by the pipeline: {rate:,.0f} images/s each, {count * rate:,.0f} together. Their first 50 steps took",
        f"{together['first 50 steps']:.0f} s, most of it torch.compile in all of them at once. Not measured: a",
        "replayed step of Ho et al.'s own network, and sampling and scoring by the pipeline.",
    )
    yield measured(steps["about"])
    yield measured(together["about"])
