"""Memorisation: how near samples lie to training images, measured by how near unseen real images lie to them.

A small distance to the training set by itself says little, since images of simple data lie close to one another; the
yardstick is the distance from held-out real images to the same training set. A model that generalises has samples as
far from the training images as held-out ones are; a copier's lie nearer. Both pixels and features are worth a look:
pixels miss a shifted copy, features may miss nothing but see less.

One-sided: samples that are bad lie far from everything, so a model is not cleared of copying by bad samples.
"""

from dataclasses import dataclass

import numpy as np
import scipy.stats
from numpy.typing import ArrayLike

from rediffuse.errors import UserError
from rediffuse.evaluation.distances import DistanceBlocks, as_vectors, pixel_vectors


@dataclass(frozen=True, eq=False)
class Neighbours:
    """Nearest reference images. index: int64 [N]; distance: float64 [N], Euclidean, computed from the difference."""

    index: np.ndarray
    distance: np.ndarray


def nearest(queries: ArrayLike, reference: ArrayLike) -> Neighbours:
    """The nearest of reference [M, dim] to each of queries [N, dim]: exact search, block by block.

    The first of several equally near ones, up to the rounding of a matrix product (`distances`).
    """
    queries, reference = as_vectors(queries, "samples"), as_vectors(reference, "training images")
    index = np.empty(len(queries), dtype=np.int64)
    for rows, squared in DistanceBlocks(reference, "training images").to(queries, "samples"):
        index[rows] = squared.argmin(1)
    return Neighbours(index, _distances(queries, reference, index))


def nearest_among(vectors: ArrayLike) -> Neighbours:
    """The nearest other one of vectors [N, dim], N ≥ 2, to each of them."""
    vectors = as_vectors(vectors, "images", 2)
    index = np.empty(len(vectors), dtype=np.int64)
    for rows, squared in DistanceBlocks(vectors, "images", 2).among():
        index[rows] = squared.argmin(1)
    return Neighbours(index, _distances(vectors, vectors, index))


def _distances(queries: np.ndarray, reference: np.ndarray, index: np.ndarray) -> np.ndarray:
    found = np.empty(len(queries))
    for start in range(0, len(queries), 4096):
        rows = slice(start, start + 4096)
        found[rows] = np.linalg.norm(queries[rows] - reference[index[rows]], axis=1)
    return found


@dataclass(frozen=True)
class Memorisation:
    """How samples' distances to the training set compare with held-out images' distances to it.

    ratio: median distance of samples over median distance of held-out images; below 1 is nearer (None where held-out
    images lie at distance 0). closer: share of samples nearer than the `quantile` of held-out distances; a model that
    generalises has `quantile` of them there. auroc: probability that a sample lies farther out than a held-out image
    does, ties by half; 0.5 when the two do not differ, 0 for a copier. z: the same as a standard normal variate,
    Mann and Whitney's (Meehan et al. 2020's Z_U): far below 0 means copying, far above means underfitting.
    samples, held_out, training: counts.
    """

    ratio: float | None
    closer: float
    quantile: float
    auroc: float
    z: float
    samples: int
    held_out: int
    training: int


def memorisation(
    samples: ArrayLike, training: ArrayLike, held_out: ArrayLike, *, quantile: float = 0.05
) -> Memorisation:
    """Nearest-neighbour distances of samples [N, dim] against those of held_out [M, dim], both to training [T, dim]."""
    training = as_vectors(training, "training images")
    return from_distances(
        nearest(samples, training).distance, nearest(held_out, training).distance, len(training), quantile=quantile
    )


def from_distances(samples: np.ndarray, held_out: np.ndarray, training: int, *, quantile: float = 0.05) -> Memorisation:
    """`memorisation` from distances [N] and [M] to the nearest of `training` images, the same for both.

    Raises UserError for a quantile outside (0, 1) or an empty set.
    """
    if not 0 < quantile < 1:
        raise UserError(f"the quantile of held-out distances must lie between 0 and 1, not {quantile}")
    if min(len(samples), len(held_out)) < 1:
        raise UserError("memorisation needs samples and held-out images, at least one of each")
    median = float(np.median(held_out))
    auroc, z = rank_statistic(samples, held_out)
    return Memorisation(
        ratio=float(np.median(samples)) / median if median > 0 else None,
        closer=float((samples < np.quantile(held_out, quantile)).mean()),
        quantile=quantile,
        auroc=auroc,
        z=z,
        samples=len(samples),
        held_out=len(held_out),
        training=training,
    )


