"""Verbs for images of any origin: evaluate (with or without a study), statistics."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from rediffuse.cli.base import ACTIVE, MOST, WIDEST, Force, Later, Seed, StudyFile, app, do_stage, open_study
from rediffuse.errors import UserError

Features = Annotated[
    str, typer.Option("--features", help="efficientnet-lite0, inception-v3, inception-v3-clean or torchscript.")
]
Weights = Annotated[Path | None, typer.Option(help="File of Inception-v3 weights, or the TorchScript file.")]
WeightsSha256 = Annotated[str | None, typer.Option(help="Digest of Inception-v3 weights other than the published.")]
NetworkSize = Annotated[
    int | None, typer.Option(help="Side to which efficientnet-lite0 or torchscript resizes.", min=1, max=WIDEST)
]
Device = Annotated[Literal["cpu", "cuda"], typer.Option(help="Where the feature network runs.")]
BatchSize = Annotated[int, typer.Option(help="Images in a batch.", min=1, max=MOST)]
Side = Annotated[
    int | None,
    typer.Option("--size", help="Crop and resize every picture to this side first.", min=1, max=WIDEST),
]
White = Annotated[
    int | None,
    typer.Option(help="Value of white in pictures of 16 bits a channel; 65535 if left out.", min=1, max=65535),
]
Range = Annotated[
    str | None, typer.Option("--range", help="Black and white in arrays of floats, as LOW:HIGH, such as -1:1 or 0:255.")
]
Keep = Annotated[
    int, typer.Option(help="Images (of a group) whose features are kept for kernel distances.", min=2, max=MOST)
]


@app.command()
def evaluate(
    context: typer.Context,
    run: Annotated[str | None, typer.Argument(help="Run or ablation of the study; leave out with --samples.")] = None,
    seed: Seed = 0,
    study: StudyFile = ACTIVE,
    samples: Annotated[Path | None, typer.Option(help="Folder or zip of pictures, .npy or .npz array.")] = None,
    reference: Annotated[
        str | None, typer.Option(help="Statistics file (.npz), real images as above, or a data set in data/.")
    ] = None,
    features: Features = "efficientnet-lite0",
    weights: Weights = None,
    weights_sha256: WeightsSha256 = None,
    n: Annotated[int | None, typer.Option("--n", help="Images in a group; all of them if left out.", max=MOST)] = None,
    groups: Annotated[int, typer.Option(help="Disjoint groups; two or more give an interval.", max=MOST)] = 1,
    shuffle: Annotated[
        int | None, typer.Option(help="Number of a fixed shuffle; sorted by name if left out.", max=2**63 - 1)
    ] = None,
    output: Annotated[Path | None, typer.Option(help="JSON file for the numbers and all it takes to repeat.")] = None,
    size: Side = None,
    range_: Range = None,
    white: White = None,
    network_size: NetworkSize = None,
    device: Device = "cpu",
    batch_size: BatchSize = 64,
    keep: Keep = 10_000,
    force: Force = False,
    later: Later = False,
) -> None:
    """Score the samples of one run, or with --samples and --reference any images against any others.

    \b
    rediffuse evaluate baseline
    rediffuse evaluate --samples DIR --reference stats.npz --features inception-v3
    """
    given = {
        name for name in context.params if getattr(context.get_parameter_source(name), "name", "") == "COMMANDLINE"
    }
    of_a_run = {"run", "seed", "study", "force", "later"}
    if run is not None and given <= of_a_run:
        do_stage(open_study(study), "evaluate", run, seed, force=force, later=later)
        return
    if samples is None or reference is None or given & of_a_run:
        raise UserError("evaluate: name a run (with --seed, --study), or give both --samples and --reference")
    from rediffuse.cli.loose_table import print_scores
    from rediffuse.loose.images import NetworkChoice, Reading, evaluate_images
    from rediffuse.loose.output import check_score_file, write_scores

    if output is not None:
        check_score_file(output, reference)
    choice = NetworkChoice(features, weights, weights_sha256, network_size, device)
    reading = Reading(batch_size, size, keep, white, _span(range_))
    record = evaluate_images(samples, reference, choice, reading, n=n, groups=groups, shuffle=shuffle)
    print_scores(record)
    if output is not None:
        write_scores(output, record)


def _span(text: str | None) -> tuple[float, float] | None:
    """The range that LOW:HIGH names."""
    if text is None:
        return None
    try:
        low, high = map(float, text.split(":"))
    except ValueError:
        low = high = 0.0
    if not -1e9 < low < high < 1e9:
        raise UserError(f"--range must be LOW:HIGH, such as 0:1, -1:1 or 0:255, not {text!r}")
    return low, high


@app.command()
def statistics(
    images: Annotated[Path, typer.Option(help="Folder or zip of pictures, .npy or .npz array.")],
    output: Annotated[Path, typer.Option(help="Statistics file to write (.npz); its card (.json) lies beside it.")],
    features: Features = "efficientnet-lite0",
    weights: Weights = None,
    weights_sha256: WeightsSha256 = None,
    format: Annotated[
        Literal["rediffuse", "clean-fid"], typer.Option(help="clean-fid: only mu and sigma; ours adds features.")
    ] = "rediffuse",
    size: Side = None,
    range_: Range = None,
    white: White = None,
    network_size: NetworkSize = None,
    device: Device = "cpu",
    batch_size: BatchSize = 64,
    keep: Keep = 10_000,
) -> None:
    """Write statistics of any images for `evaluate --reference`; clean-fid and pytorch-fid read them too."""
    from rediffuse.loose.images import NetworkChoice, Reading, write_statistics

    choice = NetworkChoice(features, weights, weights_sha256, network_size, device)
    card = write_statistics(
        images, output, choice, Reading(batch_size, size, keep, white, _span(range_)), bare=format == "clean-fid"
    )
    for conversion in card["conversions"]:
        print(f"images: {conversion}")
    print(f"{output}: {card['count']} images, {card['dim']} dimensions of {card['network']['name']}")
