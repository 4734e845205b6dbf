"""What no network can do better: errors of the best predictions of ε and x_0 from x_t = a x_0 + s ε, for known data.

Two kinds of data are known here. Of data of any distribution with covariance Σ, the best linear prediction errs by
what is best of all for a Gaussian with that Σ: the least error that there is lies at or below it. Of the training
images alone, each as likely as any other, the best prediction is a weighted mean of them: it is what the training loss
itself asks for, whose minimiser knows these images and no others.
"""

from collections.abc import Iterable
from typing import NamedTuple

import torch
from torch import Tensor


class Errors(NamedTuple):
    """Mean squared error of ε and of x_0 per coordinate, at each noise level: float64 [L]."""

    eps: Tensor
    x0: Tensor


def covariance_eigenvalues(chunks: Iterable[Tensor]) -> Tensor:
    """Eigenvalues of the covariance (divisor N) of images given in parts [n, …], rising, none below 0: float64 [D]."""
    count, first, second = 0, torch.zeros(()), torch.zeros(())
    for images in chunks:
        flat = images.flatten(1).double()
        count, first, second = count + len(flat), first + flat.sum(0), second + flat.T @ flat
    mean = first / count
    return torch.linalg.eigvalsh(second / count - torch.outer(mean, mean)).clamp(min=0)


def linear_errors(eigenvalues: Tensor, a: Tensor, s: Tensor) -> Errors:
    """Of the best linear prediction for data with these eigenvalues [D] of their covariance; a, s: [L].

    In an eigenvector's direction x_t has the variance a²λ + s², and what is left of that of ε is a²λ/(a²λ + s²), of
    that of x_0 λs²/(a²λ + s²) (the linear minimum mean squared error).
    """
    values, a2, s2 = eigenvalues.double(), a.double()[:, None] ** 2, s.double()[:, None] ** 2
    total = a2 * values + s2
    return Errors((a2 * values / total).mean(1), (values * s2 / total).mean(1))


def empirical_means(
    queries: Tensor,
    a: Tensor,
    s: Tensor,
    chunks: Iterable[tuple[Tensor, Tensor | None]],
    labels: Tensor | None = None,
) -> Tensor:
    """E[x_0 | x_t] where x_0 is each of the images of `chunks` with the same probability.

    Args:
        queries: x_t, [Q, …]; a, s: their levels, [Q].
        chunks: images [n, …] with their classes int64 [n], or None; read once, so that they need not fit in memory.
        labels: class of each query, int64 [Q], where x_0 is known to be of it; then each needs an image of its class.

    Returns:
        float64, of the shape of `queries`.
    """
    flat, a, s = queries.flatten(1).double(), a.double()[:, None], s.double()[:, None]
    most = flat.new_full((len(flat), 1), -torch.inf)
    total, mean = flat.new_zeros(len(flat), 1), torch.zeros_like(flat)
    for images, classes in chunks:
        data = images.flatten(1).double()
        # −‖x − a m‖²/(2s²) without what all images have in common.
        logits = (a * (flat @ data.T) - 0.5 * a**2 * data.square().sum(1)) / s**2
        if labels is not None and classes is not None:
            logits = logits.masked_fill(labels[:, None] != classes[None], -torch.inf)
        higher = torch.maximum(most, logits.amax(1, keepdim=True))
        # Until a query has met an image of its class there is nothing to scale.
        safe = torch.where(higher.isinf(), 0.0, higher)
        kept, share = (most - safe).exp(), (logits - safe).exp()
        total, mean, most = kept * total + share.sum(1, keepdim=True), kept * mean + share @ data, higher
    return (mean / total).reshape(queries.shape)
