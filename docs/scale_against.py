"""The part of docs/scale.md that holds the cost model against what was measured."""

import statistics
from collections.abc import Iterator
from typing import Any

from scale_text import WAYS, found, measured, paragraph, table

#: Networks of which whole steps were timed, by the names of `benchmarks.scale.gpu_steps`.
NETWORKS = {
    "quarter": "a quarter of Ho et al.'s (studies/cifar10-jpeg.yaml)",
    "ho-cifar10": "Ho et al.'s own",
}


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
    """What whole steps take on a GPU, and trainings side by side."""
    steps, together = {name: found(f"gpu-steps-{name}") for name in NETWORKS}, found("gpu-together")
    first = steps["quarter"]
    of = {
        "training": first["ways"]["compiled"]["training"]["replayed"]["step"]["repeats"],
        "sampling": first["ways"]["compiled"]["sampling"]["free"]["repeats"],
    }
    yield paragraph(
        "**Whole steps on a GPU**, as a study has them: batch, noise, loss, gradient, Adam and average. A training",
        "step is recorded once as a CUDA graph and replayed, with the same bytes (tests/training/test_replay.py holds",
        "that on a GPU); “one by one” is the same step without it.",
        f"Sampling: a step of ancestral sampling of {first['images']} images, with its noise made by torch's",
        "operations, by one compiled kernel (as a study that compiles has it), and with noise that costs nothing.",
        f"Milliseconds, medians of {of['training']} rounds in training and {of['sampling']} in sampling, quartiles in",
        "brackets.",
    )

    def ms(one: dict[str, float] | None) -> str:
        return "—" if one is None else f"{1000 * one['median']:.1f} ({1000 * one['low']:.1f}–{1000 * one['high']:.1f})"

    rows = []
    for name, title in NETWORKS.items():
        for way, how in (("eager", "as written"), ("compiled", "compiled")):
            if (one := steps[name]["ways"].get(way)) is None:
                continue
            replayed, sampling = one["training"]["replayed"]["step"], one["sampling"]
            drawn = sampling.get("compiled", sampling["counted"])["median"]
            rows.append(
                [
                    f"{title}, {how}",
                    ms(one["training"]["one by one"]["step"]),
                    ms(replayed),
                    f"{steps[name]['batch'] / replayed['median']:,.0f}",
                    *(ms(sampling.get(kind)) for kind in ("counted", "compiled", "free")),
                    f"{steps[name]['images'] / drawn:,.0f}",
                ]
            )
    header = ["network", "training, one by one", "replayed", "images/s"]
    yield table([*header, "sampling", "its noise compiled", "without its noise", "evaluations/s"], rows)
    before, after = (first["ways"]["compiled"]["training"][way]["step"]["median"] for way in ("one by one", "replayed"))
    rate, count = statistics.median(together["images_per_second"]), together["at once"]
    yield paragraph(
        f"Replaying makes the compiled step of the quarter {before / after:.1f} times as fast: it had waited for the",
        f"processor. {count} trainings of it side by side on the one GPU, by the pipeline: {rate:,.0f} images/s each,",
        f"{count * rate:,.0f} together. Their first 50 steps took {together['first 50 steps']:.0f} s, most of it",
        "torch.compile in all of them at once.",
    )
    for name in NETWORKS:
        yield measured(steps[name]["about"])
    yield measured(together["about"])
