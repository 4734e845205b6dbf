"""Kernel distance: squared maximum mean discrepancy under a cubic kernel, unbiased ("KID", Bińkowski et al. 2018).

k(x, y) = (xᵀy / dim + 1)³ and
MMD² = mean_{i≠j} k(xᵢ, xⱼ) + mean_{i≠j} k(yᵢ, yⱼ) − 2 mean_{i,j} k(xᵢ, yⱼ),
whose expectation is zero when both sets come from one distribution, whatever their sizes; it may be negative.
"""

import numpy as np

_BLOCK = 2048


def polynomial_kernel(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """k(xᵢ, yⱼ) [N, M] for features [N, dim] and [M, dim]: degree 3, γ = 1/dim, constant 1."""
    return (x @ y.T / x.shape[1] + 1.0) ** 3


def kernel_distance(x: np.ndarray, y: np.ndarray) -> float:
    """Unbiased MMD² between all of x [N, dim] and all of y [M, dim], in float64; N, M ≥ 2."""
    return KernelReference(y).distance(x)


class KernelReference:
    """The reference side of many kernel distances: its mean kernel with itself is computed once."""

    def __init__(self, features: np.ndarray) -> None:
        self.features = np.asarray(features, dtype=np.float64)
        self._self_term = _mean_off_diagonal(self.features)

    def distance(self, features: np.ndarray) -> float:
        """Unbiased MMD² from features [N, dim] to the reference."""
        x = np.asarray(features, dtype=np.float64)
        if x.shape[1] != self.features.shape[1]:
            raise ValueError(f"features have {x.shape[1]} dimensions, the reference {self.features.shape[1]}")
        cross = _sum_of_kernel(x, self.features) / (len(x) * len(self.features))
        return _mean_off_diagonal(x) + self._self_term - 2 * cross


def _mean_off_diagonal(x: np.ndarray) -> float:
    if len(x) < 2:
        raise ValueError(f"a kernel distance needs at least 2 images, not {len(x)}")
    diagonal = ((np.square(x).sum(1) / x.shape[1] + 1.0) ** 3).sum()
    return (_sum_of_kernel(x, x) - float(diagonal)) / (len(x) * (len(x) - 1))


def _sum_of_kernel(x: np.ndarray, y: np.ndarray) -> float:
    """Sum of all k(xᵢ, yⱼ), block by block, so that memory does not grow with the product of the sizes."""
    total = 0.0
    for i in range(0, len(x), _BLOCK):
        for j in range(0, len(y), _BLOCK):
            total += float(polynomial_kernel(x[i : i + _BLOCK], y[j : j + _BLOCK]).sum())
    return total
