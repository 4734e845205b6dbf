"""What claims and experiments may name: cells that the study makes, and metrics that these have."""

import difflib
from collections.abc import Mapping

from rediffuse.config.expand import Planned
from rediffuse.config.experiment import Claim
from rediffuse.config.study import ResolvedRun, Study
from rediffuse.data.registry import SOURCES
from rediffuse.errors import one_of, shown
from rediffuse.evaluation.metrics import (
    COLOUR_METRICS,
    KNOWN,
    METRICS,
    OF_VARIATIONS,
    PIXEL_METRICS,
    RESTORED,
    RESTORED_METRICS,
    RUN_METRICS,
)
from rediffuse.models.registry import MODELS

LINES = ("real/held-out", "real/noise")
#: What stands for a sampler in the cell of what a trained network tells by itself.
TRAINED = "trained"


def asked_of_networks(study: Study, planned: Mapping[str, Planned]) -> set[str]:
    """The runs of whose trained networks an experiment measures something, or a claim says something."""
    claims = [*study.claims, *(claim for one in planned.values() for claim in one.asks.claims)]
    places = (cell.split("/", 1) for claim in claims for cell in claim.named())
    named = {run for run, *setting in places if setting == [TRAINED]}
    own = {name for name, metric in RUN_METRICS.items() if metric.setting == TRAINED}
    return named | {member.run for one in planned.values() if own & set(one.asks.metrics) for member in one.members}


def check_claims(claims: Mapping[str, Claim], runs: Mapping[str, ResolvedRun]) -> None:
    """Raise ValueError when a claim names a run, a cell or a metric that the study does not make."""
    known: dict[str, tuple[set[str], str]] = {}
    for where, claim in claims.items():
        _check_metric(f"{where}.metric", claim.metric)
        if claim.form == "loss":
            trained = [name for name, run in runs.items() if run.weights is None and not MODELS[run.model].one_pass]
            if claim.run not in trained:
                raise ValueError(
                    f"{where}.run: {shown(claim.run)} is no run that is trained; {one_of(claim.run, trained)}"
                )
            continue
        if claim.metric not in known:
            known[claim.metric] = _cells(claim.metric, runs)
        cells, wanted = known[claim.metric]
        for key, cell in claim.places():
            if cell not in cells:
                close = difflib.get_close_matches(cell, sorted(cells), n=1)
                hint = f"did you mean {close[0]!r}?" if close else f"use {wanted}"
                raise ValueError(f"{where}.{key}: {shown(cell)} has no {claim.metric} in this study; {hint}")


def check_experiments(planned: Mapping[str, Planned], runs: Mapping[str, ResolvedRun]) -> None:
    """Raise ValueError when an experiment measures what there is no metric for, or cannot be drawn as it says."""
    for name, one in planned.items():
        where = f"experiments.{name}.metrics"
        for metric in one.asks.metrics:
            _check_metric(where, metric)
            if one.asks.metrics.count(metric) > 1:
                raise ValueError(f"{where}: names {metric} twice; name it once")
            without = [m.cell for m in one.members if not has(metric, runs[m.run], m.setting)]
            # Values of classes may be those of some runs alone.
            if without and (metric in RUN_METRICS or len(without) == len(one.members)):
                raise ValueError(f"{where}: there is no {metric} of {without[0]}; leave it out, or name other runs")
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
        meant = {one.inception.lower(): name for name, one in KNOWN.items() if one.inception}.get(
            metric.lower(), metric
        )
        raise ValueError(f"{where}: {shown(metric)} is not a metric; {one_of(meant, KNOWN)}; docs/study.md lists all")


def has(metric: str, run: ResolvedRun, setting: str) -> bool:
    """Whether a metric is computed of what a run makes in a setting, or of the run itself."""
    if metric in RESTORED_METRICS:
        return run.restores and setting in RESTORED and RESTORED[setting][2] in (None, *run.restoration.methods)
    if metric in RUN_METRICS:
        bounded = MODELS[run.model].bound and run.role != "ablation"
        return run.probed if RUN_METRICS[metric].setting == TRAINED else bounded
    keys = {name: key for name, key, _ in run.sampling.settings()} if not MODELS[run.model].one_pass else {}
    sampler = run.sampling.samplers[keys[setting]] if setting in keys else None
    if sampler is not None and sampler.variations is not None and metric not in OF_VARIATIONS:
        return False
    if metric in COLOUR_METRICS:
        return run.data.source_name not in SOURCES or SOURCES[run.data.source_name].channels != 1
    if metric in METRICS or metric in PIXEL_METRICS:
        return metric in METRICS or run.role != "ablation"  # whose samples only their own machine has
    guided = sampler is not None and sampler.classifier_scale is not None
    return guided or getattr(run.network, "class_conditional", False)


def _cells(metric: str, runs: Mapping[str, ResolvedRun]) -> tuple[set[str], str]:
    """Cells that have the metric, and how one is written."""
    if (setting := KNOWN[metric].setting) is not None:
        return {f"{name}/{setting}" for name, run in runs.items() if has(metric, run, setting)}, f"RUN/{setting}"
    if metric in RESTORED_METRICS:
        places = {f"{name}/{place}" for name, run in runs.items() for place in RESTORED if has(metric, run, place)}
        return places, "RUN/TASK-METHOD, such as RUN/denoising-posterior-mean"
    lines = set(LINES) if metric in METRICS or metric in COLOUR_METRICS else set()
    found = {
        f"{name}/{setting}" for name, run in runs.items() for setting in _settings(run) if has(metric, run, setting)
    }
    return found | lines, "RUN/SAMPLER-STEPS as `rediffuse check` prints them"


def _settings(run: ResolvedRun) -> list[str]:
    return ["one-pass-1"] if MODELS[run.model].one_pass else [setting for setting, _, _ in run.sampling.settings()]
