"""The command line. Verbs import what they need when they run, so that `rediffuse --help` answers at once."""

import importlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from rediffuse.errors import UserError

if TYPE_CHECKING:
    from rediffuse.stages.context import Context

app = typer.Typer(
    help="Rebuild a denoising-diffusion study: data, training, sampling, evaluation, report.",
    epilog="The whole study: `make repro` (or `dvc repro`). The active study is params.yaml; others lie in studies/.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)

StudyFile = Annotated[Path, typer.Option("--study", help="Study to work on.", show_default=True)]
RunName = Annotated[str, typer.Argument(help="Run or ablation of the study.")]
Seed = Annotated[int, typer.Option("--seed", help="Training seed.", min=0)]
ACTIVE = Path("params.yaml")


@app.command()
def check(
    file: Annotated[Path, typer.Argument(help="Study to check.")] = ACTIVE,
    full: Annotated[bool, typer.Option("--full", help="Print every resolved setting.")] = False,
) -> None:
    """Validate a study and print the runs it resolves to."""
    from rediffuse.config import load_study
    from rediffuse.config.describe import describe_study

    print(describe_study(load_study(file), full=full))


@app.command()
def use(study: Annotated[str, typer.Argument(help="Name in studies/ (such as smoke), or a file.")]) -> None:
    """Make a study the active one: check it, then copy it to params.yaml."""
    from rediffuse.config import load_study
    from rediffuse.files import write_atomically

    path = Path(study) if study.endswith((".yaml", ".yml")) else Path("studies", f"{study}.yaml")
    if not path.exists():
        known = ", ".join(sorted(p.stem for p in Path("studies").glob("*.yaml"))) or "none"
        raise UserError(f"{path}: no such study; use one of {known}, or name a file ending in .yaml")
    loaded = load_study(path)
    write_atomically(ACTIVE, path.read_bytes())
    print(f"params.yaml is now {path}: {loaded.study.title}\nnext: `dvc repro`")


@app.command()
def schema(
    markdown: Annotated[bool, typer.Option("--markdown", help="The reference page instead of JSON.")] = False,
) -> None:
    """Print what a study may say: the JSON schema, or a page with every key, meaning and default."""
    from rediffuse.config.describe import json_schema, reference_page

    print(reference_page() if markdown else json_schema())


@app.command()
def status(
    stages: Annotated[list[str] | None, typer.Argument(help="Only these stages, and not the ablations.")] = None,
    study: StudyFile = ACTIVE,
) -> None:
    """Say of every job whether it is up to date and, if not, why. Exit code 1 when a named stage is not."""
    from rediffuse.pipeline.receipts import Digests, why_stale

    context = _open(study)
    known = dict.fromkeys(job.stage for job in context.plan.jobs.values())
    for stage in stages or ():
        if stage not in known:
            raise UserError(f"status: there is no stage {stage!r} in this study; use one of {', '.join(known)}")
    jobs = list(context.plan.jobs.values())
    if stages:
        jobs = [job for stage in stages for job in context.plan.of_stage(stage)]
    digests = Digests(context.root)
    reasons = {job.name: why_stale(job, digests) for job in jobs}
    for name, reason in reasons.items():
        print(f"{name:40} {reason or 'up to date'}")
    digests.save()
    if stages and any(reasons.values()):
        raise typer.Exit(1)


@app.command()
def prepare(study: StudyFile = ACTIVE) -> None:
    """Write the study's images to data/ (downloading them where the source asks for it)."""
    from rediffuse.stages.prepare import prepare as stage

    _run(study, "prepare", stage)


@app.command()
def reference(study: StudyFile = ACTIVE) -> None:
    """Write the reference statistics of the training images in the study's feature network."""
    from rediffuse.stages.reference import reference as stage

    _run(study, "reference", stage)


@app.command()
def real(study: StudyFile = ACTIVE) -> None:
    """Score held-out real images and noise as samples are scored: the lines results are read against."""
    from rediffuse.stages.real import real as stage

    _run(study, "real", stage)


STAGES_OF_A_RUN = {
    "train": "Train one run; a killed training goes on where it was.",
    "sample": "Sample one trained run with every sampler and step count of the study.",
    "nll": "Compute the bound on the likelihood of held-out images under one trained run.",
    "restore": "Try one trained run on damaged held-out images: inpainting, denoising, super-resolution.",
}


def _add_stage_of_a_run(kind: str, summary: str) -> None:
    def verb(run: RunName, seed: Seed = 0, study: StudyFile = ACTIVE) -> None:
        _run_of(study, kind, run, seed)

    app.command(kind, help=summary)(verb)


for _kind, _summary in STAGES_OF_A_RUN.items():
    _add_stage_of_a_run(_kind, _summary)


Features = Annotated[
    str, typer.Option("--features", help="efficientnet-lite0, inception-v3, inception-v3-clean or torchscript.")
]
Weights = Annotated[Path | None, typer.Option(help="File of Inception-v3 weights, or the TorchScript file.")]
WeightsSha256 = Annotated[str | None, typer.Option(help="Digest of Inception-v3 weights other than the published.")]
NetworkSize = Annotated[int | None, typer.Option(help="Side to which efficientnet-lite0 or torchscript resizes.")]
Device = Annotated[Literal["cpu", "cuda"], typer.Option(help="Where the feature network runs.")]
BatchSize = Annotated[int, typer.Option(help="Images in a batch.", min=1)]
Side = Annotated[int | None, typer.Option("--size", help="Crop and resize every picture to this side first.")]
Keep = Annotated[int, typer.Option(help="Images (of a group) whose features are kept for kernel distances.", min=2)]


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
    n: Annotated[int | None, typer.Option("--n", help="Images in a group; all of them if left out.")] = None,
    groups: Annotated[int, typer.Option(help="Disjoint groups; two or more give an interval.")] = 1,
    shuffle: Annotated[int | None, typer.Option(help="Number of a fixed shuffle; sorted by name if left out.")] = None,
    output: Annotated[Path | None, typer.Option(help="JSON file for the numbers and all it takes to repeat.")] = None,
    size: Side = None,
    network_size: NetworkSize = None,
    device: Device = "cpu",
    batch_size: BatchSize = 64,
    keep: Keep = 10_000,
) -> None:
    """Score the samples of one run, or with --samples and --reference any images against any others.

    \b
    rediffuse evaluate baseline
    rediffuse evaluate --samples DIR --reference stats.npz --features inception-v3
    """
    given = {
        name for name in context.params if getattr(context.get_parameter_source(name), "name", "") == "COMMANDLINE"
    }
    of_a_run = {"run", "seed", "study"}
    if run is not None and given <= of_a_run:
        return _run_of(study, "evaluate", run, seed)
    if samples is None or reference is None or given & of_a_run:
        raise UserError("evaluate: name a run (with --seed, --study), or give both --samples and --reference")
    from rediffuse.stages.loose_images import NetworkChoice, Reading, evaluate_images
    from rediffuse.stages.loose_table import print_scores

    choice = NetworkChoice(features, weights, weights_sha256, network_size, device)
    reading = Reading(batch_size, size, keep)
    print_scores(
        evaluate_images(samples, reference, choice, reading, n=n, groups=groups, shuffle=shuffle, output=output)
    )


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
    network_size: NetworkSize = None,
    device: Device = "cpu",
    batch_size: BatchSize = 64,
    keep: Keep = 10_000,
) -> None:
    """Write statistics of any images for `evaluate --reference`; clean-fid and pytorch-fid read them too."""
    from rediffuse.stages.loose_images import NetworkChoice, Reading, write_statistics

    choice = NetworkChoice(features, weights, weights_sha256, network_size, device)
    card = write_statistics(images, output, choice, Reading(batch_size, size, keep), bare=format == "clean-fid")
    print(f"{output}: {card['count']} images, {card['dim']} dimensions of {card['network']['name']}")


