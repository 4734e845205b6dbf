"""What a study may name, known without loading a data set, a network or torch.

`rediffuse check` must answer at once, so these tables repeat what the registries of `data`, `samplers` and
`evaluation` hold; `tests/config/test_facts.py` keeps them in agreement.
"""

from typing import NamedTuple


class DatasetFacts(NamedTuple):
    """Shape and counts of a data set; None where only the images themselves can tell."""

    channels: int | None
    image_size: int | None
    images: int | None
    held_out: int | None


DATASETS: dict[str, DatasetFacts] = {
    "digits": DatasetFacts(channels=1, image_size=8, images=1797, held_out=360),
    "smoke": DatasetFacts(channels=1, image_size=8, images=64, held_out=24),
    "cifar10": DatasetFacts(channels=3, image_size=32, images=60000, held_out=10000),
    "mnist": DatasetFacts(channels=1, image_size=32, images=70000, held_out=10000),
    "celeba": DatasetFacts(channels=3, image_size=None, images=202599, held_out=19962),
    "cifar10-jpeg": DatasetFacts(channels=3, image_size=32, images=60000, held_out=10000),
    "archive": DatasetFacts(channels=None, image_size=None, images=None, held_out=None),
    "folder": DatasetFacts(channels=None, image_size=None, images=None, held_out=None),
}


class SamplerFacts(NamedTuple):
    """Which options of a study's sampler entry a sampler takes."""

    eta: bool
    variance: bool


SAMPLERS: dict[str, SamplerFacts] = {
    "ancestral": SamplerFacts(eta=False, variance=True),
    "ddim": SamplerFacts(eta=True, variance=False),
    "dpm-solver-pp": SamplerFacts(eta=False, variance=False),
    "plms": SamplerFacts(eta=False, variance=False),
    "ode-euler": SamplerFacts(eta=False, variance=False),
    "ode-heun": SamplerFacts(eta=False, variance=False),
    "reverse-sde": SamplerFacts(eta=False, variance=False),
}

FEATURE_NETWORKS: tuple[str, ...] = ("efficientnet-lite0", "inception-v3", "inception-v3-clean", "torchscript")

# Metrics of samples, and which way each is better.
METRICS: dict[str, str] = {"frechet_distance": "lower", "kid": "lower", "inception_score": "higher"}

# Metrics of a run itself: the cell is `run/likelihood`.
RUN_METRICS: dict[str, str] = {"bits_per_dim": "lower"}
RUN_SETTINGS: dict[str, str] = {"bits_per_dim": "likelihood"}
