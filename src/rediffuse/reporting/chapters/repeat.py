"""How to repeat all of it."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeAlias
from rediffuse.config.facts import HEADLINE_METRICS
from rediffuse.reporting import (
    ablation,
    colours,
    compute,
    compute_resolution,
    during_training,
    fidelity,
    figures,
    figures_more,
    grids,
    guidance,
    memorisation,
    mode_coverage,
    one_pass,
    one_pass_figures,
    restoration,
    sample_count,
    sentences,
    tables,
    tables_cost,
    tables_setup,
)
from rediffuse.reporting.ablation import CurrentKeys
from rediffuse.reporting.cells import Cells
from rediffuse.reporting.claims import Verdict, tally
from rediffuse.reporting.frames import Frames
from rediffuse.reporting.style import Picture, styled
from rediffuse.reporting.table import Table
from rediffuse.reporting.terms import NOT_RUN, counted, listed, metric_title, run_of_role


def _repeat(frames: Frames) -> list[Item]:
    study = frames.loaded.study
    baseline = run_of_role(frames.loaded, "baseline")
    example = baseline.name if baseline else next(iter(frames.loaded.runs))
    lines = (
        (f"rediffuse use {study.study}", "make this study the active one"),
        ("make repro", "install what is needed and rebuild every result"),
        ("dvc repro", "rebuild what is out of date, in the active environment"),
        (ablation.COMMAND, "run the ablations; then `dvc repro` takes them into this report"),
        (
            f"rediffuse train {example} --seed {study.seeds[0]}",
            "one job by itself; the pedigree names the command of each file",
        ),
        ("rediffuse status", "say of every job whether it is up to date"),
        ("dvc metrics show", "the numbers of metrics.json; `dvc metrics diff` compares with the last commit"),
        ("make ui", f"the runs in MLflow, also `mlflow ui --backend-store-uri {study.tracking.uri}`"),
        ("rediffuse track", "log to MLflow what is on disk and not there yet"),
    )
    return [
        "In a clone of the repository, with the environment active after the first `make`:",
        Code(lines),
        "Weights, samples and metrics are promised to be the same bytes on the same model of processor; timings are "
        "not.",
    ]

