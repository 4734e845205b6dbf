"""Cells with made-up values."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from rediffuse.evaluation.intervals import t_half_width
from rediffuse.reporting.experiments.cells import Cell, Part


def cell(value: float, half: float | None = 1.0, *, n: int = 8, metric: str = "frechet_distance") -> Cell:
    """A value with an interval of unknown origin."""
    low, high = (None, None) if half is None else (value - half, value + half)
    return Cell("run", "setting", metric, value, low, high, n, (0,), "test", ("file",))


def _of(values: ArrayLike, parts: tuple[Part, ...], n: int, **facts: str) -> Cell:
    mean, half = float(np.mean(values)), t_half_width(values)
    seeds = tuple(part.seed for part in parts if part.seed is not None)
    where = {"run": "run", "setting": "setting", "metric": "frechet_distance", **facts}
    return Cell(
        **where, value=mean, low=mean - half, high=mean + half, n=n, seeds=seeds, interval="t", files=(), parts=parts
    )


def of_groups(values: ArrayLike, *, seeds: Sequence[int | None] = (0,), n: int = 8, **facts: str) -> Cell:
    """Of one training seed, over groups of n images."""
    groups = tuple(map(float, np.asarray(values)))
    return _of(values, (Part(seeds[0], float(np.mean(groups)), groups),), n, **facts)


def of_images(values: ArrayLike) -> Cell:
    """Of one training seed, over images that have a value each."""
    images = tuple(map(float, np.asarray(values)))
    return _of(values, (Part(0, float(np.mean(images)), (), images),), len(images), metric="bits_per_dim")


def of_seeds(values: ArrayLike, first: int = 0, **facts: str) -> Cell:
    """Of several training seeds, from `first` on."""
    return _of(values, tuple(Part(first + i, float(v)) for i, v in enumerate(np.asarray(values))), 8, **facts)
