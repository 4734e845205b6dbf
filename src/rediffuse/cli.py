"""The command line. Verbs import what they need when they run, so that `rediffuse --help` answers at once."""

import importlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rediffuse.errors import UserError

if TYPE_CHECKING:
    from rediffuse.config import ResolvedGenerator, ResolvedRun
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
RunName = Annotated[str, typer.Argument(help="Run, ablation or one-pass model of the study.")]
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
        from rediffuse.stages.cost import cost as stage

        _run(study, "cost", stage)
        return
    from rediffuse.stages.cost_table import CostRequest, show_cost

    request = CostRequest(
        tuple(runs or ()), tuple(presets or ()), tuple(batches or ()), tuple(resolutions or ()), tuple(steps or ()),
        json_file, profile, exact,
    )  # fmt: skip
    show_cost(request, study)


STAGES_OF_A_RUN = {
    "train": "Train one run; a killed training goes on where it was.",
    "classifier": "Train the noise-conditional classifier that guides one run's samples.",
    "sample": "Sample one trained run with every sampler and step count of the study.",
    "evaluate": "Score the samples of one run.",
    "nll": "Compute the bound on the likelihood of held-out images under one trained run.",
    "restore": "Try one trained run on damaged held-out images: inpainting, denoising, super-resolution.",
    "fit": "Train one one-pass model (DCGAN, WGAN-GP, VAE); a killed training goes on where it was.",
    "draw": "Draw the images of one trained one-pass model.",
}


def _add_stage_of_a_run(kind: str, summary: str) -> None:
    def verb(run: RunName, seed: Seed = 0, study: StudyFile = ACTIVE) -> None:
        _run_of(study, kind, run, seed)

    app.command(kind, help=summary)(verb)


for _kind, _summary in STAGES_OF_A_RUN.items():
    _add_stage_of_a_run(_kind, _summary)


@app.command("import")
def import_(
    path: Annotated[Path, typer.Argument(help="Folder of diffusers or of `rediffuse export`, or IDDPM's weights.")],
    into: Annotated[str, typer.Option("--into", help="Name of the new study: studies/NAME.yaml, weights/NAME/.")],
    like: Annotated[
        Path, typer.Option("--like", help="Study whose images, evaluation and samplers it has.", show_default=True)
    ] = ACTIVE,
    null_class: Annotated[
        bool, typer.Option("--null-class", help='The last class embedding stands for "no label".')
    ] = False,
    heads: Annotated[int, typer.Option("--heads", help="IDDPM only: attention heads.", min=1)] = 4,
    image_size: Annotated[int, typer.Option("--image-size", help="IDDPM only: pixels a side.", min=1)] = 32,
    timesteps: Annotated[int, typer.Option("--timesteps", help="IDDPM only: T.", min=2)] = 4000,
    schedule: Annotated[str, typer.Option("--schedule", help="IDDPM only: noise schedule.")] = "cosine",
    rescaled: Annotated[
        bool, typer.Option("--rescaled/--not-rescaled", help="IDDPM only: the network sees t · 1000/T.")
    ] = True,
) -> None:
    """Turn published weights into a study that samples and scores them without training."""
    from rediffuse.interop.sources import IddpmFacts
    from rediffuse.stages.exchange import import_weights

    facts = IddpmFacts(image_size, heads, timesteps=timesteps, schedule=schedule, rescaled_timesteps=rescaled)
    for line in import_weights(Path(), path, into, like, null_class=null_class, facts=facts):
        print(line)
    print(f"next: `rediffuse use {into}`, then `dvc repro`")


@app.command()
def export(
    run: RunName,
    to: Annotated[Path, typer.Option("--to", help="New folder for weights, configuration and model card.")],
    format_name: Annotated[str, typer.Option("--format", help="diffusers or rediffuse.")] = "diffusers",
    seed: Seed = 0,
    study: StudyFile = ACTIVE,
) -> None:
    """Write a trained run as safetensors with its configuration and a model card."""
    from rediffuse.stages.exchange import export_run

    context = _open(study)
    resolved = context.loaded.run(run)
    _check_seed(resolved, seed)
    stale = export_run(context, resolved, seed, to, format_name)
    if stale is not None:
        print(f"note: since the training of {run}, {stale}", file=sys.stderr)
    print(f"{run}, seed {seed}, is in {to} ({format_name})")


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
    resolved = context.loaded.model(run)
    if not context.plan.has(kind, run, resolved.seeds[0]):
        having = dict.fromkeys(job.name.split("/")[1] for job in context.plan.jobs.values() if job.stage == kind)
        what = {"ablation": "an ablation", "generator": "a one-pass model"}.get(resolved.role, "a run")
        only = (
            f"only {', '.join(having)} {'has' if len(having) == 1 else 'have'} it" if having else "nothing here has it"
        )
        raise UserError(f"{kind}: {run} is {what}, and {only}")
    _check_seed(resolved, seed)
    if _stale(context, f"{kind}/{run}/seed{seed}"):
        stage = importlib.import_module(f"rediffuse.stages.{kind}")
        getattr(stage, kind)(context, resolved, seed)


def _check_seed(run: "ResolvedRun | ResolvedGenerator", seed: int) -> None:
    if seed not in run.seeds:
        raise UserError(f"run {run.name!r} has no seed {seed}; use one of {', '.join(map(str, run.seeds))}")


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
