"""What one set of samples says beyond its scores: is it copied, does it cover the classes, and how much of its Fréchet
distance comes from the number of images. Everything is computed of held-out real images in the same way: only beside
theirs do these numbers mean something.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from rediffuse.errors import UserError
from rediffuse.evaluation.classes import ClassReference, FeatureClassifier, class_histogram
from rediffuse.evaluation.distances import pixel_vectors
from rediffuse.evaluation.extrapolation import by_count, extrapolated
from rediffuse.evaluation.frechet import FrechetReference
from rediffuse.evaluation.neighbours import Neighbours, duplicates, from_distances, nearest

#: Numbers of images at which a distance is computed, as far as there are twice as many.
COUNTS = (10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000, 20_000)
SUBSETS = 8
#: Points of the extrapolated line and random halves of its interval.
PARTS, HALVES = 4, 10
#: Images a class needs for a Fréchet distance of its own.
LEAST_OF_A_CLASS = 20


@dataclass(frozen=True, eq=False)
class ImageGroup:
    """Images uint8 [N, C, H, W], their features [N, dim], and their classes int [N]: real, asked for, or none."""

    images: np.ndarray
    features: np.ndarray
    labels: np.ndarray | None = None

    def __post_init__(self) -> None:
        counts = {len(part) for part in (self.images, self.features, self.labels) if part is not None}
        if len(counts) != 1:
            raise ValueError(f"images, features and labels differ in number: {sorted(counts)}")

    def __len__(self) -> int:
        return len(self.images)


def nearest_by_space(images: ImageGroup, training: ImageGroup) -> dict[str, Neighbours]:
    """The nearest training image of each image, in "pixels" (values in [0, 1]) and in "features"."""
    return {space: nearest(_vectors(images, space), _vectors(training, space)) for space in ("pixels", "features")}


def copies(
    samples: ImageGroup,
    training: ImageGroup,
    held_out: ImageGroup,
    *,
    known: dict[str, Neighbours] | None = None,
    shown: int = 8,
) -> dict[str, Any]:
    """Distances to the nearest training image in pixels and in features, duplicates, and the neighbours to look at.

    known: `nearest_by_space` of the held-out images, where it has been found before. Gives {"memorisation": {space:
    `Memorisation` and both medians}, "duplicates": {"samples", "held_out"}, "neighbours": {"samples", "held_out"}}; the
    last has a row for each of the first `shown` images: position, and in each space the position of its nearest
    training image and the distance.
    """
    groups = {"samples": samples, "held_out": held_out}
    found = {
        "samples": nearest_by_space(samples, training),
        "held_out": nearest_by_space(held_out, training) if known is None else known,
    }
    memorised = {}
    for space in ("pixels", "features"):
        distances = {name: by_space[space].distance for name, by_space in found.items()}
        judged = from_distances(distances["samples"], distances["held_out"], len(training))
        medians = {f"median_{name}": float(np.median(distance)) for name, distance in distances.items()}
        memorised[space] = {**asdict(judged), **medians}
    return {
        "memorisation": memorised,
        "duplicates": {
            name: asdict(duplicates(group.images, training.images, found[name]["pixels"]))
            for name, group in groups.items()
        },
        "neighbours": {
            name: [
                {"position": i, **{space: _neighbour(near, i) for space, near in found[name].items()}}
                for i in range(min(shown, len(group)))
            ]
            for name, group in groups.items()
        },
    }


def _vectors(group: ImageGroup, space: str) -> np.ndarray:
    return pixel_vectors(group.images) if space == "pixels" else group.features


def _neighbour(found: Neighbours, place: int) -> dict[str, Any]:
    return {"training": int(found.index[place]), "distance": float(found.distance[place])}


def distance_by_count(features: np.ndarray, reference: FrechetReference) -> dict[str, Any]:
    """Fréchet distance of features [N, dim] at fewer images and, extrapolated, at infinitely many.

    Gives {"images", "dimension", "counts": [a `GroupedMean` each], "extrapolation": `Extrapolation` or None, "reason":
    why there is none}. The line is to be trusted only where images exceed the dimension (see `extrapolation`).
    """
    total = len(features)
    wanted = [n for n in COUNTS if 2 * n <= total] + [total]
    found = by_count(features, reference, wanted, subsets=SUBSETS)
    try:
        # One order of the images: the interval comes from random halves, not from more of them.
        line = asdict(extrapolated(features, reference, parts=PARTS, permutations=1, halves=HALVES))
        reason = ""
    except UserError as too_few:
        line, reason = None, str(too_few)
    return {
        "images": total,
        "dimension": int(features.shape[1]),
        "counts": [found[n].to_dict() for n in wanted],
        "extrapolation": line,
        "reason": reason,
    }


def class_shares(
    samples: ImageGroup,
    training: ImageGroup,
    held_out: ImageGroup,
    names: list[str],
    classifier: Callable[[], FeatureClassifier] | None = None,
) -> dict[str, Any] | None:
    """Which classes samples show to a classifier of the training images' features, and held-out images likewise.

    None where images have no classes, or a class has no training image. `classifier` gives the one to ask, where it has
    been trained before. `divergence` is from the training images' classes; `accuracy` is the classifier's on held-out
    images.
    """
    if training.labels is None or held_out.labels is None or len(names) < 2:
        return None
    if len(np.unique(training.labels)) < len(names):
        return None
    judge = classifier() if classifier else FeatureClassifier.fit(training.features, training.labels)
    return {
        "names": names,
        "training": np.bincount(training.labels, minlength=len(names)).tolist(),
        "accuracy": judge.accuracy(held_out.features, held_out.labels),
        **{
            name: asdict(class_histogram(judge.predict(group.features), len(names), training.labels))
            for name, group in (("samples", samples), ("held_out", held_out))
        },
    }


def by_class(samples: ImageGroup, training: ImageGroup, held_out: ImageGroup) -> dict[str, Any] | None:
    """Fréchet distance within each class, from as many samples as held-out images of every class.

    None where samples were not asked for by class, or a class has fewer than `LEAST_OF_A_CLASS` images.
    """
    if samples.labels is None or training.labels is None or held_out.labels is None:
        return None
    classes = np.unique(training.labels)
    count = min(int((group.labels == label).sum()) for group in (samples, held_out) for label in classes)
    if count < LEAST_OF_A_CLASS:
        return None
    reference = ClassReference(training.features, training.labels)
    scores = {}
    for name, group in (("samples", samples), ("held_out", held_out)):
        assert group.labels is not None
        chosen = np.concatenate([np.flatnonzero(group.labels == label)[:count] for label in classes])
        judged = reference.distance(group.features[chosen], group.labels[chosen])
        scores[name] = {"mean": judged.mean, "distances": [judged.distances[int(label)] for label in classes]}
    return {"count": count, "classes": classes.tolist(), **scores}
