"""The checks in the order of causes: the first finding is the root, and what follows it may be its consequence.

A network with NaN in it is nothing else; one that is fed what it was not trained on looks badly trained; one badly
trained is badly calibrated; and all of them draw bad samples.
"""

from collections.abc import Callable
from dataclasses import dataclass

from rediffuse.diagnosis import of_noise, of_samples, of_weights
from rediffuse.diagnosis.case import Case, Outcome
from rediffuse.registry import Registry


@dataclass(frozen=True)
class Check:
    """A check. measures, limit, reason (why this limit), remedy (what to do): in words."""

    name: str
    code: Callable[[Case], Outcome]
    title: str
    measures: str
    limit: str
    reason: str
    remedy: str


_READING = (
    "noise is the same for all readings, so that they differ in nothing else; "
    "a network is best at what it was trained for"
)

CHECKS = Registry(
    "check",
    Check(
        "numbers",
        of_weights.numbers,
        "Numbers",
        "weights, and outputs on noisy real images, that are NaN or infinite",
        "none",
        "one of them makes every output NaN",
        "take a checkpoint from before; train with a lower learning rate, clipped gradients, or float32",
    ),
    Check(
        "size",
        of_weights.size,
        "Size of weights",
        "root mean square of a layer's weights times the root of a unit's inputs, the largest of all layers",
        f"at most {of_weights.LARGEST:g}",
        "a layer begins at about 0.6 to 1, and trained ones here reach 3: ten times as much has exploded",
        "lower the learning rate, clip gradients, look for the step where the norm of the gradient jumps",
    ),
    Check(
        "mode",
        of_weights.mode,
        "Evaluation mode",
        "difference of two answers to one question",
        "0",
        "in evaluation mode a network is a function; dropout in training mode is not",
        "call eval() before sampling",
    ),
    Check(
        "schedule",
        of_weights.schedule,
        "End of the schedule",
        "signal left at the last step, √ᾱ_T",
        f"at most {of_weights.SIGNAL:g}",
        "Ho et al.'s is 0.006; at Stable Diffusion's 0.068 samples are held at medium brightness (Lin et al. 2024)",
        (
            "train with a schedule that ends in noise: scale β with 1000/T, or use cosine; "
            "fewer steps are a respacing of the same schedule"
        ),
    ),
    Check(
        "normalisation",
        of_noise.normalisation,
        "Range of images",
        "error with images in [0, 1], [0, 255], [−0.5, 0.5] or as negatives, relative to a filter's",
        f"no less than {of_noise.CLEAR:g} times the error",
        f"{_READING}; ranges make the task itself easier or harder, hence the wide margin",
        "scale images to [−1, 1] in training and sampling alike: x / 127.5 − 1",
    ),
    Check(
        "channels",
        of_noise.channels,
        "Order of channels",
        "error with the colour channels in every other order",
        f"no less than {of_noise.SLIGHT:g} times the error",
        f"{_READING}; the task stays the same, so that a hundredth is clear where it is sure",
        "read images as red, green, blue (OpenCV reads blue first), in training and sampling alike",
    ),
    Check(
        "prediction",
        of_noise.prediction,
        "Meaning of the output",
        "error with the output read as another quantity or with the other sign",
        f"no less than {of_noise.CLEAR:g} times the error",
        _READING,
        "set the prediction to what it was trained for",
    ),
    Check(
        "other-schedule",
        of_noise.other_schedule,
        "Schedule",
        "error with the noise of the other named schedules",
        f"no less than {of_noise.CLEAR:g} times the error",
        _READING,
        "sample with the schedule of the training",
    ),
    Check(
        "clock",
        of_noise.clock,
        "Count of time",
        "error with time backwards, as a fraction, or rescaled to or from 1,000 steps",
        f"no less than {of_noise.CLEAR:g} times the error",
        _READING,
        "give the network the time that it was given in training",
    ),
    Check(
        "averaging",
        of_weights.averaging,
        "Average of weights",
        "which weights these are; share of the first, random ones in the average; error of the other weights",
        f"averaged; at most {of_weights.KEPT:.0%} of the first; the others at least {of_weights.LAG:g} times the error",
        (
            "the share is the product of all decays; "
            "an average that lags by a tenth is of older weights than training ended with"
        ),
        (
            "sample with the averaged weights; "
            "choose a decay whose 1/(1 − decay) is a small part of the steps, or warm it up"
        ),
    ),
    Check(
        "untrained",
        of_noise.untrained,
        "Trained at all",
        "squared correlation of the output with what it predicts, a mean over levels",
        f"at least {of_noise.EXPLAINED:.0%}",
        "trained networks here explain 0.8 to 0.9 of the variance, random ones next to nothing",
        "train, or load the weights that were trained",
    ),
    Check(
        "time-ignored",
        of_noise.time_ignored,
        "Time is used",
        "change of the output, at the same image, when the time is that of another level",
        f"at least {of_noise.INSENSITIVE:g} of its size, or of a Wiener filter's change if that is less",
        "what a filter multiplies by depends on the noise level, by a closed form; trained networks change more",
        "look where the time embedding enters: that it is added, not zero, and not the same for all",
    ),
    Check(
        "first-step",
        of_noise.first_step,
        "First step",
        "error at the first steps with the time one step later or earlier",
        f"no less than {of_noise.SLIGHT:g} times the error",
        f"{_READING}; a shift that costs less than a hundredth of the error does not matter (at T = 1000 none does)",
        "count steps from 0 to T − 1 in training and sampling alike",
    ),
    Check(
        "labels",
        of_noise.labels,
        "Labels",
        "share of images that their own label explains best, of at most ten",
        "above chance with p < 0.001",
        "binomial test: a network that knows the classes removes noise best when told the right one",
        "check that labels go with their images through shuffling and loading, and that they reach the network",
    ),
    Check(
        "memory",
        of_noise.gap,
        "Held-out images",
        "error on held-out images over that on training images, geometric mean over levels",
        f"at most {of_noise.GAP:g}",
        "networks that generalise here lie at 1.0 to 1.1; half as much again means that images are known by heart",
        "train fewer steps, with more images, dropout or flips, or a smaller network",
    ),
    Check(
        "variance",
        of_noise.variance,
        "Learned variance",
        "terms of the likelihood's bound at the first steps, against its sign turned and both fixed variances",
        f"at most {of_noise.VARIANCE:g} times the best of them",
        "it is learned to make the bound smallest, and could always equal the better fixed one",
        "read v = (output + 1)/2 and log σ² = v log β + (1 − v) log β̃; or sample with a fixed variance",
    ),
    Check(
        "colour",
        of_samples.colour,
        "Colour",
        "mean of samples by channel, in standard deviations of real images' own means; agreement of hues",
        f"at most {of_samples.CAST:g}; hues at least {of_samples.HUE:g} times as spread as real ones",
        "a mean as far off as an image is from the mean; of 64 images it is known to an eighth of that",
        (
            "look for a bias in the last layer and for channels scaled differently; "
            "average the weights, train longer, clip x̂₀"
        ),
    ),
    Check(
        "error",
        of_noise.error,
        "Error",
        "error of ε̂ over that of a Wiener filter, geometric mean over levels",
        f"at most {of_noise.WORSE:g}",
        "the filter's error is a closed form of the images' spectrum; trained networks here lie at 0.4 to 0.7",
        "train longer or with a larger network; check the learning rate",
    ),
    Check(
        "statistics",
        of_noise.statistics,
        "Mean of the output",
        "mean of the output minus that of what it predicts, in standard deviations, the farthest from 0 of all levels",
        f"at most {of_noise.MEAN:g}",
        (
            "both means are the same for a conditional mean; "
            "a tenth of a standard deviation in every step is a change one sees"
        ),
        "look for a bias in the last layer, or for images whose mean was shifted",
    ),
    Check(
        "calibration",
        of_noise.calibration,
        "Calibration",
        "slope of what is predicted (ε, x₀ or v) on the output, the farthest from 1 of all levels",
        f"within {of_noise.SLOPE:g} of 1",
        "a conditional mean has slope 1 exactly; trained networks here lie within 0.07",
        "look for a factor in the output or the loss; train longer",
    ),
    Check(
        "clipping",
        of_noise.clipping,
        "Range of x̂₀",
        "what x̂₀ leaves [−1, 1] by, squared, in units of a Wiener filter's error in x₀",
        f"at most {of_noise.OUTSIDE:g}",
        "real images lie inside, so what is outside is error; a filter's whole error is more than a trained network's",
        "clip x̂₀ in sampling and train longer; a wrong range of images does the same",
    ),
    Check(
        "copies",
        of_samples.copies,
        "Copies",
        "distance of samples from their nearest training image, median over that of held-out images",
        f"at least {of_samples.NEAR:g}, or z above {of_samples.COPIED:g} (Mann and Whitney)",
        "samples of one that generalises lie as far as unseen real images do (Meehan et al. 2020)",
        "train fewer steps, with more images or a smaller network",
    ),
    Check(
        "diversity",
        of_samples.diversity,
        "Diversity",
        "mean distance between two samples over that between two real images",
        f"at least {of_samples.SPREAD:g}",
        "held-out images lie at 1 within a few hundredths; trained networks here above 0.9",
        "lower guidance, sample with more steps, look at the variance of the steps",
    ),
    Check(
        "contrast",
        of_samples.contrast,
        "Contrast",
        "standard deviation of samples' pixels over real ones'",
        f"between 1/{of_samples.CONTRAST:g} and {of_samples.CONTRAST:g}",
        "held-out images lie at 1 within a few hundredths",
        "check the range of images when they are written, clipping, and guidance",
    ),
    Check(
        "high-frequencies",
        of_samples.high_frequencies,
        "Fine detail",
        "power above half the highest frequency over that of real images",
        f"between 1/{of_samples.ENERGY:g} and {of_samples.ENERGY:g}",
        "few steps alone change it by half; three times is grain or blur that one sees",
        "more steps for noise that is left; longer training for blur",
    ),
    Check(
        "checkerboard",
        of_samples.checkerboard,
        "Checkerboard",
        "power of patterns of period two over that beside them, against the same of real images",
        f"at most {of_samples.CHECKERS:g}",
        "of 64 images the power at a frequency is known to a fifth",
        "resize and convolve in place of transposed convolutions (Odena et al. 2016)",
    ),
    Check(
        "obedience",
        of_samples.obedience,
        "Classes",
        (
            "share of samples that a linear classifier of pixels takes for the class asked for, "
            "above chance, over real images'"
        ),
        f"at least {of_samples.OBEYS:g}",
        "half of what the classifier recognises of real images: it is the instrument, and no better than that",
        "check how labels reach the network; raise guidance",
    ),
    Check(
        "dead",
        of_weights.dead,
        "Dead layers",
        "layers all of whose weights are zero",
        "none",
        "last layers begin at zero, and one step of training ends that",
        "check that every layer is in the optimiser, and that all weights were loaded",
    ),
    Check(
        "speed",
        of_samples.speed,
        "Speed",
        "seconds of sampling over what the cost model predicts from single passes",
        f"at most {of_samples.SLOW:g}",
        "a sampler's arithmetic is a small part of a pass; tiny networks take up to twice",
        "look at the sampler, the noise, transfers between devices, and at what is computed twice",
    ),
)
