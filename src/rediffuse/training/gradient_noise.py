"""How much the gradients of batches differ at fixed weights (McCandlish et al. 2018, "An empirical model of large-batch
training", section 2.2 and appendix A.1).

With S the trace of the covariance of a batch's gradient and |G|² the squared norm of its mean, S/|G|² is the noise of a
batch beside its signal; times the number of images of a batch it is their simple noise scale B_simple = tr(Σ)/|G|².
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from rediffuse.diffusion.pixels import to_unit_range
from rediffuse.diffusion.randomness import derive_seed, generator
from rediffuse.diffusion.timesteps import LossSecondMoment
from rediffuse.evaluation.intervals import jackknifed
from rediffuse.models.conditioning import drop_labels
from rediffuse.training.denoising import Denoising

#: Elements of each gradient that are held in float64 at once.
CHUNK = 1 << 20


class BatchStatistics(NamedTuple):
    """Of K independent batches at the same weights: gram float64 [K, K], the products g_k · g_l of their gradients;
    losses float64 [K].
    """

    gram: np.ndarray
    losses: np.ndarray


def batch_statistics(
    learner: Denoising, count: int, seed: int, on_batch: Callable[[int, int], object] | None = None
) -> BatchStatistics:
    """Gradients and losses of `count` batches, drawn as training draws them but for one thing: each image of a batch is
    drawn anew from all of them, so that batches are independent. All is a function of the weights and of `seed`.

    Where t is drawn by the losses seen (`LossSecondMoment`), these are those of the weights as they are.
    """
    if isinstance(learner.timesteps, LossSecondMoment):
        _fill(learner, learner.timesteps, seed)
    gradients, losses = [], []
    for number in range(count):
        t, weights = learner.timesteps.sample(learner.config.batch_size, generator(seed, "probe t", number))
        images, labels, noise = _draw(learner, len(t), seed, "probe", number)
        learner._seed_dropout(derive_seed(seed, "probe dropout", number))
        learner.network.zero_grad(set_to_none=True)
        weights = weights.to(learner.device, torch.float32)
        found = learner._backward(images, labels, t.to(learner.device), weights, noise)
        losses.append(float((found.loss * weights).double().mean()))
        gradients.append(torch.cat([p.grad.flatten() for p in learner.parameters if p.grad is not None]))
        if on_batch is not None:
            on_batch(number + 1, count)
    learner.network.zero_grad(set_to_none=True)
    return BatchStatistics(gram_matrix(torch.stack(gradients)), np.array(losses))


def gram_matrix(vectors: Tensor) -> np.ndarray:
    """The products of vectors [K, P] with one another, in float64: [K, K]."""
    gram = torch.zeros(len(vectors), len(vectors), dtype=torch.float64, device=vectors.device)
    for part in vectors.split(CHUNK, dim=1):
        gram += part.double() @ part.double().T
    return gram.cpu().numpy()


def noise_and_signal(gram: np.ndarray) -> tuple[float, float]:
    """Unbiased estimates of S = tr(Cov g) and of |G|² = ‖E g‖² from the products of K ≥ 2 independent gradients.

    ‖ḡ‖² is too large by S/K on average, which is taken off: what is left is the mean product of two different batches,
    and may be negative where the noise drowns the signal.
    """
    count, own, all_of_them = len(gram), float(np.trace(gram)), float(gram.sum())
    return (own - all_of_them / count) / (count - 1), (all_of_them - own) / (count * (count - 1))


def noise_to_signal(gram: np.ndarray) -> dict[str, Any]:
    """S/|G|² with its interval, as a metrics file keeps it; value None where the interval has no upper end.

    The jackknife over batches is that of |G|²/S, which has no pole where |G|² is near 0; its ends are then turned over.
    """

    def signal(kept: np.ndarray) -> float:
        noise, of_mean = noise_and_signal(gram[np.ix_(kept, kept)])
        return of_mean / noise

    value, half, text = jackknifed(signal, len(gram), "batches")
    facts = {"n": len(gram), "interval": f"{text}, of the inverse"}
    if value - half <= 0:
        why = f"the mean gradient of {len(gram)} batches is not clearly above its noise"
        return {"value": None, "low": None, "high": None, "unavailable": why, **facts}
    return {"value": 1 / value, "low": 1 / (value + half), "high": 1 / (value - half), **facts}


def relative_variance(losses: np.ndarray) -> dict[str, Any]:
    """Variance of the losses of batches over their squared mean, with its interval: the jackknife of its logarithm."""

    def logarithm(kept: np.ndarray) -> float:
        return math.log(float(np.var(losses[kept], ddof=1)) / float(np.mean(losses[kept])) ** 2)

    value, half, text = jackknifed(logarithm, len(losses), "batches")
    ends = (math.exp(value + side * half) for side in (-1, 1))
    low, high = ends
    return {
        "value": math.exp(value),
        "low": low,
        "high": high,
        "n": len(losses),
        "interval": f"{text}, of the logarithm",
    }


def _fill(learner: Denoising, timesteps: LossSecondMoment, seed: int) -> None:
    """Let the sampler of t see as many losses at each t as it remembers."""
    size = learner.config.batch_size
    for turn in range(timesteps.history):
        for number, t in enumerate(torch.arange(timesteps.num_timesteps).split(size)):
            images, labels, noise = _draw(learner, len(t), seed, "probe losses", turn, number)
            learner._seed_dropout(derive_seed(seed, "probe losses dropout", turn, number))
            with torch.no_grad():
                predict, process = learner._predict, learner.process
                found = learner.objective.losses(predict, process, images, t.to(learner.device), noise, labels)
            timesteps.update(t, found.loss)


def _draw(learner: Denoising, count: int, seed: int, *purpose: int | str) -> tuple[Tensor, Tensor | None, Tensor]:
    """Images, labels and noise, each image any of the training images."""
    batches, config, device = learner.batches, learner.config, learner.device
    index = torch.randint(len(batches.images), (count,), generator=generator(seed, "images", *purpose)).to(device)
    pixels, labels = batches.images[index], None if batches.labels is None else batches.labels[index]
    if config.flip:
        mirrored = torch.rand(count, generator=generator(seed, "flip", *purpose)) < 0.5
        pixels = torch.where(mirrored.to(device)[:, None, None, None], pixels.flip(-1), pixels)
    if labels is not None and config.label_dropout > 0:
        dropped = generator(seed, "label dropout", *purpose, device=device)
        labels = drop_labels(labels, config.label_dropout, learner.null_label, dropped)  # type: ignore[arg-type]
    images = to_unit_range(pixels, channels_last=batches.channels_last)
    noise = torch.randn(images.shape, generator=generator(seed, "noise", *purpose, device=device), device=device)
    return images, labels, noise
