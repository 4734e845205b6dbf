"""Prints docs/scale.md: `python docs/make_scale.py > docs/scale.md`. A test keeps the page current.

Every number comes from benchmarks/scale/results, which the scripts there write.
"""

from collections.abc import Iterator
from typing import Any

from scale_against import known
from scale_text import RESULTS, WAYS, by_way, found, measured, short, table

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
