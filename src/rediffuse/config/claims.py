"""What claims and experiments may name: cells that the study makes, and metrics that these have."""

from collections.abc import Mapping

from rediffuse.config.expand import Planned
from rediffuse.config.experiment import Claim
from rediffuse.config.study import ResolvedRun
from rediffuse.errors import shown
from rediffuse.evaluation.metrics import CLASS_METRICS, METRICS, RUN_METRICS
from rediffuse.models.registry import MODELS

KNOWN = {**METRICS, **CLASS_METRICS, **RUN_METRICS}
LINES = ("real/held-out", "real/noise")


def check_claims(claims: Mapping[str, Claim], runs: Mapping[str, ResolvedRun]) -> None:
    """Raise ValueError when a claim names a run, a cell or a metric that the study does not make."""
    for where, claim in claims.items():
        _check_metric(f"{where}.metric", claim.metric)
        if claim.form == "loss":
            trained = [name for name, run in runs.items() if run.weights is None and not MODELS[run.model].one_pass]
            if claim.run not in trained:
                raise ValueError(
                    f"{where}.run: {shown(claim.run)} is no run that is trained; use one of {', '.join(trained)}"
                )
            continue
        cells, wanted = _cells(claim.metric, runs)
        for key, cell in claim.places():
            if cell not in cells:
                raise ValueError(f"{where}.{key}: {shown(cell)} has no {claim.metric} in this study; use {wanted}")


def check_experiments(planned: Mapping[str, Planned]) -> None:
    """Raise ValueError when an experiment measures what there is no metric for, or cannot be drawn as it says."""
    for name, one in planned.items():
        for metric in one.asks.metrics:
            _check_metric(f"experiments.{name}.metrics", metric)
        if one.asks.picture == "heat-map" and len(one.axes) != 2:
            axes = ", ".join(one.axes) or "none"
            raise ValueError(f"experiments.{name}.picture: a heat-map has two axes, this has {axes}; use line or dots")


def check_headline(headline: tuple[str, ...] | None) -> None:
    """Raise ValueError when runs are to be compared by what is no metric of samples."""
    for name in headline or ():
        if name not in METRICS:
            raise ValueError(f"evaluation.headline: {shown(name)} is not a metric; use some of {', '.join(METRICS)}")
    if headline and (headline[0] != "frechet_distance" or len(set(headline)) < len(headline)):
        raise ValueError("evaluation.headline: begins with frechet_distance, and names each metric once")


def _check_metric(where: str, metric: str) -> None:
    if metric not in KNOWN:
        raise ValueError(f"{where}: {shown(metric)} is not a metric; use one of {', '.join(KNOWN)}")


def _cells(metric: str, runs: Mapping[str, ResolvedRun]) -> tuple[set[str], str]:
    """Cells that have the metric, and how one is written."""
    if (setting := KNOWN[metric].setting) is not None:
        bounded = [n for n, run in runs.items() if MODELS[run.model].bound and run.role != "ablation"]
        return {f"{name}/{setting}" for name in bounded}, f"RUN/{setting}"
    lines = set() if metric in CLASS_METRICS else set(LINES)
    found = {f"{name}/{setting}" for name, run in runs.items() for setting in _settings(run, metric)}
    return found | lines, "RUN/SAMPLER-STEPS as `rediffuse check` prints them"


def _settings(run: ResolvedRun, metric: str) -> list[str]:
    if MODELS[run.model].one_pass:
        return [] if metric in CLASS_METRICS else ["one-pass-1"]
    told = metric not in CLASS_METRICS or getattr(run.network, "class_conditional", False)
    samplers = run.sampling.samplers
    return [s for s, key, _ in run.sampling.settings() if told or samplers[key].classifier_scale is not None]
