"""Checks of what a network draws, against as many real images."""

from dataclasses import replace

import numpy as np
import torch

from rediffuse.cost.flops import count_flops
from rediffuse.cost.model import CostModel
from rediffuse.diagnosis.case import Case, Outcome, judged, not_checked, now
from rediffuse.evaluation.classes import FeatureClassifier
from rediffuse.evaluation.colours import colour_statistics
from rediffuse.evaluation.distances import pixel_vectors
from rediffuse.evaluation.neighbours import from_distances, nearest
from rediffuse.models.unet import UNet

#: In the order of the checks; what each is a limit of, and why, stands in `checks`.
CAST, HUE, COPIED, NEAR, SPREAD = 1.0, 0.25, -4.0, 0.7, 0.7
CONTRAST, ENERGY, CHECKERS, OBEYS, SLOW = 1.5, 3.0, 4.0, 0.5, 3.0


def colour(case: Case) -> Outcome:
    """The mean colour of samples against real ones', and whether they share one hue."""
    if case.samples is None:
        return _lost()
    real, made = (images / 127.5 - 1 for images in (case.subject.training.images[:2048], case.samples.images))
    means = real.mean((2, 3))
    away = np.abs(made.mean((0, 2, 3)) - means.mean(0)) / np.maximum(means.std(0), 1e-6)
    worst, what = int(away.argmax()), "brightness"
    if real.shape[1] == 3:
        what = ("red", "green", "blue")[worst]
    hues = [colour_statistics(images).hue_across for images in (case.training.images, case.samples.images)]
    value = f"mean {what} {away[worst]:.2g} standard deviations of an image's away"
    same = hues[0] is not None and hues[1] is not None and (1 - hues[1]) < HUE * (1 - hues[0])
    if same:
        value += f"; hues agree to {hues[1]:.2f}, real ones to {hues[0]:.2f}"
    says = "all samples share a cast that real images lack" if away[worst] > CAST else "all samples share one hue"
    found = judged(bool(away[worst] > CAST or same), value, says, away=away.tolist(), hues=hues)
    # A network that errs in more than means has a cast for that reason.
    return replace(found, consequence=case.measured.score_without_means > 1)


def copies(case: Case) -> Outcome:
    """How far samples lie from their nearest training images, against held-out images."""
    if case.samples is None:
        return _lost()
    if case.subject.held_out is None:
        return not_checked("no images are held out (a data set with a split has some)")
    known = pixel_vectors(case.subject.training.images)
    held_out = nearest(pixel_vectors(case.subject.held_out.images[:1024]), known).distance
    found = from_distances(nearest(pixel_vectors(case.samples.images), known).distance, held_out, len(known))
    ratio = 1.0 if found.ratio is None else found.ratio
    value = f"samples lie {ratio:.2g} times as far from training images as held-out ones (z = {found.z:.1f})"
    says = "samples are copies of training images"
    return judged(ratio < NEAR and found.z < COPIED, value, says, ratio=ratio, z=found.z, closer=found.closer)


def diversity(case: Case) -> Outcome:
    """Mean distance between two samples over that between two real images."""
    if case.samples is None:
        return _lost()
    made, real = (
        float(torch.pdist(torch.from_numpy(_flat(i))).mean()) for i in (case.samples.images, case.training.images)
    )
    says = "samples differ less from one another than real images do: they collapse on a few"
    return judged(
        made < SPREAD * real, f"samples differ {made / real:.2g} times as much as real images", says, ratio=made / real
    )


def contrast(case: Case) -> Outcome:
    """Standard deviation of pixels over that of real ones."""
    if case.samples is None:
        return _lost()
    ratio = float(_flat(case.samples.images).std() / _flat(case.training.images).std())
    says = "samples are pale, near grey" if ratio < 1 else "samples are saturated: too much black and white"
    return judged(not 1 / CONTRAST < ratio < CONTRAST, f"{ratio:.2g} times real images' contrast", says, ratio=ratio)


def bands(images: np.ndarray) -> np.ndarray:
    """Mean power |F|² of images uint8 [N, C, H, W] by frequency, [H, W], of channels in [0, 1]."""
    return (np.abs(np.fft.fft2(images / 255.0, norm="ortho")) ** 2).mean((0, 1))


