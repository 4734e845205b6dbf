"""Checks of how a network removes known noise from real images, x_t ~ q(x_t | x_0): never from pure noise, where no
estimate can be judged (the best possible one is far from unit variance there)."""

from collections.abc import Iterable
from dataclasses import replace

import numpy as np
import torch
from scipy import stats

from rediffuse.diagnosis.case import Case, Outcome, judged, not_checked
from rediffuse.diagnosis.probe import Reading, noise_levels
from rediffuse.diagnosis.readings import (
    EARLY,
    LEVELS,
    channel_orders,
    compare,
    normalisations,
    predictions,
    schedules,
    sensitivity,
    shifts,
    times,
)
from rediffuse.diffusion.denoiser import LEARNED_VARIANCES, Denoiser
from rediffuse.diffusion.gaussian import normal_kl

SURE = 4.0
#: The share of the error that must be left under another reading: of one that changes how hard the task is, and of one
#: that does not.
CLEAR, SLIGHT = 0.8, 0.99
EXPLAINED, INSENSITIVE, GAP, WORSE = 0.25, 0.1, 1.5, 1.0
SLOPE, MEAN, OUTSIDE, VARIANCE = 0.15, 0.1, 1.0, 1.02


def _other(case: Case, readings: Iterable[Reading], limit: float, levels: list[int] | None = None) -> Outcome:
    """A finding where another reading surely leaves less than `limit` of the error, and far less than it would of a
    network that says nothing: that of no image or no velocity is a fair guess.
    """
    process, found = case.subject.process, []
    base = case.declared if levels is None else case.probe.measure(case.training, levels=levels)
    for reading in readings:
        own = levels or noise_levels(reading.process or process, LEVELS)
        found.append(compare(base, case.probe.measure(case.training, reading, own), reading))
    if not found:
        return not_checked("there is no other reading")
    best = min(found, key=lambda each: each.ratio)
    value = f"{best.reading.title}: {best.ratio:.3g} times the error"
    says = f"it was trained with {best.reading.title}: read so, it makes {best.ratio:.2g} times the error"
    bad = best.ratio < limit and best.z > SURE
    if bad:
        own = levels or noise_levels(best.reading.process or process, LEVELS)
        silent = case.probe.measure(case.training, replace(best.reading, factor=0.0), own)
        bad = best.score < CLEAR * silent.score
    return judged(bad, value, says, best=best.reading.title, ratio=best.ratio, z=best.z)


def normalisation(case: Case) -> Outcome:
    """Images in other ranges."""
    return _other(case, normalisations(), CLEAR)


def channels(case: Case) -> Outcome:
    """Channels in other orders."""
    count = case.training.images.shape[1]
    if count != 3:
        return not_checked("the images are grey")
    return _other(case, channel_orders(count), SLIGHT)


def prediction(case: Case) -> Outcome:
    """The output as another quantity."""
    return _other(case, predictions(case.subject.prediction), CLEAR)


def other_schedule(case: Case) -> Outcome:
    """Other named schedules."""
    return _other(case, schedules(case.subject.process), CLEAR)


def clock(case: Case) -> Outcome:
    """Time counted otherwise."""
    return _other(case, times(case.subject.process.num_timesteps), CLEAR)


def first_step(case: Case) -> Outcome:
    """Time counted from another first step."""
    if case.subject.process.num_timesteps < EARLY[3] + 2:
        return not_checked(f"{case.subject.process.num_timesteps} steps are too few to shift them")
    return _other(case, shifts(), SLIGHT, [t for t in EARLY if t + 1 < case.subject.process.num_timesteps])


def untrained(case: Case) -> Outcome:
    """The share of the variance of what is predicted that a multiple of the output explains."""
    share = float(case.measured.explained.mean())
    says = (
        "the output has next to nothing to do with what it should predict: "
        "the network is untrained, or other weights were loaded"
    )
    return judged(share < EXPLAINED, f"{share:.0%} of the variance explained", says, explained=share)


def time_ignored(case: Case) -> Outcome:
    """How much the output changes with the time alone, against what a Wiener filter's would."""
    found, expected = sensitivity(case.probe, case.measured)
    says = "the output hardly changes with t: the network does not see the time, or ignores it"
    value = f"output changes by {found:.2g} of its size; a filter's by {expected:.2g}"
    return judged(found < INSENSITIVE * min(expected, 1.0), value, says, change=found, filter=expected)


def labels(case: Case) -> Outcome:
    """Which label explains an image best, among at most ten (Li et al. 2023, "Your diffusion model is secretly a
    zero-shot classifier").
    """
    subject, own = case.subject, case.training.labels
    if not subject.classes:
        return not_checked("the network is told no class")
    if own is None:
        return not_checked("the images have no labels")
    # Where noise hides the details but not the class: ᾱ about 0.5, 0.2 and 0.1.
    log_snr = (subject.process.alphas_bar.log() - torch.log1p(-subject.process.alphas_bar)).numpy()
    levels = sorted({int(np.abs(log_snr - wanted).argmin()) for wanted in (0.0, -1.4, -2.2)})
    asked = min(subject.classes, 10)
    errors = []
    for k in range(asked):
        told = torch.full((len(own),), k)
        errors.append(case.probe.measure(case.training, levels=levels, labels=told).error.mean(0))
    inside = own < asked
    if inside.sum() < 16:
        return not_checked(f"fewer than 16 images are of the first {asked} classes")
    table = np.stack(errors)[:, inside]
    chosen, true = table.argmin(0), own[inside]
    accuracy, chance = float((chosen == true).mean()), 1 / asked
    surely = float(stats.binomtest(int((chosen == true).sum()), len(true), chance, alternative="greater").pvalue)
    value = f"its own label explains {accuracy:.0%} of images best (chance {chance:.0%})"
    favourite = np.array(
        [np.bincount(chosen[true == k], minlength=asked).argmax() if (true == k).any() else k for k in range(asked)]
    )
    agreement = float((chosen == favourite[true]).mean())
    says = (
        "labels mean other classes than in training: " + ", ".join(f"{k} acts as {f}" for k, f in enumerate(favourite))
        if agreement > 0.5 and accuracy < chance
        else "labels make no difference of the right kind: they were shuffled in training, or the network ignores them"
    )
    return judged(surely > 1e-3, value, says, accuracy=accuracy, chance=chance, p=surely)


