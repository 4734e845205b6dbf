"""Scoring of images that arrive in batches: memory is bounded by what is kept, not by how many images there are.

Mean, covariance and Inception score take in every image as it passes. Metrics that need the features themselves (kernel
distance and the like) are computed on at most `keep` images, evenly spaced, and say their number in `n`.
"""

from collections.abc import Iterable, Iterator
from itertools import pairwise
from typing import Any

import numpy as np

from rediffuse.errors import UserError
from rediffuse.evaluation.features import BATCH_MULTIPLE, FeatureNetwork, Features, joined
from rediffuse.evaluation.frechet import FrechetReference, RunningMoments
from rediffuse.evaluation.inception_score import InceptionScore, entropy, split_edges, summarised
from rediffuse.evaluation.intervals import grouped
from rediffuse.evaluation.reference import Reference, ReferenceIdentity
from rediffuse.evaluation.scoring import Scorer

KEEP = 10_000
# Rows that are gathered before the moments are brought up to date: an update costs dim² whatever its number of rows.
_ROWS = 1024


def whole_batches(batch_size: int) -> int:
    """The smallest batch of at least `batch_size` images that a feature network need not pad."""
    if batch_size < 1:
        raise UserError(f"the batch size must be at least 1, not {batch_size}")
    return -(-batch_size // BATCH_MULTIPLE) * BATCH_MULTIPLE


def extract_batches(network: FeatureNetwork, batches: Iterable[np.ndarray]) -> Iterator[Features]:
    """Features of each batch of uint8 images [B, C, H, W], one after another."""
    for batch in batches:
        try:
            features = network.extract(batch, len(batch))
        except ValueError as damage:
            if isinstance(damage, UserError):
                raise
            raise UserError(str(damage)) from None
        yield features


class RunningFeatures:
    """What `count` images that arrive in batches of features look like, in memory that does not grow with `count`.

    Holds mean and covariance of all, the sums behind Inception score in `splits` parts, and the features (and class
    probabilities) of min(count, keep) evenly spaced images: the same ones that `make_reference` keeps.
    """

    def __init__(self, count: int, dim: int, keep: int = KEEP, splits: int = 1) -> None:
        self.count, self.seen = count, 0
        self.moments = RunningMoments(dim)
        kept = min(count, keep)
        self._positions = np.arange(kept) * count // max(kept, 1)
        self._kept: list[Features] = []
        self._waiting: list[np.ndarray] = []
        self._edges = split_edges(count, splits)
        self._probabilities: np.ndarray | None = None
        self._entropies = np.zeros(splits)

    def update(self, features: Features) -> None:
        """Take in the features of the next images."""
        start, stop = self.seen, self.seen + len(features)
        if stop > self.count:
            raise ValueError(f"{stop} images arrived, {self.count} were announced")
        low, high = np.searchsorted(self._positions, [start, stop])
        if high > low:
            self._kept.append(features[self._positions[low:high] - start])
        self.seen = stop
        self._waiting.append(features.features)
        if sum(map(len, self._waiting)) >= _ROWS:
            self._flush()
        if features.probabilities is not None:
            # As `inception_score` does: rows made to sum to one in float64.
            p = features.probabilities.astype(np.float64)
            p /= p.sum(1, keepdims=True)
            if self._probabilities is None:
                self._probabilities = np.zeros((len(self._entropies), p.shape[1]))
            for part, (low, high) in enumerate(pairwise(self._edges)):
                rows = p[max(low - start, 0) : max(high - start, 0)]
                self._probabilities[part] += rows.sum(0)
                self._entropies[part] += float(entropy(rows).sum())

    def _flush(self) -> None:
        if self._waiting:
            self.moments.update(np.concatenate(self._waiting))
            self._waiting = []

    def finish(self) -> tuple[np.ndarray, np.ndarray]:
        """Mean [dim] and covariance [dim, dim] of all images, in float64."""
        if self.seen != self.count:
            raise ValueError(f"{self.seen} images arrived, {self.count} were announced")
        self._flush()
        return self.moments.mean, self.moments.covariance()

    def kept(self) -> Features:
        """Features of the images that were kept."""
        return joined(self._kept)

    def class_marginal(self) -> np.ndarray | None:
        """Mean class probabilities [K] of all images, None where the network has no classes."""
        return None if self._probabilities is None else self._probabilities.sum(0) / self.seen

    def inception_score(self) -> InceptionScore | None:
        """Inception score of all images in `splits` consecutive parts, None where the network has no classes."""
        if self._probabilities is None:
            return None
        counts = np.diff(self._edges)
        divergence = entropy(self._probabilities / counts[:, None]) - self._entropies / counts
        return summarised(np.exp(np.maximum(divergence, 0.0)))


def running_reference(
    features: Iterable[Features], count: int, dim: int, *, dataset: str, split: str, keep: int = KEEP
) -> Reference:
    """`make_reference` of `count` images whose features arrive in batches; its moments agree to rounding."""
    if count < 2:
        raise UserError(f"reference statistics need at least 2 images; {dataset} has {count}")
    running = RunningFeatures(count, dim, keep)
    for batch in features:
        running.update(batch)
    mu, sigma = running.finish()
    kept = running.kept() if keep else None
    identity = ReferenceIdentity(dataset, split, count, batch.network, batch.resize, batch.weights_sha256)
    return Reference(identity, mu, sigma, None if kept is None else kept.features, running.class_marginal())


def score_batches(
    scorer: Scorer, features: Iterable[Features], dim: int, *, group_size: int, groups: int, keep: int = KEEP
) -> dict[str, Any]:
    """`Scorer.score` of groups × group_size images whose features arrive in batches.

    The same form and, up to rounding, the same numbers while group_size ≤ keep. With larger groups the Fréchet distance
    and the Inception score still use every image, and every other metric the `keep` that are kept, which its `n` says.
    """
    if group_size < 2 or groups < 1 or keep < 2:
        raise UserError(f"scoring needs groups of 2 images or more, not {groups} of {group_size} ({keep} kept)")
    frechet = FrechetReference(scorer.reference.mu, scorer.reference.sigma)
    scores: list[dict[str, Any]] = []
    running = RunningFeatures(group_size, dim, keep)
    for batch in features:
        while len(batch) and len(scores) < groups:
            room = running.count - running.seen
            running.update(batch[:room])
            batch = batch[room:]
            if running.seen == running.count:
                scores.append(_score_group(scorer, frechet, running))
                running = RunningFeatures(group_size, dim, keep)
    if len(scores) < groups:
        found = len(scores) * group_size + running.seen
        raise UserError(f"{groups} groups of {group_size} images need {groups * group_size}, there are {found}")
    parts = [score.pop("metrics") for score in scores]
    metrics = {name: _over_groups([part[name] for part in parts]) for name in parts[0]}
    return {**scores[0], "images": group_size * groups, "metrics": metrics}


def _score_group(scorer: Scorer, frechet: FrechetReference, running: RunningFeatures) -> dict[str, Any]:
    mean, covariance = running.finish()
    kept = running.kept()
    score = scorer.score(kept, group_size=len(kept), groups=1)
    if running.count > len(kept):
        inception = running.inception_score()
        whole = {
            "frechet_distance": frechet.distance_to_moments(mean, covariance),
            "inception_score": None if inception is None else inception.mean,
        }
        for name, value in whole.items():
            if name in score["metrics"] and value is not None:
                score["metrics"][name] = grouped([value], running.count).to_dict()
    return score


def _over_groups(estimates: list[dict[str, Any]]) -> dict[str, Any]:
    """One metric's estimate over groups from its values in each, or the first one that says why it has none."""
    without = next((estimate for estimate in estimates if "unavailable" in estimate), None)
    return without or grouped([estimate["value"] for estimate in estimates], estimates[0]["n"]).to_dict()