def high_frequencies(case: Case) -> Outcome:
    """Power above half the highest frequency over that of real images."""
    if case.samples is None:
        return _lost()
    made, real = (_above(bands(images)) for images in (case.samples.images, case.training.images))
    says = "samples are noisy: noise is left in them" if made > real else "samples are blurred: fine detail is missing"
    ratio = made / max(real, 1e-12)
    return judged(not 1 / ENERGY < ratio < ENERGY, f"{ratio:.2g} times real images' power", says, ratio=ratio)


def _above(power: np.ndarray) -> float:
    rows, columns = (np.abs(np.fft.fftfreq(side))[:, None] for side in power.shape)
    return float(power[np.maximum(rows, columns.T) > 0.25].mean())


def checkerboard(case: Case) -> Outcome:
    """Power of the three patterns of period two over that around them, against real images."""
    if case.samples is None:
        return _lost()
    if min(case.training.images.shape[2:]) < 8:
        return not_checked("images of fewer than 8 pixels a side have no frequencies to compare")
    made, real = (_pattern(bands(images)) for images in (case.samples.images, case.training.images))
    says = "samples carry a pattern of period two, as transposed convolutions or a broken upsampling leave it"
    return judged(made > CHECKERS * real, f"{made / real:.2g} times real images' share", says, samples=made, real=real)


def _pattern(power: np.ndarray) -> float:
    h, w = power.shape[0] // 2, power.shape[1] // 2
    at = power[h, w] + power[h, 0] + power[0, w]
    around = power[h - 1, w - 1] + power[h - 1, 0] + power[0, w - 1]
    return float(at / max(around, 1e-12))


def obedience(case: Case) -> Outcome:
    """Share of samples that a small classifier takes for the class asked for."""
    subject, held_out = case.subject, case.subject.held_out
    if not subject.classes:
        return not_checked("the network is told no class")
    if case.samples is None:
        return _lost()
    labels, asked = subject.training.labels, case.samples.asked
    assert asked is not None
    if labels is None:
        return not_checked("the images have no labels")
    if not np.array_equal(np.unique(labels[:2000]), np.arange(subject.classes)):
        return not_checked("not every class has images")
    judge = FeatureClassifier.fit(_flat(subject.training.images[:2000]), labels[:2000], regularisation=10.0)
    judged_on = subject.training if held_out is None or held_out.labels is None else held_out
    assert judged_on.labels is not None
    best = judge.accuracy(_flat(judged_on.images[:1000]), judged_on.labels[:1000])
    found, chance = judge.accuracy(_flat(case.samples.images), asked), 1 / subject.classes
    share = (found - chance) / max(best - chance, 1e-6)
    value = f"{found:.0%} of samples show the class asked for; of real images {best:.0%} are recognised"
    return judged(share < OBEYS, value, "samples do not show the class they are asked for", accuracy=found, real=best)


def speed(case: Case) -> Outcome:
    """Seconds of sampling over what the cost model predicts from single passes of the network."""
    if case.samples is None:
        return _lost()
    network, device = case.subject.network, case.subject.device
    if not isinstance(network, UNet):
        return not_checked("the cost model knows no other networks than ours")
    x, y = case.training.tensor()[:64], case.probe.labels(case.training.first(64))
    seconds = []
    for _ in range(3):
        start = now(device)
        case.probe.output(x, 1.0, y)
        seconds.append(now(device) - start)
    flops = sum(part.total for part in count_flops(network.config).values())
    one = (len(x), max(float(np.median(seconds)), 1e-9))
    predicted = CostModel.measured(flops, 1.0, one, one).sampling_seconds(case.steps, case.images)
    ratio = case.samples.seconds / predicted
    says = "sampling takes far longer than the network's passes: look at the sampler, the noise or the transfers"
    return judged(
        ratio > SLOW, "within what its passes take" if ratio <= SLOW else f"{ratio:.1f} times its passes", says
    )


def _flat(images: np.ndarray) -> np.ndarray:
    return images.reshape(len(images), -1) / 255.0


def _lost() -> Outcome:
    return not_checked("the samples hold NaN or infinity")