def variance(case: Case) -> Outcome:
    """The bound's terms with the learned variance, with its sign turned, and with the fixed ones."""
    subject = case.subject
    if subject.variance not in LEARNED_VARIANCES:
        return not_checked(f"the variance is fixed ({subject.variance})")
    terms = variance_terms(case)
    total = {name: values.sum(0) for name, values in terms.items()}
    own = total.pop("learned")
    best = min(total, key=lambda name: float(total[name].mean()))
    ratio = float(own.mean() / total[best].mean())
    error = float(stats.sem(own - total[best]))
    z = float((own - total[best]).mean()) / error if error > 0 else 0.0
    value = f"{ratio:.3g} times the bound's terms of {best}"
    says = f"the learned variance is worse than {best}: " + (
        "its interpolation between β̃ and β is read the wrong way round"
        if best == "its sign turned"
        else "it was not trained"
    )
    return judged(ratio > VARIANCE and z > SURE, value, says, best=best, ratio=ratio, z=z)


def variance_terms(case: Case) -> dict[str, np.ndarray]:
    """KL of the reverse step to the posterior in nats a pixel, [steps, N], by variance, at steps where these differ."""
    subject, probe = case.subject, case.probe
    assert subject.network is not None
    x0, y = case.training.tensor(), probe.labels(case.training)
    steps = [t for t in (1, 2, 3, 5, 8, 13, 21) if t < subject.process.num_timesteps]
    out: dict[str, list[np.ndarray]] = {}
    for t in steps:
        xt, _ = probe.noisy(x0, t, subject.process)
        output = probe.output(xt, float(subject.process.timestep_map[t]), y)
        mean, values = output.chunk(2, dim=1)
        true = subject.process.q_posterior(x0, xt, t)
        for name, variance, given in (
            ("learned", subject.variance, output),
            ("its sign turned", subject.variance, torch.cat([mean, -values], 1)),
            ("the fixed β", "fixed-large", mean),
            ("the fixed β̃", "fixed-small", mean),
        ):
            if name == "its sign turned" and subject.variance == "learned":
                continue
            step = Denoiser(subject.network, subject.process, subject.prediction, variance).interpret(given, xt, t)
            kl = normal_kl(true.mean, true.log_variance, step.mean, step.log_variance)
            out.setdefault(name, []).append(kl.flatten(1).mean(1).double().numpy())
    return {name: np.stack(rows) for name, rows in out.items()}


def gap(case: Case) -> Outcome:
    """The error on held-out images over that on training images."""
    if case.unseen is None:
        return not_checked("no images are held out (a data set with a split has some)")
    ratio = float(np.exp(np.log(case.unseen.error.mean(1) / case.measured.error.mean(1)).mean()))
    says = f"it removes noise from training images {ratio:.2g} times as well as from others: it knows them by heart"
    return judged(ratio > GAP, f"{ratio:.3g} times the error on training images", says, ratio=ratio)


def error(case: Case) -> Outcome:
    """Error against the Wiener filter's."""
    score = case.measured.score
    says = "a filter that knows only how strong each frequency is does better: the network is trained too little"
    return judged(score > WORSE, f"{score:.3g} times a Wiener filter's error", says, score=score)


def calibration(case: Case) -> Outcome:
    """The slope of what is predicted on the output, by level."""
    slope = case.measured.slope
    worst = int(np.abs(slope - 1).argmax())
    low = "the output is too large" if slope[worst] < 1 else "the output is too small"
    value = f"slope {slope[worst]:.3f} at t = {case.measured.t[worst]}, farthest from 1"
    return judged(abs(slope[worst] - 1) > SLOPE, value, low, slopes=slope.tolist(), t=case.measured.t)


def statistics(case: Case) -> Outcome:
    """The mean of the output beside that of what it predicts, by level, in the latter's standard deviations."""
    off, spreads = case.measured.offset, case.measured.spreads
    worst = int(np.abs(off).argmax())
    value = f"mean off by {off[worst]:+.3f} standard deviations at t = {case.measured.t[worst]}, farthest from 0"
    says = "the output has a mean that what it predicts has not: every step shifts the brightness"
    return judged(abs(off[worst]) > MEAN, value, says, off=off.tolist(), spreads=spreads.tolist(), t=case.measured.t)


def clipping(case: Case) -> Outcome:
    """What x̂_0 exceeds [−1, 1] by, in units of a Wiener filter's error in x_0."""
    found = case.measured
    filtered = (1 - found.alphas_bar) / found.alphas_bar * found.wiener
    excess = found.outside.mean(1) / filtered
    worst = int(excess.argmax())
    value = f"{excess[worst]:.2g} of a filter's whole error, at t = {found.t[worst]}"
    says = "x̂₀ leaves [−1, 1] by more than a plain filter errs in all: clipping hides it and takes the detail"
    return judged(excess[worst] > OUTSIDE, value, says, excess=excess.tolist(), t=found.t)
