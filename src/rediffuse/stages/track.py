"""Replays into MLflow what lies on disk and is not there yet."""

import sys

from rediffuse.config import ResolvedGenerator, ResolvedRun
from rediffuse.errors import UserError
from rediffuse.stages.context import Context
from rediffuse.tracking import (
    log_classifier,
    log_evaluation,
    log_examination,
    log_likelihood,
    log_report,
    open_tracker,
    track_training,
    tracking_uri,
)


def track(context: Context) -> None:
    """Log every finished training, what was made of it, and the report of the study; running it again changes nothing.

    Raises:
        UserError: tracking is off in this study.
    """
    if (uri := tracking_uri(context)) is None:
        raise UserError("tracking.enabled: is false in this study; set it to true to log")
    logged = 0
    with open_tracker(context) as tracker:
        if tracker is None:
            raise UserError(f"tracking.uri: {uri} cannot be used; see the message above")
        loaded = context.loaded
        models: list[ResolvedRun | ResolvedGenerator] = [*loaded.runs.values(), *loaded.ablations.values()]
        for run in [*models, *loaded.generators.values()]:
            for seed in run.seeds:
                if context.plan.has("classifier", run.name, seed) and is_made(context, "classifier", run, seed):
                    log_classifier(tracker, context, run, seed)  # which may be trained before its run
                if is_made(context, "evaluate", run, seed):
                    log_evaluation(tracker, context, run, seed)
                elif is_made(context, run.train_stage, run, seed):
                    track_training(tracker, context, run, seed)
                else:
                    continue
                if has_likelihood(context, run, seed):
                    log_likelihood(tracker, context, run, seed)
                if context.plan.has("examine", run.name, seed) and is_made(context, "examine", run, seed):
                    log_examination(tracker, context, run, seed)
                logged += 1
        if (context.root / context.plan.find("report").receipt).exists():
            log_report(tracker, context)
    print(f"{logged} runs of study {context.plan.study} are in {uri}", file=sys.stderr)


def has_likelihood(context: Context, run: ResolvedRun | ResolvedGenerator, seed: int) -> bool:
    """Whether a bound on the likelihood lies there: of stage `nll`, or of a VAE, whose training makes it."""
    if isinstance(run, ResolvedGenerator):
        return run.kind == "vae" and is_made(context, "fit", run, seed)
    return run.role != "ablation" and is_made(context, "nll", run, seed)


def is_made(context: Context, stage: str, run: ResolvedRun | ResolvedGenerator, seed: int) -> bool:
    """Whether a stage's files lie there, of today's settings and code or of earlier ones."""
    job = context.plan.find(stage, run.name, seed)
    return all((context.root / path).exists() for path in (job.receipt, *job.outputs))
