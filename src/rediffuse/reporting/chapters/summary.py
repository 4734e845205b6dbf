"""The answer in a few sentences."""

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


def _summary(frames: Frames, cells: Cells, verdicts: list[Verdict]) -> list[Item]:
    study = frames.loaded.study
    n = study.evaluation.group_size
    texts = (
        sentences.headline(frames, cells) + sentences.best_settings(frames, cells) + sentences.real_line(frames, cells)
    )
    texts += sentences.likelihood(frames, cells)
    texts += [tally(verdicts)] if verdicts else []
    fid = metric_title("frechet_distance", frames.features)
    if fid != "FID":
        texts.append(
            f"The {fid} is not FID, which is a Fréchet distance in Inception-v3 features, and it is computed from {n} "
            "images where "
            "papers take 50,000: the values here may be compared with one another and with the lines of real images "
            "and noise, "
            "not with published ones."
        )
    elif n < 50_000:
        texts.append(
            f"FID here is computed from {n:,} images where papers take 50,000, which raises it: compare it only at "
            "the same n."
        )
    return [study.summary, Bullets(tuple(texts))]

