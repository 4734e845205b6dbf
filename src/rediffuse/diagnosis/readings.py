"""Other conventions under which a network might have been trained: of images, channels, prediction, schedule and time.

A network that explains the noise clearly better when fed or read in another way was trained for that other way.
"""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy import stats

from rediffuse.diagnosis.probe import Measured, OfImage, Probe, Reading, spectrum
from rediffuse.diffusion.named_schedules import SCHEDULES
from rediffuse.diffusion.predictions import PREDICTIONS
from rediffuse.diffusion.process import DiffusionProcess
from rediffuse.errors import UserError

#: Noise levels at which readings are compared: fewer than for the network itself, as there are many readings.
LEVELS = 6
#: Steps at which a shift of time is looked for: there one step changes the noise most.
EARLY = (1, 2, 3, 4, 6, 8, 11, 15)


@dataclass(frozen=True, eq=False)
class Compared:
    """The best of some readings beside the declared one: ratio of their scores (below 1 the other is better), and how
    many standard errors over images the logarithm of that lies below 0.
    """

    reading: Reading
    score: float
    ratio: float
    z: float


def normalisations() -> Iterator[Reading]:
    """Images in other ranges than [−1, 1]."""
    yield Reading("images in [0, 1]", image=lambda x: (x + 1) / 2)
    yield Reading("images in [0, 255]", image=lambda x: (x + 1) * 127.5)
    yield Reading("images in [−0.5, 0.5]", image=lambda x: x / 2)
    yield Reading("images as negatives, −x", image=lambda x: -x)


def channel_orders(channels: int) -> Iterator[Reading]:
    """The channels of colour images in every other order."""
    names = "red", "green", "blue"
    for order in itertools.permutations(range(channels)):
        if channels == 3 and order != (0, 1, 2):
            yield Reading(f"channels {', '.join(names[i] for i in order)}", image=_reordered(list(order)))


def _reordered(order: list[int]) -> OfImage:
    return lambda x: x[:, order]


def predictions(declared: str) -> Iterator[Reading]:
    """The output as another quantity, or with the other sign."""
    for prediction in PREDICTIONS:
        if prediction not in (declared, "mu"):
            yield Reading(f"the output as {prediction}", prediction=prediction)
    yield Reading("the output with the other sign", factor=-1.0)


def schedules(process: DiffusionProcess) -> Iterator[Reading]:
    """The other named schedules of as many steps."""
    for name in SCHEDULES:
        try:
            other = DiffusionProcess.create(name, process.num_timesteps)
        except UserError:  # too few steps for it
            continue
        if float((other.alphas_bar - process.alphas_bar).abs().max()) > 0.01:
            yield Reading(f"the {name} schedule", process=other)


def times(timesteps: int) -> Iterator[Reading]:
    """Time counted otherwise than by the steps 0 to T − 1."""
    yield Reading("time counted backwards, T − 1 − t", time=lambda t, T: T - 1 - t)
    yield Reading("time as a fraction, t/T", time=lambda t, T: t / T)
    if timesteps != 1000:
        yield Reading("time as t · 1000/T", time=lambda t, T: t * 1000 / T)
        yield Reading("time as t · T/1000", time=lambda t, T: t * T / 1000)


def shifts() -> Iterator[Reading]:
    """Time counted from another first step."""
    yield Reading("time one step later, t + 1", time=lambda t, T: t + 1)
    yield Reading("time one step earlier, t − 1", time=lambda t, T: t - 1)


def compare(declared: Measured, other: Measured, reading: Reading) -> Compared:
    """Two readings of the same images with the same noise, level by level relative to the filter's error."""

    def logs(found: Measured) -> np.ndarray:
        with np.errstate(all="ignore"):
            return np.log(found.error / found.wiener[:, None]).mean(0)

    difference = logs(other) - logs(declared)
    if not np.isfinite(difference).all():
        return Compared(reading, np.inf, np.inf, 0.0)
    return Compared(reading, other.score, other.score / declared.score, -_z(difference))


def _z(values: np.ndarray) -> float:
    error = float(stats.sem(values))
    return float(values.mean()) / error if error > 0 else 0.0


def sensitivity(probe: Probe, measured: Measured) -> tuple[float, float]:
    """How much the output changes, relative to its size, when the time is that of the level half the range away, at
    the same images; and how much that of the Wiener filter would.
    """
    subject, process = probe.subject, probe.subject.process
    x0, y, variances = probe.training.tensor(), probe.labels(probe.training), spectrum(probe.all)
    found, filters = [], []
    levels = measured.t
    for place in range(0, len(levels), 2):
        t, other = levels[place], levels[(place + len(levels) // 2) % len(levels)]
        xt, _ = probe.noisy(x0, t, process)
        here, there = (probe.output(xt, float(process.timestep_map[at]), y)[:, : xt.shape[1]] for at in (t, other))
        found.append(float((there - here).norm() / here.norm().clamp(min=1e-12)))
        power = float(process.alphas_bar[t]) * variances + 1 - float(process.alphas_bar[t])
        gains = [_gain(subject.prediction, float(process.alphas_bar[at]), variances) for at in (t, other)]
        change = np.sqrt((np.square(gains[1] - gains[0]) * power).sum() / (np.square(gains[0]) * power).sum())
        filters.append(float(change))
    return float(np.mean(found)), float(np.mean(filters))


def _gain(prediction: str, alpha_bar: float, variances: np.ndarray) -> np.ndarray:
    """What the Wiener filter multiplies a frequency of x_t by, for its estimate of a quantity."""
    total = alpha_bar * variances + 1 - alpha_bar
    if prediction == "x0":
        return np.sqrt(alpha_bar) * variances / total
    if prediction == "v":
        return np.sqrt(alpha_bar * (1 - alpha_bar)) * (1 - variances) / total
    return np.sqrt(1 - alpha_bar) / total
