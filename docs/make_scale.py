"""Prints docs/scale.md: `python docs/make_scale.py > docs/scale.md`. A test keeps the page current.

Every number comes from benchmarks/scale/results, which the scripts there write.
"""

import json
import statistics
import textwrap
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).resolve().parents[1] / "benchmarks" / "scale" / "results"
WAYS = {
    "eager": "measured, as written",
    "compiled": "measured, compiled",
    "share of Ho et al.": "Ho et al.'s share of the peak",
}
COMMANDS = {
    "plan": "`rediffuse plan`: plan/*.json for DVC, none there yet",
    "plan before": "the same when each file still waited for the disk",
    "status": "`rediffuse status`",
    "make": "`rediffuse make`",
    "snakemake": "Snakemake, as `dvc repro` calls it",
    "dvc commit": "`dvc commit --force`: DVC is told of what lies there",
    "dvc": "`dvc repro`",
    "dvc first": "`dvc repro` where DVC knows of nothing yet",
}


def found(name: str) -> dict[str, Any]:
    """What a script has found."""
    return json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))


def table(header: Iterable[object], rows: Iterable[Iterable[object]]) -> str:
    """A Markdown table."""
    header = list(header)
    lines = [header, ["---"] * len(header), *map(list, rows)]
    return "\n" + "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines) + "\n"


def measured(about: dict[str, Any]) -> str:
    """By which command, where and when."""
    machine = about["machine"]
    on = machine["cpu"] if machine["device"] == "cpu" else machine["device"]
    return (
        f"\n    {about['command']}\n\n"
        f"{about['minutes']:.0f} minutes on {about['date']}, {on}, {machine['cores']} cores, "
        f"PyTorch {machine['torch']}, {code(about['commit'])}.\n"
    )


def paragraph(*pieces: str) -> str:
    """Text in lines of the page's width."""
    return "\n" + textwrap.fill(" ".join(pieces), 120) + "\n"


def code(commit: str) -> str:
    """The commit of a measurement, and whether its files had changed since."""
    return f"commit {commit[:12]}{' with changes' if commit.endswith('+changes') else ''}"


