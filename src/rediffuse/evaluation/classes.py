"""Whether samples show the class they were asked for, how varied and how real those of one class are, and which classes
there are: features or labels → numbers.
"""

from dataclasses import dataclass

import numpy as np
import torch

from rediffuse.errors import UserError
from rediffuse.evaluation.frechet import FrechetReference, moments


@dataclass(frozen=True, eq=False)
class FeatureClassifier:
    """A linear classifier of features, trained on real images: an independent judge of conditional samples.

    weights: float64 [K, D]; bias: float64 [K]; mean, scale: float64 [D], by which features are standardised first.
    """

    weights: np.ndarray
    bias: np.ndarray
    mean: np.ndarray
    scale: np.ndarray

    @classmethod
    def fit(cls, features: np.ndarray, labels: np.ndarray, *, regularisation: float = 1.0) -> "FeatureClassifier":
        """Multinomial logistic regression by scikit-learn. features: [N, D]; labels: int [N], 0 to K − 1, each there.

        `regularisation` is the weight of the squared norm against the mean loss times N (scikit-learn's 1/C).
        """
        from sklearn.linear_model import LogisticRegression

        known = np.unique(labels)
        if len(known) < 2 or not np.array_equal(known, np.arange(len(known))):
            raise UserError(f"a classifier needs images of every class from 0 on, at least two; there are {known}")
        features = np.asarray(features, dtype=np.float64)
        mean, scale = features.mean(0), features.std(0)
        scale = np.where(scale > 0, scale, 1.0)
        model = LogisticRegression(C=1 / regularisation, max_iter=2000).fit((features - mean) / scale, labels)
        # Of two classes scikit-learn keeps one row, the logit of the second.
        weights, bias = model.coef_, model.intercept_
        if len(known) == 2:
            weights, bias = np.concatenate([-weights, weights]) / 2, np.concatenate([-bias, bias]) / 2
        return cls(weights, bias, mean, scale)

    def predict(self, features: np.ndarray) -> np.ndarray:
        """The likeliest class of each image, int64 [N]; features: [N, D]."""
        return (((features - self.mean) / self.scale) @ self.weights.T + self.bias).argmax(1)

    def accuracy(self, features: np.ndarray, labels: np.ndarray) -> float:
        """Share of images whose likeliest class is the one asked for."""
        return float((self.predict(features) == labels).mean())


def class_accuracy(features: np.ndarray, labels: np.ndarray, classifier: FeatureClassifier) -> float:
    """`FeatureClassifier.accuracy` of features [N, D] of images asked for by labels int [N]."""
    return classifier.accuracy(features, labels)


def class_diversity(features: np.ndarray, labels: np.ndarray, classifier: FeatureClassifier | None = None) -> float:
    """Mean Euclidean distance between two different images of one class, each class weighing the same.

    features: [N, D]; labels: int [N]; classifier: not asked, metrics of classes being called alike. Raises
    UserError when a class has fewer than two images.
    """
    distances = []
    for label in np.unique(labels):
        chosen = torch.from_numpy(np.asarray(features[labels == label], dtype=np.float64))
        if len(chosen) < 2:
            raise UserError(f"diversity needs two images of every class; class {label} has {len(chosen)}")
        distances.append(float(torch.pdist(chosen).mean()))
    return float(np.mean(distances))


@dataclass(frozen=True)
class ClassFrechet:
    """Fréchet distance within each class, and its mean over classes ("intra FID", Miyato & Koyama 2018).

    counts: samples of each class. A class has a fraction of the images, so these lie above the distance of the whole:
    compare only equal counts.
    """

    distances: dict[int, float]
    counts: dict[int, int]
    mean: float


class ClassReference:
    """The real side of per-class Fréchet distances: moments of each class, [dim, dim] numbers a class.

    features: [M, dim] of real images; labels: int [M]. Raises UserError for a class of fewer than two images.
    """

    def __init__(self, features: np.ndarray, labels: np.ndarray) -> None:
        self._references: dict[int, FrechetReference] = {}
        for label in np.unique(labels):
            chosen = features[labels == label]
            if len(chosen) < 2:
                raise UserError(f"a Fréchet distance needs two images of every class; real class {label} has one")
            self._references[int(label)] = FrechetReference(*moments(chosen))

    def distance(self, features: np.ndarray, labels: np.ndarray) -> ClassFrechet:
        """Distance from samples [N, dim] to the real images of the class in `labels` [N] that each was asked for.

        Raises UserError for a class that the real images lack or that has fewer than two samples.
        """
        distances, counts = {}, {}
        for label in map(int, np.unique(labels)):
            chosen = features[labels == label]
            if label not in self._references:
                raise UserError(f"the real images have no class {label}; they have {sorted(self._references)}")
            if len(chosen) < 2:
                raise UserError(f"a Fréchet distance needs two images of every class; class {label} has one sample")
            distances[label], counts[label] = self._references[label].distance(chosen), len(chosen)
        return ClassFrechet(distances, counts, float(np.mean(list(distances.values()))))


@dataclass(frozen=True)
class ClassHistogram:
    """Which classes a set of images shows, as a classifier sees them.

    counts: images of each of K classes; covered: share of classes with any; entropy: of the shares, in nats, at most
    log K; effective: exp of it, the number of evenly filled classes with that entropy. divergence: Σ p log(p / q) from
    real shares q, in nats, 0 when they agree; None without real labels. A class that real images lack and samples
    show makes it infinite, which is refused.
    """

    counts: tuple[int, ...]
    covered: float
    entropy: float
    effective: float
    divergence: float | None


def class_histogram(labels: np.ndarray, classes: int, real: np.ndarray | None = None) -> ClassHistogram:
    """Mode coverage of images by their classes: labels int [N], 0 to classes − 1 (`FeatureClassifier.predict`).

    real: labels [M] of real images. With few images some classes stay empty by chance: compare with as many real ones.
    """
    counts = _counted(labels, classes)
    shares = counts[counts > 0] / counts.sum()
    entropy = float(-(shares * np.log(shares)).sum()) + 0.0
    divergence = None
    if real is not None:
        others = _counted(real, classes)
        if (others[counts > 0] == 0).any():
            raise UserError("samples show a class that the real images lack: no divergence from their shares")
        divergence = float((shares * np.log(shares / (others[counts > 0] / others.sum()))).sum())
    return ClassHistogram(
        tuple(map(int, counts)), float((counts > 0).mean()), entropy, float(np.exp(entropy)), divergence
    )


def _counted(labels: np.ndarray, classes: int) -> np.ndarray:
    labels = np.asarray(labels)
    if len(labels) == 0 or labels.min() < 0 or labels.max() >= classes:
        raise UserError(f"a histogram needs labels from 0 to {classes - 1}, at least one")
    return np.bincount(labels, minlength=classes)
