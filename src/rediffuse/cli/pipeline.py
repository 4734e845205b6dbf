"""Verbs of the pipeline: its stages, and what is made of their files."""

from pathlib import Path
from typing import Annotated

import typer

from rediffuse.cli.base import (
    ACTIVE,
    RunName,
    Seed,
    StudyFile,
    app,
    open_study,
    run_stage,
    run_stage_of,
    stage_function,
)
from rediffuse.errors import UserError


@app.command()
def prepare(study: StudyFile = ACTIVE) -> None:
    """Write the study's images to data/ (downloading them where the source asks for it)."""
    run_stage(open_study(study), "prepare")


@app.command()
def reference(study: StudyFile = ACTIVE) -> None:
    """Write the reference statistics of the training images in the study's feature network."""
    run_stage(open_study(study), "reference")


@app.command()
def real(study: StudyFile = ACTIVE) -> None:
    """Score held-out real images and noise as samples are scored: the lines results are read against."""
    run_stage(open_study(study), "real")


@app.command()
def cost(
    runs: Annotated[list[str] | None, typer.Argument(help="Runs or ablations; the study's runs when absent.")] = None,
    presets: Annotated[list[str] | None, typer.Option("--preset", help="Network of the literature, by name.")] = None,
    batches: Annotated[list[int] | None, typer.Option("--batch", help="Images at once; may be given again.")] = None,
    resolutions: Annotated[
        list[int] | None, typer.Option("--resolution", help="Side in pixels; the network's own when absent.")
    ] = None,
    steps: Annotated[list[int] | None, typer.Option("--steps", help="Sampling steps to predict seconds for.")] = None,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write everything measured there, too.")] = None,
    profile: Annotated[
        bool, typer.Option("--profile", help="Print torch's profile of a training pass as well.")
    ] = False,
    exact: Annotated[bool, typer.Option("--exact", help="Count only; measure no time and no peak memory.")] = False,
    record: Annotated[bool, typer.Option("--record", help="As the pipeline does: write runs/<study>/cost/.")] = False,
    study: StudyFile = ACTIVE,
) -> None:
    """Say what networks cost: parameters, FLOPs, memory, seconds of training and sampling."""
    if record:
        if runs or presets or batches or resolutions or steps or json_file or profile or exact:
            raise UserError("--record measures the study as the pipeline does; give it no run and no other option")
        run_stage(open_study(study), "cost")
        return
    from rediffuse.stages.cost_table import CostRequest, show_cost

    request = CostRequest(
        tuple(runs or ()), tuple(presets or ()), tuple(batches or ()), tuple(resolutions or ()), tuple(steps or ()),
        json_file, profile, exact,
    )  # fmt: skip
    show_cost(request, study)


STAGES_OF_A_RUN = {
    "classifier": "Train the noise-conditional classifier that guides one run's samples.",
    "sample": "Sample one trained run with every sampler and step count of the study.",
    "nll": "Compute the bound on the likelihood of held-out images under one trained run.",
    "restore": "Try one trained run on damaged held-out images: inpainting, denoising, super-resolution.",
    "examine": "Examine the samples of one run or one-pass model: copies, classes, and what their number does to their distance.",
    "fit": "Train one one-pass model (DCGAN, WGAN-GP, VAE); a killed training goes on where it was.",
    "draw": "Draw the images of one trained one-pass model.",
}


@app.command()
def train(run: RunName, seed: Seed = 0, study: StudyFile = ACTIVE) -> None:
    """Train one run; a killed training goes on where it was."""
    context = open_study(study)
    from rediffuse.stages.live_scores import live_scores

    run_stage_of(context, "train", run, seed, watch=live_scores)


def _add_stage_of_a_run(kind: str, summary: str) -> None:
    def verb(run: RunName, seed: Seed = 0, study: StudyFile = ACTIVE) -> None:
        run_stage_of(open_study(study), kind, run, seed)

    app.command(kind, help=summary)(verb)


for _kind, _summary in STAGES_OF_A_RUN.items():
    _add_stage_of_a_run(_kind, _summary)


@app.command()
def ablations(study: StudyFile = ACTIVE) -> None:
    """Gather the results of finished ablations into reports/, for the report's ablation table."""
    context = open_study(study)
    from rediffuse.stages.report import gather_ablations

    gather_ablations(context)


@app.command()
def report(study: StudyFile = ACTIVE) -> None:
    """Write tables, figures and the report from what is on disk, and sum them up."""
    context = open_study(study)
    run_stage(context, "report")
    from rediffuse.stages.report import summarise

    summarise(context)


@app.command()
def track(study: StudyFile = ACTIVE) -> None:
    """Log to MLflow whatever is on disk and not there yet."""
    context = open_study(study)
    stage_function("track")(context)
