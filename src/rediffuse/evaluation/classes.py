"""Whether samples show the class they were asked for, and how varied those of one class are: features → number."""

from dataclasses import dataclass

import numpy as np
import torch

from rediffuse.errors import UserError


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


def class_diversity(features: np.ndarray, labels: np.ndarray) -> float:
    """Mean Euclidean distance between two different images of one class, each class weighing the same.

    features: [N, D]; labels: int [N]. Raises UserError when a class has fewer than two images.
    """
    distances = []
    for label in np.unique(labels):
        chosen = torch.from_numpy(np.asarray(features[labels == label], dtype=np.float64))
        if len(chosen) < 2:
            raise UserError(f"diversity needs two images of every class; class {label} has {len(chosen)}")
        distances.append(float(torch.pdist(chosen).mean()))
    return float(np.mean(distances))
