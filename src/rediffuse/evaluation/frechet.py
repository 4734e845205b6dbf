"""Fréchet distance between Gaussians fitted to two sets of features.

d² = |μ₁ − μ₂|² + tr Σ₁ + tr Σ₂ − 2 tr √(Σ₁Σ₂)   (Dowson & Landau 1982; Heusel et al. 2017, "FID" in Inception features)

The trace term is the sum of the square roots of the eigenvalues of Fᵀ Σ₂ F for any factor Σ₁ = F Fᵀ: a symmetric
eigenvalue problem, so no imaginary parts and no regularisation of singular covariances. Everything is float64.
"""

import numpy as np
import scipy.linalg


class RunningMoments:
    """Mean and covariance of feature vectors that arrive in batches (Chan, Golub & LeVeque 1983).

    One pass, float64; two accumulators over different images can be merged.
    """

    def __init__(self, dim: int) -> None:
        self.count = 0
        self.mean = np.zeros(dim)
        self._scatter = np.zeros((dim, dim))

    def update(self, features: np.ndarray) -> None:
        """Take in features [B, dim]."""
        if len(features) == 0:
            return
        batch = np.asarray(features, dtype=np.float64)
        mean = batch.mean(0)
        centred = batch - mean
        self._add(len(batch), mean, centred.T @ centred)

    def merge(self, other: "RunningMoments") -> None:
        """Take in everything that `other` has seen."""
        self._add(other.count, other.mean, other._scatter)

    def _add(self, count: int, mean: np.ndarray, scatter: np.ndarray) -> None:
        if count == 0:
            return
        total = self.count + count
        shift = mean - self.mean
        self._scatter = self._scatter + scatter + np.outer(shift, shift) * (self.count * count / total)
        self.mean = self.mean + shift * (count / total)
        self.count = total

    def covariance(self) -> np.ndarray:
        """Covariance [dim, dim] with divisor N − 1, as FID implementations use."""
        if self.count < 2:
            raise ValueError(f"a covariance needs at least 2 images, not {self.count}")
        return self._scatter / (self.count - 1)


def moments(features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean [dim] and covariance [dim, dim] (divisor N − 1) of features [N, dim], in float64."""
    running = RunningMoments(features.shape[1])
    running.update(features)
    return running.mean, running.covariance()


def trace_sqrt_product(sigma1: np.ndarray, sigma2: np.ndarray) -> float:
    """tr √(Σ₁Σ₂) of two positive semi-definite matrices [dim, dim], either of which may be singular."""
    for first, second in ((sigma1, sigma2), (sigma2, sigma1)):
        factor = _cholesky(first)
        if factor is not None:
            return _trace_with_factor(factor, second)
    return _trace_with_factor(factorise(sigma1), sigma2)


def factorise(sigma: np.ndarray) -> np.ndarray:
    """F [dim, rank] with F Fᵀ = Σ, for a positive semi-definite Σ: Cholesky's factor, or if Σ is singular the
    eigenvectors whose eigenvalues lie above rounding, scaled.
    """
    factor = _cholesky(sigma)
    if factor is not None:
        return factor
    values, vectors = scipy.linalg.eigh(sigma, driver="evd", check_finite=False)
    kept = values > max(values[-1], 0.0) * len(values) * np.finfo(np.float64).eps
    return vectors[:, kept] * np.sqrt(values[kept])


def _cholesky(sigma: np.ndarray) -> np.ndarray | None:
    try:
        return scipy.linalg.cholesky(sigma, lower=True, check_finite=False)
    except scipy.linalg.LinAlgError:
        return None


def _trace_with_factor(factor: np.ndarray, sigma: np.ndarray) -> float:
    return _sum_of_roots(factor.T @ sigma @ factor)


def _sum_of_roots(symmetric: np.ndarray) -> float:
    """Sum of the square roots of the eigenvalues; those that rounding made negative count as zero."""
    if symmetric.size == 0:
        return 0.0
    values = scipy.linalg.eigvalsh(symmetric, check_finite=False, overwrite_a=True)
    return float(np.sqrt(np.clip(values, 0.0, None)).sum())


def frechet_distance(mu1: np.ndarray, sigma1: np.ndarray, mu2: np.ndarray, sigma2: np.ndarray) -> float:
    """Squared Fréchet distance (the number quoted as FID) between N(μ₁, Σ₁) and N(μ₂, Σ₂)."""
    _check_moments(mu1, sigma1)
    _check_moments(mu2, sigma2)
    if mu1.shape != mu2.shape:
        raise ValueError(f"the two sets of moments differ in dimension: {len(mu1)} and {len(mu2)}")
    return _combine(mu1, np.trace(sigma1), mu2, np.trace(sigma2), trace_sqrt_product(sigma1, sigma2))


class FrechetReference:
    """The reference side of many Fréchet distances: what can be computed once is kept.

    With no more images than dimensions (N ≤ dim) the eigenproblem is N × N and Σ₂ needs no factor at all:
    √(Σ₁Σ₂) has the same trace as √(X Σ₂ Xᵀ / (N − 1)) for centred features X [N, dim]. With more images the factor of
    Σ₂ is computed at first use and kept.
    """

    def __init__(self, mu: np.ndarray, sigma: np.ndarray) -> None:
        _check_moments(mu, sigma)
        self.mu = np.asarray(mu, dtype=np.float64)
        self.sigma = np.asarray(sigma, dtype=np.float64)
        self._trace = float(np.trace(self.sigma))
        self._factor: np.ndarray | None = None

    def distance(self, features: np.ndarray) -> float:
        """Squared Fréchet distance from features [N, dim], N ≥ 2, to the reference."""
        count, dim = features.shape
        if dim != len(self.mu):
            raise ValueError(f"features have {dim} dimensions, the reference {len(self.mu)}")
        if count < 2:
            raise ValueError(f"a Fréchet distance needs at least 2 images, not {count}")
        if count > dim:
            return self.distance_to_moments(*moments(features))
        mean = features.mean(0, dtype=np.float64)
        centred = (features - mean) / np.sqrt(count - 1)
        root = _sum_of_roots(centred @ self.sigma @ centred.T)
        return _combine(mean, float(np.square(centred).sum()), self.mu, self._trace, root)

    def distance_to_moments(self, mu: np.ndarray, sigma: np.ndarray) -> float:
        """Squared Fréchet distance from N(μ, Σ) to the reference."""
        _check_moments(mu, sigma)
        if self._factor is None:
            self._factor = factorise(self.sigma)
        return _combine(mu, np.trace(sigma), self.mu, self._trace, _trace_with_factor(self._factor, sigma))


def _combine(mu1: np.ndarray, trace1: float, mu2: np.ndarray, trace2: float, root: float) -> float:
    difference = np.asarray(mu1, dtype=np.float64) - mu2
    # The exact value is never negative; rounding can make that of two equal sets so.
    return max(float(difference @ difference + trace1 + trace2 - 2 * root), 0.0)


def _check_moments(mu: np.ndarray, sigma: np.ndarray) -> None:
    if np.ndim(mu) != 1 or np.shape(sigma) != (len(mu), len(mu)):
        raise ValueError(f"moments must be [dim] and [dim, dim], not {np.shape(mu)} and {np.shape(sigma)}")
    if not (np.isfinite(mu).all() and np.isfinite(sigma).all()):
        raise ValueError("moments hold NaN or infinity")
