"""The part of docs/scale.md that holds the cost model against what was measured."""

import csv
import datetime
import json
import statistics
from collections.abc import Iterator
from typing import Any

from scale_text import RESULTS, WAYS, found, measured, paragraph, table

REPORTS = RESULTS.parents[2] / "reports"

#: Networks of which whole steps were timed, by the names of `benchmarks.scale.gpu_steps`.
NETWORKS = {
    "quarter": "a quarter of Ho et al.'s (studies/cifar10-jpeg.yaml)",
    "ho-cifar10": "Ho et al.'s own network",
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
    yield from whole_study()
    yield paragraph(
        "**The runs there are**, on two CPU cores, and of cifar10-jpeg on a GPU: seconds of whole trainings and",
        "samplings over those that the model predicts from the passes of the same report (median, quartiles in",
        "brackets).",
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
    yield paragraph(
        "The n are of few trainings on one machine that other work shared, and no independent draws. Where the rate",
        "was taken hours from the runs, under another load, the ratio says how loaded the machine was, and nothing of",
        "the model. On the GPU several jobs shared it, their first steps and settings hold torch.compile, and the",
        "passes were launched one by one, which a recorded training step is not: three reasons, and the ratio does not",
        "say how much each of them is.",
    )


def whole_steps() -> Iterator[str]:
    """What whole steps take on a GPU, and trainings side by side."""
    there = [name for name in NETWORKS if (RESULTS / f"gpu-steps-{name}.json").exists()]
    steps, together = {name: found(f"gpu-steps-{name}") for name in there}, found("gpu-together")
    first = steps["quarter"]
    of = {
        "training": first["ways"]["compiled"]["training"]["replayed"]["step"]["repeats"],
        "sampling": first["ways"]["compiled"]["sampling"]["free"]["repeats"],
    }
    yield paragraph(
        "**Whole steps on a GPU**, as a study has them: batch, noise, loss, gradient, Adam and average. A training",
        "step is recorded once as a CUDA graph and replayed, with the same bytes (tests/training/test_replay.py holds",
        "that on a GPU, but for a compiled network: on an H200 recorded and unrecorded steps did not have the same);",
        "“one by one” is the same step without it.",
        f"Sampling: a step of ancestral sampling of {first['images']} images, with its noise made by torch's",
        "operations, by one compiled kernel (as a study that compiles has it), and with noise that costs nothing.",
        f"Milliseconds, medians of {of['training']} rounds in training and {of['sampling']} in sampling, quartiles in",
        "brackets.",
    )

    def ms(one: dict[str, float] | None) -> str:
        return "—" if one is None else f"{1000 * one['median']:.1f} ({1000 * one['low']:.1f}–{1000 * one['high']:.1f})"

    rows = []
    for name in there:
        for way, how in (("eager", "as written"), ("compiled", "compiled")):
            if (one := steps[name]["ways"].get(way)) is None:
                continue
            replayed, sampling = one["training"]["replayed"]["step"], one["sampling"]
            drawn = sampling.get("compiled", sampling["counted"])["median"]
            rows.append(
                [
                    f"{NETWORKS[name]}, {how}",
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
        *(f"Not measured: whole steps of {title}." for name, title in NETWORKS.items() if name not in there),
    )
    for one in steps.values():
        yield measured(one["about"])
    yield measured(together["about"])


def whole_study() -> Iterator[str]:
    """What a whole study took on a GPU, by its report."""
    folder = REPORTS / "cifar10-jpeg/timings"

    def rows_of(name: str) -> list[dict[str, str]]:
        return list(csv.DictReader((folder / f"{name}.csv").open(encoding="utf-8")))

    machines, sampled = rows_of("machines"), rows_of("sampling-cost")
    ends = sorted(datetime.datetime.fromisoformat(row["Date"]) for row in machines)
    on = {row["Device"] for row in machines}
    first = {row["Run"]: row for row in reversed(sampled)}
    rest = [row for row in sampled if row is not first[row["Run"]]]
    rates = [float(row["Network evaluations"]) / float(row["Time per image (s)"]) for row in rest]
    trained = json.loads((folder / "ablations.json").read_text(encoding="utf-8"))
    asked = statistics.median(float(row["Network evaluations"]) * float(row["Images"]) for row in first.values())
    held = statistics.median(float(row["Time in all (s)"]) for row in first.values())
    yield paragraph(
        f"**A whole study on one {' and '.join(on)}**, [cifar10-jpeg](../reports/cifar10-jpeg/report.md): from the end",
        f"of its first job to that of its last {(ends[-1] - ends[0]).total_seconds() / 60:.0f} minutes, up to",
        f"{trained[0]['machine']['at_once']} jobs at a time:",
        f"{len(rows_of('training-cost')) + len(trained)} trainings, samples of {len(sampled)} settings of the main",
        "runs, and what else a study has; the costs were measured last, alone.",
        f"A job that sampled made {statistics.median(rates):,.0f} evaluations of an image a second beside others",
        f"(median of {len(rates)} settings). The first setting of a run took {held:.0f} s, where its evaluations at",
        f"that rate take {asked / statistics.median(rates):.0f}: the rest is torch.compile, which the times of",
        "trainings hold, too ([its times](../reports/cifar10-jpeg/timings.md)).",
    )
    yield paragraph(
        "Three things in that report are wrong and were mended after it was made; to make it anew takes a GPU. In",
        "“Which part of Improved DDPM buys what?” the samples named DDIM have quadratic spacing, which probably makes",
        "the cosine schedule alone look worse there; the comparison of the main runs has the uniform spacing that it",
        "says. Shares of operators are half of what they should be, as each kernel was counted with its launch and by",
        "itself. Smaller networks were timed uncompiled beside a compiled one.",
    )
