"""How well a network removes known noise from real images, under the reading it is said to have and under others.

Everything is measured on x_t ~ q(x_t | x_0) of real images, at noise levels spread evenly in log-SNR, so that schedules
and predictions compare. The yardstick is the best linear filter that treats each frequency by itself (Wiener): for a
frequency of variance λ it leaves a²λ/(a²λ + s²) of the noise's variance unexplained, with a² = ᾱ and s² = 1 − ᾱ.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from scipy.fft import dctn
from torch import Tensor

from rediffuse.diagnosis.subject import Pictures, Subject
from rediffuse.diffusion.denoiser import split_output
from rediffuse.diffusion.predictions import convert, from_network
from rediffuse.diffusion.process import DiffusionProcess
from rediffuse.diffusion.randomness import counted_normal

LEVELS, LEAST, MOST, BATCH = 12, 0.01, 0.99, 64
NAMES = ("error", "outside", "bias", "said")
#: The image, the times and the output as another convention has them.
OfImage = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Reading:
    """One way to feed a network and to read it; the default is the one it is said to have.

    image: from [−1, 1] to what it is fed; time: from t and T to the time it is given; prediction, process: as in
    `Subject`, None for its own; factor: of its output, −1 for the other sign, 0 for a network that says nothing.
    """

    title: str = "as it is said to be"
    image: OfImage | None = None
    time: Callable[[int, int], float] | None = None
    prediction: str | None = None
    process: DiffusionProcess | None = None
    factor: float = 1.0


@dataclass(frozen=True, eq=False)
class Measured:
    """By noise level and image, [L, N]: mean squares over pixels.

    t: int [L]; error: (ε − ε̂)²; outside: of what x̂_0 exceeds [−1, 1] by; bias: mean of x̂_0 − x_0 by channel,
    [L, N, C]; said: means of the output, of what it predicts, of the square of either and of their product, [L, N, 5];
    wiener: the filter's error at each level [L].
    """

    t: list[int]
    alphas_bar: np.ndarray
    error: np.ndarray
    outside: np.ndarray
    bias: np.ndarray
    said: np.ndarray
    wiener: np.ndarray

    @property
    def finite(self) -> bool:
        """Whether all that the network said is a number."""
        return bool(np.isfinite(self.error).all())

    @property
    def ratio(self) -> np.ndarray:
        """Error over the filter's, by level."""
        return self.error.mean(1) / self.wiener

    @property
    def score(self) -> float:
        """The geometric mean of `ratio`: below 1 it beats the filter."""
        return float(np.exp(np.log(self.ratio).mean()))

    @property
    def score_without_means(self) -> float:
        """`score`, had x̂_0 the right mean in every channel of every image."""
        in_eps = (self.alphas_bar / (1 - self.alphas_bar))[:, None] * np.square(self.bias).mean(2)
        return float(np.exp(np.log((self.error - in_eps).mean(1) / self.wiener).mean()))

    @property
    def explained(self) -> np.ndarray:
        """Squared correlation of the output with what it predicts, over pixels and images, by level."""
        both, outputs, targets = self._spreads()
        spread = outputs * targets
        return np.where(spread > 1e-12, both**2 / np.maximum(spread, 1e-12), 0.0)

    @property
    def slope(self) -> np.ndarray:
        """Of what is predicted on the output, by level: 1 for a conditional mean."""
        both, outputs, _ = self._spreads()
        return both / np.maximum(outputs, 1e-12)

    @property
    def offset(self) -> np.ndarray:
        """Mean of the output minus that of what it predicts, in the latter's standard deviations, by level."""
        output, target = np.moveaxis(self.said.mean(1), 1, 0)[:2]
        return (output - target) / np.sqrt(np.maximum(self._spreads()[2], 1e-12))

    @property
    def spreads(self) -> np.ndarray:
        """Standard deviation of the output over that of what it predicts, by level."""
        _, outputs, targets = self._spreads()
        return np.sqrt(np.maximum(outputs, 0) / np.maximum(targets, 1e-12))

    def _spreads(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Covariance of output and target, and their variances."""
        output, target, outputs, targets, both = np.moveaxis(self.said.mean(1), 1, 0)
        return both - output * target, outputs - output**2, targets - target**2


def noise_levels(process: DiffusionProcess, count: int = LEVELS) -> list[int]:
    """Time steps evenly spread in log-SNR, ᾱ from 0.99 to 0.01, as far as the process has them."""
    log_snr = (process.alphas_bar.log() - torch.log1p(-process.alphas_bar)).numpy()
    wanted = np.linspace(math.log(MOST / (1 - MOST)), math.log(LEAST / (1 - LEAST)), count)
    return sorted({int(np.abs(log_snr - each).argmin()) for each in wanted})


def spectrum(images: Tensor) -> np.ndarray:
    """Variance of each frequency (cosine transform) of images [N, C, H, W], channels turned to be uncorrelated."""
    x = images.double().numpy()
    if x.shape[1] > 1:
        flat = x.transpose(1, 0, 2, 3).reshape(x.shape[1], -1)
        axes = np.linalg.eigh(np.cov(flat))[1]
        x = np.einsum("cd,nchw->ndhw", axes, x)
    return dctn(x, axes=(2, 3), norm="ortho").var(0).ravel()


def wiener(variances: np.ndarray, alphas_bar: np.ndarray) -> np.ndarray:
    """The filter's error in ε, a mean over frequencies, for each ᾱ [L]."""
    signal = alphas_bar[:, None] * variances
    return (signal / (signal + 1 - alphas_bar[:, None])).mean(1)


class Probe:
    """Asks a subject's network; noise is counted, so that two readings see the same."""

    def __init__(self, subject: Subject, images: int) -> None:
        assert subject.network is not None
        self.subject, self.network = subject, subject.network
        self.training = subject.training.first(images)
        self.held_out = None if subject.held_out is None else subject.held_out.first(images)
        self.all = subject.training.first(1024).tensor()
        self.levels = noise_levels(subject.process)

    def labels(self, pictures: Pictures) -> Tensor | None:
        """What the network is told of them; None of one that is told nothing."""
        if not self.subject.classes or pictures.labels is None:
            return None
        return torch.from_numpy(pictures.labels)

    @torch.inference_mode()
    def output(self, x: Tensor, time: float, y: Tensor | None = None) -> Tensor:
        """The network's output [N, …] for x [N, C, H, W], all at one time as the network counts it."""
        device, parts = self.subject.device, []
        kind = torch.int64 if float(time).is_integer() else torch.float64
        for start in range(0, len(x), BATCH):
            part = x[start : start + BATCH].to(device)
            told = () if y is None else (y[start : start + BATCH].to(device),)
            parts.append(self.network(part, torch.full((len(part),), time, dtype=kind, device=device), *told).cpu())
        return torch.cat(parts).float()

    def noisy(self, x: Tensor, t: int, process: DiffusionProcess, draw: int = 0) -> tuple[Tensor, Tensor]:
        """x_t and its noise, the same for the same images, level and draw."""
        noise = counted_normal(draw, torch.arange(len(x)), t, tuple(x.shape[1:]), purpose="diagnosis")
        return process.q_sample(x, t, noise), noise

    def measure(
        self,
        pictures: Pictures,
        reading: Reading = Reading(),
        levels: Sequence[int] | None = None,
        *,
        labels: Tensor | None = None,
        draws: int = 1,
    ) -> Measured:
        """Errors on images under a reading; labels: others than their own, where the network is told any."""
        subject = self.subject
        process = reading.process or subject.process
        prediction = reading.prediction or subject.prediction
        levels = list(levels if levels is not None else noise_levels(process))
        fed = reading.image or (lambda x: x)
        x0, y = fed(pictures.tensor()), self.labels(pictures) if labels is None else labels
        columns: dict[str, list[np.ndarray]] = {name: [] for name in NAMES}
        for t in levels:
            rows: dict[str, list[Tensor]] = {name: [] for name in columns}
            for draw in range(draws):
                xt, noise = self.noisy(x0, t, process, draw)
                time = float(process.timestep_map[t]) if reading.time is None else reading.time(t, len(process.betas))
                output, _ = split_output(self.output(xt, time, y), xt, subject.variance)
                x_hat, eps = from_network(process, reading.factor * output, xt, t, prediction)
                rows["error"].append((eps - noise).square().flatten(1).mean(1))
                target = convert(process, noise, xt, t, "eps", prediction)
                pairs = (output, target, output.square(), target.square(), output * target)
                rows["said"].append(torch.stack([each.flatten(1).mean(1) for each in pairs], 1))
                rows["outside"].append((x_hat - x_hat.clamp(-1, 1)).square().flatten(1).mean(1))
                rows["bias"].append((x_hat - x0).flatten(2).mean(2))
            for name, parts in rows.items():
                columns[name].append(torch.stack(parts).double().mean(0).numpy())
        alphas_bar = process.alphas_bar[levels].numpy()
        best = wiener(spectrum(fed(self.all)), alphas_bar)
        return Measured(levels, alphas_bar, wiener=best, **{name: np.stack(rows) for name, rows in columns.items()})
