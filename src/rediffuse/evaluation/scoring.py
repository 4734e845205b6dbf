"""All metrics of a set of images against a reference, group by group, in the form kept in a metrics file."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any
from weakref import WeakKeyDictionary

from rediffuse.errors import UserError
from rediffuse.evaluation.distances import mean_distance
from rediffuse.evaluation.features import Features
from rediffuse.evaluation.frechet import FrechetReference
from rediffuse.evaluation.inception_score import inception_score
from rediffuse.evaluation.intervals import grouped
from rediffuse.evaluation.kernel import KernelReference
from rediffuse.evaluation.manifold import ManifoldReference, ManifoldScores
from rediffuse.evaluation.metrics import METRICS
from rediffuse.evaluation.reference import Reference


class UnavailableError(Exception):
    """A metric cannot be computed from what there is; the message says why."""


@dataclass(frozen=True, eq=False)
class Scorer:
    """A reference with what its metrics need computed once, so that scoring many sets of images is quick."""

    reference: Reference
    # Four metrics share one search for neighbours; it is forgotten with the group that it was made for.
    _searched: WeakKeyDictionary[Features, ManifoldScores] = field(
        default_factory=WeakKeyDictionary, init=False, repr=False
    )

    @cached_property
    def frechet(self) -> FrechetReference:
        """The real side of Fréchet distances."""
        return FrechetReference(self.reference.mu, self.reference.sigma)

    @cached_property
    def kernel(self) -> KernelReference:
        """The real side of kernel distances; UnavailableError when the reference has no features."""
        if self.reference.features is None:
            raise UnavailableError("the reference holds only mu and sigma; a kernel distance needs its features")
        return KernelReference(self.reference.features)

    @cached_property
    def manifold(self) -> ManifoldReference:
        """The real side of scores by neighbours; UnavailableError when the reference has no or too few features."""
        if self.reference.features is None:
            raise UnavailableError("the reference holds only mu and sigma; neighbours need its features")
        try:
            return ManifoldReference(self.reference.features)
        except UserError as too_few:
            raise UnavailableError(str(too_few)) from None

    def neighbours(self, features: Features) -> ManifoldScores:
        """Precision, recall, density and coverage of one group."""
        if len(features) <= self.manifold.k:
            raise UnavailableError(f"balls of {self.manifold.k} neighbours need more than {len(features)} images")
        if features not in self._searched:
            self._searched[features] = self.manifold.score(features.features)
        return self._searched[features]

    def score(self, features: Features, *, group_size: int, groups: int) -> dict[str, Any]:
        """Metrics of the first `groups` × `group_size` images: group g is images [g·n, (g + 1)·n).

        Gives {"images", "features", "resize", "reference", "metrics"}; each metric is a `GroupedMean` as a dictionary,
        or has value null and the key "unavailable" with the reason.
        """
        used = self._check(features, group_size, groups)
        parts = [features[g * group_size : (g + 1) * group_size] for g in range(groups)]
        return {
            "images": used,
            "features": features.network,
            "resize": features.resize,
            "reference": self.reference.to_dict(),
            "metrics": {name: self._estimate(metric.compute, parts, group_size) for name, metric in METRICS.items()},
        }

    def _check(self, features: Features, group_size: int, groups: int) -> int:
        if group_size < 2 or groups < 1:
            raise UserError(f"scoring needs groups of at least 2 images, not {groups} groups of {group_size}")
        used = group_size * groups
        if len(features) < used:
            raise UserError(f"{groups} groups of {group_size} images need {used} images, there are {len(features)}")
        identity = self.reference.identity
        theirs, ours = (identity.network, identity.resize), (features.network, features.resize)
        dims, dim = len(self.reference.mu), features.features.shape[1]
        if theirs != ours or dims != dim:
            raise UserError(
                f"the reference is for {theirs[0]} ({theirs[1]}, {dims} dimensions), the images' features are of "
                f"{ours[0]} ({ours[1]}, {dim} dimensions): run `rediffuse reference`"
            )
        if None not in (identity.weights_sha256, features.weights_sha256) and (
            identity.weights_sha256 != features.weights_sha256
        ):
            raise UserError(f"the reference was made with other weights of {ours[0]}: run `rediffuse reference`")
        return used

    def _estimate(
        self, compute: "Callable[[Scorer, Features], float]", parts: list[Features], group_size: int
    ) -> dict[str, Any]:
        try:
            values = [compute(self, part) for part in parts]
        except UnavailableError as reason:
            empty = dict.fromkeys(("value", "low", "high", "std"))
            return {**empty, "groups": [], "n": group_size, "interval": "none", "unavailable": str(reason)}
        return grouped(values, group_size).to_dict()


def frechet_distance(scorer: Scorer, features: Features) -> float:
    """Fréchet distance of a group from the reference."""
    return scorer.frechet.distance(features.features)


def kernel_distance(scorer: Scorer, features: Features) -> float:
    """Kernel distance (KID) of a group from the reference's features."""
    return scorer.kernel.distance(features.features)


def inception_score_of_group(scorer: Scorer, features: Features) -> float:
    """Inception score of a group in one part."""
    if features.probabilities is None:
        raise UnavailableError(f"{features.network} gives no class probabilities")
    return inception_score(features.probabilities, splits=1).mean


def precision(scorer: Scorer, features: Features) -> float:
    """Share of a group that lies in a ball of the reference."""
    return scorer.neighbours(features).precision


def recall(scorer: Scorer, features: Features) -> float:
    """Share of the reference that lies in a ball of the group."""
    return scorer.neighbours(features).recall


def density(scorer: Scorer, features: Features) -> float:
    """Balls of the reference that an image of the group lies in, over their number of neighbours."""
    return scorer.neighbours(features).density


def coverage(scorer: Scorer, features: Features) -> float:
    """Share of the reference's balls that hold an image of the group."""
    return scorer.neighbours(features).coverage


def group_diversity(scorer: Scorer, features: Features) -> float:
    """Mean distance between two different images of a group."""
    return mean_distance(features.features)


def score(features: Features, reference: Reference, *, group_size: int, groups: int) -> dict[str, Any]:
    """Metrics of one set of images against `reference`; see `Scorer.score`."""
    return Scorer(reference).score(features, group_size=group_size, groups=groups)