def rank_statistic(values: np.ndarray, others: np.ndarray) -> tuple[float, float]:
    """P(value > other) + ½ P(value = other), and that as Mann and Whitney's z, its variance corrected for ties.

    values: [N]; others: [M]. z is 0 where every value is the same.
    """
    n, m = len(values), len(others)
    both = np.concatenate([values, others])
    ranks = scipy.stats.rankdata(both)
    above = float(ranks[:n].sum()) - n * (n + 1) / 2
    _, ties = np.unique(both, return_counts=True)
    total = n + m
    tied = float((ties.astype(np.float64) ** 3 - ties).sum()) / (total * (total - 1))
    variance = n * m / 12 * (total + 1 - tied)
    return above / (n * m), (above - n * m / 2) / variance**0.5 if variance > 0 else 0.0


def copying_statistic(
    samples: ArrayLike, training: ArrayLike, held_out: ArrayLike, *, cells: int = 1, least: int = 10, seed: int = 0
) -> float:
    """C_T of Meehan, Chaudhuri & Dasgupta 2020 (section 3): `Memorisation.z` within cells, averaged over them.

    The space is cut into `cells` by k-means on the training images; distances are to the training images of the same
    cell. Cells weigh as many held-out images as they hold; those with fewer than `least` samples or held-out images
    are left out. Below −3 or so is data-copying; with one cell it is the statistic of the whole. Copying in some
    regions that underfitting elsewhere hides shows only with several. UserError when no cell has enough.
    """
    samples, held_out = as_vectors(samples, "samples"), as_vectors(held_out, "held-out images")
    training = as_vectors(training, "training images", cells)
    if cells < 1:
        raise UserError(f"the space is cut into at least 1 cell, not {cells}")
    if cells == 1:
        labels = [np.zeros(len(points), dtype=np.int64) for points in (samples, training, held_out)]
    else:
        from sklearn.cluster import KMeans

        model = KMeans(cells, n_init=4, random_state=seed).fit(training)
        labels = [model.predict(points) for points in (samples, training, held_out)]
    weights, values = [], []
    for cell in range(cells):
        here, known, unseen = (
            points[label == cell] for points, label in zip((samples, training, held_out), labels, strict=True)
        )
        if min(len(here), len(unseen)) < least or len(known) == 0:
            continue
        weights.append(len(unseen))
        values.append(rank_statistic(nearest(here, known).distance, nearest(unseen, known).distance)[1])
    if not values:
        raise UserError(
            f"none of {cells} cells has {least} samples and {least} held-out images: take fewer cells or more images"
        )
    return float(np.average(values, weights=weights))


@dataclass(frozen=True)
class Duplicates:
    """Images that are there twice.

    exact: samples whose bytes are those of a training image; near: samples within `threshold` of one, exact ones
    included; exact_among: samples whose bytes an earlier sample has; near_among: samples with another one within
    `threshold`. threshold: root mean square difference per pixel value in units of the range 0..255 → [0, 1].
    """

    exact: int
    near: int
    exact_among: int
    near_among: int
    threshold: float
    samples: int
    training: int


def duplicates(
    samples: np.ndarray, training: np.ndarray, found: Neighbours | None = None, *, threshold: float = 0.02
) -> Duplicates:
    """Count duplicates of uint8 images [N, C, H, W] in training [T, C, H, W] and among themselves; N ≥ 2.

    found: the nearest training image of each sample in pixel values in [0, 1], where it is known. The default threshold
    is a difference of 5 of 255 grey levels. Count held-out images the same way before reading the number: on simple
    data unseen real images have near duplicates too.
    """
    for what, images in (("samples", samples), ("training images", training)):
        if images.dtype != np.uint8 or images.ndim != 4:
            raise UserError(f"{what} must be uint8 [N, C, H, W], not {images.dtype} {list(images.shape)}")
    if samples.shape[1:] != training.shape[1:]:
        raise UserError(f"samples are {list(samples.shape[1:])}, training images {list(training.shape[1:])}")
    known = {image.tobytes() for image in training}
    own = [image.tobytes() for image in samples]
    x = pixel_vectors(samples)
    found = found or nearest(x, pixel_vectors(training))
    far = threshold * x.shape[1] ** 0.5
    return Duplicates(
        exact=sum(image in known for image in own),
        near=int((found.distance <= far).sum()),
        exact_among=len(own) - len(set(own)),
        near_among=int((nearest_among(x).distance <= far).sum()),
        threshold=threshold,
        samples=len(samples),
        training=len(training),
    )