def short(value: float) -> str:
    """Three digits at most."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def by_way(one: dict[str, Any]) -> list[tuple[str, Any]]:
    """What stands there by way, in the order of WAYS."""
    return [(way, one[way]) for way in WAYS if way in one]


def pipeline() -> Iterator[str]:
    """What the pipeline itself takes."""
    runs = {int(path.stem.split("-")[1]): found(path.stem) for path in RESULTS.glob("pipeline-*.json")}
    runs = dict(sorted(runs.items()))
    yield "\n## Ten, a hundred, a thousand runs\n\n"
    yield (
        "Made-up studies of seconds: each file that a job would make holds a line, "
        "and has a receipt as if the job had made it.\n"
        "Every command then finds nothing to do. Seconds of the processor, "
        "and in brackets by the clock, while other work had\n"
        "the cores: the former are what an idle machine takes.\n"
    )

    def cell(at: dict[str, Any], name: str) -> str:
        if name not in at:
            return "not measured"
        if "over" in at[name]:
            return f"not done (after {at[name]['over']:.0f})"
        return f"{at[name]['cpu']:.1f} ({at[name]['seconds']:.0f})" + (", **failed**" if "failed" in at[name] else "")

    rows = [
        ["jobs", *(f"{at['jobs']:,}" for at in runs.values())],
        ["files", *(f"{at['files']:,}" for at in runs.values())],
        *([words, *(cell(at, name) for at in runs.values())] for name, words in COMMANDS.items()),
    ]
    yield table(["", *(f"{n:,} runs" for n in runs)], rows)
    most = max(runs)
    at = runs[most]
    made = {
        words: at[name]["cpu"]
        for name, words in COMMANDS.items()
        if name in ("make", "snakemake") and "cpu" in at.get(name, {})
    }
    yield (
        f"\nPlanning {most:,} runs takes {at['plan']['cpu']:.1f} seconds of the processor (aimed at: below 10), "
        "a build of them in which nothing is to be done\n"
        f"{' and '.join(f'{seconds:.0f} by {words}' for words, seconds in made.items())} (below 60).\n"
    )
    yield (
        "\nWith hundreds of runs use `rediffuse make --at-once N`, whose N processes read the study once each, "
        "or Snakemake, each of\n"
        "whose jobs is a process\n"
        "that reads the whole study first (about what `rediffuse status` takes). "
        "DVC has a stage for every run and seed, looks at\n"
        "each in turn, starts a process for each that it does not know, "
        "and writes all of dvc.lock anew after every one: that time\n"
        "is DVC's own.\n\n"
        "Not measured: the report and MLflow, which read what the jobs made, and made-up files hold nothing.\n"
    )
    if "plan before" in at:
        yield (
            "\nWriting the plan was the one thing that was too slow, and is mended: "
            "its thousands of files do not wait for the disk\n"
            "any more, as one that a loss of power empties is written anew. "
            "`rediffuse plan` was then timed once more, at commit\n"
            f"{at['plan']['commit'][:12]}.\n"
        )
    for one in runs.values():
        yield measured(one["about"])


def evaluation() -> Iterator[str]:
    """What scoring so many images takes."""
    one = found("evaluation")
    yield "\n## Fifty thousand images\n\n"
    yield (
        f"Random images of {one['side']}×{one['side']}, by `rediffuse statistics` and `rediffuse evaluate` "
        "on one core. In the place of Inception-v3 stands a file of\n"
        "the same form with layers that cost next to nothing; all around it is real, its resizing to 299×299 "
        "included. Seconds of the\nprocessor, and in brackets by the clock, while other work had the cores.\n"
    )
    yield table(
        ["images", "", "seconds", "images/s of the processor", "most memory, GiB"],
        (
            [
                f"{int(count):,}",
                name,
                f"{at['cpu']:.0f} ({at['seconds']:.0f})",
                short(int(count) / at["cpu"]),
                f"{at['peak bytes'] / 2**30:.2f}",
            ]
            for count, steps in sorted(one["counts"].items(), key=lambda pair: int(pair[0]))
            for name in ("statistics", "scores", "scores of a zip")
            for at in [steps[name]]
        ),
    )
    few, many = sorted(map(int, one["counts"]))
    peaks = [max(at["peak bytes"] for at in one["counts"][str(n)].values()) / 2**30 for n in (few, many)]
    yield (
        f"\n{many // few} times the images hold {peaks[1]:.1f} GiB at most instead of {peaks[0]:.1f}: "
        f"features are kept of {one['kept']:,} images at most, for the\n"
        "kernel distance, whose n says so, and pages of the file that is read count, too. "
        "All else are moments and sums, which do not\n"
        "grow. The evaluation of a study goes on after a stop: features are kept in parts of "
        "about a thousand images until all settings\nof a run are scored.\n"
    )
    yield measured(one["about"])


def sizes(costs: dict[str, Any]) -> Iterator[str]:
    """What studies at the papers' sizes cost."""
    assumed, efficiency = costs["assumed"], costs["assumed"]["efficiency"]
    yield "\n## CIFAR-10, CelebA 64×64, ImageNet 64×64\n\n"
    yield (
        "By the cost model ([cost.md](cost.md)): training ≈ N · B · (1 + κ) · F / rate, "
        "sampling ≈ S · B · F / rate. F and\n"
        "parameters are counted by `rediffuse.cost`; N and B are those of the sources:\n"
    )
    yield table(
        ["size", "network", "parameters", "F, GFLOP", "N", "B", "N and B from"],
        (
            [
                s["title"],
                f"`{s['network']}`",
                f"{s['parameters']:,}",
                short(s["flops"] / 1e9),
                f"{s['steps']:,}",
                s["batch"],
                s["source"],
            ]
            for s in costs["sizes"]
        ),
    )
    yield (
        "\nThe networks are presets of this project but the last, "
        "which has the fields of Nichol & Dhariwal's unconditional\n"
        "ImageNet 64×64 (benchmarks/scale/networks.py).\n"
    )
    drawn = " and ".join(f"{steps:,}" for steps in assumed["steps"])
    yield (
        f"\nOne run on one H100, in hours: its training, {assumed['scored']:,} samples in {drawn} steps "
        "(a step is one\n"
        "evaluation of the network), and Inception-v3 on both sets of them, counted at the network's own rate. "
        "Noise, loss,\n"
        "optimiser, reading and writing are left out.\n"
    )
    parts = ["training", *(f"sampling in {steps}" for steps in assumed["steps"]), "scoring"]
    yield table(
        [
            "size",
            "rate",
            "TFLOP/s training, sampling",
            "κ",
            "training",
            *(f"{s:,} steps" for s in assumed["steps"]),
            "scoring",
        ],
        (
            [
                s["title"],
                WAYS[way],
                f"{one['training_rate'] / 1e12:.0f}, {one['sampling_rate'] / 1e12:.0f}",
                short(one["kappa"]),
                *(short(one["hours"][what]) for what in parts),
            ]
            for s in costs["sizes"]
            for way, one in by_way(s["by"])
        ),
    )
    of_all = assumed["runs"] * assumed["seeds"]
    several = sorted(map(int, efficiency))
    yield (
        f"\nA study of {assumed['runs']} runs and {assumed['seeds']} seeds, in hours: on one GPU; on {of_all}, "
        "a run of a seed each, which needs nothing that is assumed; and\n"
        "with every training spread over 8 or 64 (in brackets: one training). Assumed, not measured: "
        f"data parallelism has {efficiency['8']:.0%} of\n"
        f"eight times one GPU's rate on 8 and {efficiency['64']:.0%} of 64 times on 64, "
        "and each GPU keeps its batch, so that B is 8 or 64 times as large and N as much\n"
        "smaller: the same number of images, in "
        "another training than the papers'. Drawing and scoring share nothing between GPUs.\n"
    )
    yield table(
        ["size", "rate", "1 GPU", f"{of_all} GPUs", *(f"{n} GPUs" for n in several[1:])],
        (
            [
                s["title"],
                WAYS[way],
                short(one["GPUs"]["1"]["study"]),
                short(sum(one["hours"].values())),
                *(
                    f"{short(at['study'])} ({short(at['training of a run'])})"
                    for at in (one["GPUs"][str(n)] for n in several[1:])
                ),
            ]
            for s in costs["sizes"]
            for way, one in by_way(s["by"])
        ),
    )
    batch = min(s["batch"] for s in costs["sizes"])
    yield (
        f"\nAt the papers' B = {batch} a GPU would see {batch // 8} images on 8 and {batch // 64} on 64, "
        "at rates that nobody measured here and that are lower.\n"
        "The first way to use many GPUs is therefore one run each (`snakemake`, [cluster.md](cluster.md)); sampling is "
        "cut by index\nrange (`rediffuse sample --only`).\n"
    )
    yield measured(costs["about"])


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


def page() -> str:
    """The whole page."""
    costs = found("costs")
    head = (
        "# Scale: a thousand runs, and the papers' sizes\n\n"
        "Written by `python docs/make_scale.py` from what the scripts in `benchmarks/scale/` have found; "
        "a test holds the page and\n"
        "their results together. What is assumed is said to be.\n"
    )
    return head + "".join(
        part for chapter in (pipeline(), evaluation(), sizes(costs), known(costs)) for part in chapter
    )


if __name__ == "__main__":
    print(page(), end="")
