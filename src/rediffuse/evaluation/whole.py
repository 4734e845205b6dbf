"""One value of all samples at once, as papers quote it, beside the groups that give an interval.

Published FIDs are of 50,000 samples against all training images, in one distance; published Inception scores are the
mean over ten parts of these samples, with the deviation over parts. A single value has no interval,
and none is claimed.
"""

from collections.abc import Iterable
from typing import Any

from rediffuse.evaluation.features import Features
from rediffuse.evaluation.scoring import Scorer
from rediffuse.evaluation.streaming import RunningFeatures

#: Parts of an Inception score, where there are as many images (Salimans et al. 2016).
SPLITS = 10
_ROWS = 1024


class WholeScore:
    """Fréchet distance and Inception score of `count` ≥ 2 images whose features arrive in parts: memory is that of
    [dim, dim] numbers, whatever the count.
    """

    def __init__(self, scorer: Scorer, count: int) -> None:
        self._scorer, dim = scorer, len(scorer.reference.mu)
        # No more images than dimensions: their features are small, and give the distance as that of a group is had.
        self._kept = count <= dim
        self._running = RunningFeatures(count, dim, count if self._kept else 0, min(SPLITS, count // 2))

    def update(self, features: Features) -> None:
        """Take in the features of the next images."""
        for start in range(0, len(features), _ROWS):
            self._running.update(features[start : start + _ROWS])

    def to_dict(self) -> dict[str, Any]:
        """The form kept in a metrics file: {"images", "metrics"}, each metric with its n and what
        it is measured from.
        """
        count, identity = self._running.count, self._scorer.reference.identity
        mean, covariance = self._running.finish()
        frechet = self._scorer.frechet
        distance = (
            frechet.distance(self._running.kept().features)
            if self._kept
            else frechet.distance_to_moments(mean, covariance)
        )
        found: dict[str, Any] = {
            "frechet_distance": {
                "value": distance,
                "n": count,
                "reference": {"dataset": identity.dataset, "split": identity.split, "count": identity.count},
            }
        }
        score = self._running.inception_score()
        if score is not None:
            splits = len(score.parts)
            found["inception_score"] = {"value": score.mean, "std": score.std, "splits": splits, "n": count}
        return {"images": count, "metrics": found}


def whole_score(scorer: Scorer, parts: Iterable[Features], count: int) -> dict[str, Any]:
    """`WholeScore.to_dict` of `count` images whose features come in `parts`."""
    score = WholeScore(scorer, count)
    for features in parts:
        score.update(features)
    return score.to_dict()
