"""What a study may name, known without loading a data set, a network or torch.

`rediffuse check` must answer at once, so these tables repeat what the registries of `data`, `samplers` and
`evaluation` hold; `tests/config/test_facts.py` keeps them in agreement.
"""

from typing import NamedTuple


class DatasetFacts(NamedTuple):
    """Shape and counts of a data set; None where only the images themselves can tell, no classes being 0."""

    channels: int | None
    image_size: int | None
    images: int | None
    held_out: int | None
    classes: int | None


DATASETS: dict[str, DatasetFacts] = {
    "digits": DatasetFacts(channels=1, image_size=8, images=1797, held_out=360, classes=10),
    "smoke": DatasetFacts(channels=1, image_size=8, images=64, held_out=24, classes=10),
    "cifar10": DatasetFacts(channels=3, image_size=32, images=60000, held_out=10000, classes=10),
    "mnist": DatasetFacts(channels=1, image_size=32, images=70000, held_out=10000, classes=10),
    "celeba": DatasetFacts(channels=3, image_size=None, images=202599, held_out=19962, classes=0),
    "cifar10-jpeg": DatasetFacts(channels=3, image_size=32, images=60000, held_out=10000, classes=10),
    "archive": DatasetFacts(channels=None, image_size=None, images=None, held_out=None, classes=None),
    "folder": DatasetFacts(channels=None, image_size=None, images=None, held_out=None, classes=None),
}


class SamplerFacts(NamedTuple):
    """Which options of a study's sampler entry a sampler takes."""

    eta: bool
    variance: bool
    flow: bool = False  # samples a velocity field


SAMPLERS: dict[str, SamplerFacts] = {
    "ancestral": SamplerFacts(eta=False, variance=True),
    "ddim": SamplerFacts(eta=True, variance=False),
    "dpm-solver-pp": SamplerFacts(eta=False, variance=False),
    "plms": SamplerFacts(eta=False, variance=False),
    "ode-euler": SamplerFacts(eta=False, variance=False),
    "ode-heun": SamplerFacts(eta=False, variance=False),
    "reverse-sde": SamplerFacts(eta=False, variance=False),
    "flow-euler": SamplerFacts(eta=False, variance=False, flow=True),
    "flow-heun": SamplerFacts(eta=False, variance=False, flow=True),
}

FEATURE_NETWORKS: tuple[str, ...] = ("efficientnet-lite0", "inception-v3", "inception-v3-clean", "torchscript")

#: Least side of an image that each network of LPIPS takes.
LPIPS_LEAST: dict[str, int] = {"alex": 31, "vgg": 16}

# Metrics of samples, and which way each is better.
METRICS: dict[str, str] = {
    "frechet_distance": "lower",
    "kid": "lower",
    "inception_score": "higher",
    "precision": "higher",
    "recall": "higher",
    "density": "higher",
    "coverage": "higher",
    "diversity": "higher",
}

# Those that the report compares runs by; the others are in its metrics files and may be claimed about.
HEADLINE_METRICS: tuple[str, ...] = ("frechet_distance", "kid", "inception_score")

# Metrics of samples that were asked for by class, in a class-conditional run.
CLASS_METRICS: dict[str, str] = {"class_accuracy": "higher", "class_diversity": "higher"}

# Metrics of a run itself: the cell is `run/likelihood`.
RUN_METRICS: dict[str, str] = {"bits_per_dim": "lower"}
RUN_SETTINGS: dict[str, str] = {"bits_per_dim": "likelihood"}