@app.command()
def ablations(study: StudyFile = ACTIVE) -> None:
    """Gather the results of finished ablations into reports/, for the report's ablation table."""
    from rediffuse.stages.report import gather_ablations

    gather_ablations(_open(study))


@app.command()
def report(study: StudyFile = ACTIVE) -> None:
    """Write tables, figures and the report from what is on disk, and sum them up."""
    from rediffuse.stages.report import report as stage
    from rediffuse.stages.report import summarise

    context = _open(study)
    if _stale(context, "report"):
        stage(context)
    summarise(context)


@app.command()
def track(study: StudyFile = ACTIVE) -> None:
    """Log to MLflow whatever is on disk and not there yet."""
    from rediffuse.stages.track import track as stage

    stage(_open(study))


def _open(study: Path) -> "Context":
    from rediffuse.stages.context import Context

    return Context.open(study)


def _run(study: Path, job_name: str, stage: Callable[["Context"], None]) -> None:
    """Run a stage unless its files are up to date."""
    context = _open(study)
    if _stale(context, job_name):
        stage(context)


def _run_of(study: Path, kind: str, run: str, seed: int) -> None:
    """Run stages/<kind>.py for one run and seed unless its files are up to date."""
    context = _open(study)
    resolved = context.loaded.run(run)
    if resolved.role == "ablation" and not context.plan.has(kind, run, resolved.seeds[0]):
        raise UserError(f"{kind}: {run} is an ablation, and only the runs {', '.join(context.loaded.runs)} have it")
    if seed not in resolved.seeds:
        raise UserError(f"run {run!r} has no seed {seed}; use one of {', '.join(map(str, resolved.seeds))}")
    if _stale(context, f"{kind}/{run}/seed{seed}"):
        stage = importlib.import_module(f"rediffuse.stages.{kind}")
        getattr(stage, kind)(context, resolved, seed)


def _stale(context: "Context", job_name: str) -> bool:
    from rediffuse.pipeline.receipts import Digests, why_stale

    digests = Digests(context.root)
    reason = why_stale(context.plan.jobs[job_name], digests)
    if reason is None:
        print(f"{job_name} is up to date", file=sys.stderr)
    return reason is not None


def main() -> None:
    """Run a verb; a user's mistake is one line on stderr and exit code 2."""
    try:
        app()
    except UserError as error:
        print(f"rediffuse: {error}", file=sys.stderr)
        raise SystemExit(2) from None
    except KeyboardInterrupt:
        print("rediffuse: stopped; the same command goes on where it was", file=sys.stderr)
        raise SystemExit(130) from None
