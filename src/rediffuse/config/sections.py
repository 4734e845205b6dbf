"""The sections of a study: what may be set, in which range, what it means and its default.

Of what is trained: `trained`; of samplers: `sampling`.

Every field carries its description, from which `rediffuse schema` writes the JSON schema and the reference page.
"""

import os
import re
from typing import Literal

from pydantic import Field, field_validator, model_validator

from rediffuse import hardware
from rediffuse.config.sampling import Batch, Images, Name, Sampler, Sampling, Steps
from rediffuse.errors import shown
from rediffuse.models.presets import preset_fields
from rediffuse.options import Options, PathText, PositiveFloat, PositiveInt

__all__ = [
    "Corrections",
    "Cost",
    "Data",
    "DuringTraining",
    "Evaluation",
    "Hardware",
    "LpipsWeights",
    "Name",
    "Probe",
    "Restoration",
    "Sampler",
    "Sampling",
    "Tracking",
    "Trajectories",
]

#: A group of a study's keys.
Section = Options


class Hardware(hardware.Hardware):
    """What the numbers depend on besides the seed: fixed here, never detected."""

    # Dumped by nobody: only of a training does a result depend on it, and that stage states it (`stages/train.py`).
    processes: PositiveInt = Field(
        1,
        le=1024,
        exclude=True,
        description="processes that share the training, sampling, likelihood or evaluation of a U-Net, "
        "on one machine: a GPU each, or `threads` each",
    )


class Data(Section):
    """The images."""

    name: Name = Field(..., description="folder below data/, and the source unless `source` says otherwise")
    source: str | None = Field(None, description="entry of the registry of data sources; `name` when absent")
    image_size: PositiveInt | None = Field(
        None, description="side in pixels after centre crop and resizing, for sources that have no size of their own"
    )
    path: PathText | None = Field(None, description="local file or folder to read instead of downloading")

    @field_validator("path")
    @classmethod
    def _at_home(cls, path: str | None) -> str | None:
        return None if path is None else os.path.expanduser(path)

    @property
    def source_name(self) -> str:
        """The registry's entry."""
        return self.source or self.name


class DuringTraining(Section):
    """Samples drawn while a run trains, of its averaged and of its raw weights, and scored: how quality grows."""

    every: PositiveInt = Field(..., description="training steps from one scoring to the next; one comes at the end")
    images: Images = Field(120, ge=2, description="images of each, always from the same noise")
    steps: Steps = Field(10, description="sampling steps: of DDIM, or of Euler's method for a velocity")


class Trajectories(Section):
    """Samples of the baseline and the improved run, watched along their steps: x_t, and the estimates of x0."""

    images: Images = Field(120, ge=2, description="images of each sampler, the first that the run samples")
    steps: Steps = Field(50, description="sampling steps")
    points: PositiveInt = Field(10, ge=2, le=1000, description="steps that are looked at, first and last among them")


def _check_digests(section: Section, *names: str) -> None:
    """Refuse a stated digest that is none, or that of no file."""
    for name in names:
        digest = getattr(section, f"{name}_sha256")
        if digest is not None and re.fullmatch("[0-9a-f]{64}", digest) is None:
            raise ValueError(f"{name}_sha256: {shown(digest)} is no SHA-256; use its 64 hexadecimal digits")
        if digest is not None and getattr(section, name) is None:
            raise ValueError(f"{name}_sha256: is the digest of no file; give `{name}`, or leave it out")


class LpipsWeights(Section):
    """A perceptual distance (Zhang et al. 2018): its mean over pairs says how varied samples are.
    Weights are not packaged.
    """

    network: Literal["alex", "vgg"] = Field("alex", description="AlexNet or VGG-16")
    weights: PathText = Field(
        ...,
        description="file of torchvision's weights of that network, or of network and linear heads in one; "
        "a TorchScript file is a program, at your own risk",
    )
    weights_sha256: str | None = Field(
        None,
        description="digest that `weights` must have; that of the file counts when absent",
    )
    heads: PathText | None = Field(
        None, description="file of the authors' linear heads, version 0.1; in `weights` when absent"
    )
    heads_sha256: str | None = Field(
        None,
        description="digest that `heads` must have; that of the file counts when absent",
    )
    size: PositiveInt | None = Field(
        None,
        le=10**5,
        description="side to which images are brought first; as they are when absent: alex needs 31, vgg 16",
    )

    @model_validator(mode="after")
    def _digests(self) -> "LpipsWeights":
        _check_digests(self, "weights", "heads")
        return self


class Probe(Section):
    """What a trained network tells by itself: errors by t, and how much the gradients of batches differ."""

    images: Images = Field(128, ge=2, description="held-out images, and training images, whose ε and x₀ it predicts")
    batches: PositiveInt = Field(
        32, ge=8, le=1024, description="batches of the training's own size whose gradients are compared"
    )


class Evaluation(Section):
    """What the samples are scored with."""

    features: Name = Field(..., description="feature network of the registry")
    weights: PathText | None = Field(
        None,
        description="file with the feature network's weights, where it ships none; a TorchScript file is a program, at "
        "your own risk",
    )
    weights_sha256: str | None = Field(
        None,
        description="digest that `weights` must have; that of the file counts when absent",
    )
    group_size: Images = Field(360, ge=2, description="n: images one value is computed from")
    groups: PositiveInt = Field(3, le=10**4, description="disjoint groups of n images; their spread gives the interval")
    batch_size: Batch = Field(360, description="images the feature network sees at once")
    headline: tuple[str, ...] | None = Field(
        None,
        min_length=1,
        max_length=10,
        description="metrics of samples that the report compares runs by, the Fréchet distance first; it, KID "
        "and IS when absent",
    )
    likelihood_images: Images = Field(
        120,
        ge=2,
        description="held-out images whose bound on the likelihood is computed, one evaluation of the network a t",
    )
    probe: Probe = Field(Probe(), description="what is asked of a trained network by itself")
    during_training: DuringTraining | None = Field(
        None,
        description="scoring of snapshots of the main runs' training; "
        "ablations are judged by what they sample in the end",
    )
    trajectories: Trajectories | None = Field(
        None, description="what samples go through on their way, by ancestral sampling and by DDIM; none when absent"
    )
    lpips: LpipsWeights | None = Field(
        None,
        description="LPIPS diversity of the samples that stand for a model, and of held-out images; none when absent",
    )

    @model_validator(mode="after")
    def _digests(self) -> "Evaluation":
        _check_digests(self, "weights")
        return self


#: Restored images that a picture of the report shows.
LEAST_RESTORED = 8


class Restoration(Section):
    """What trained networks are tried on besides sampling: damaged held-out images, and a film of one sample."""

    images: Images = Field(64, ge=LEAST_RESTORED, description="held-out images that are damaged and restored")
    steps: Steps = Field(50, description="sampling steps")
    resamples: PositiveInt = Field(4, le=10**4, description="times that RePaint walks each step, when it fills a hole")
    sigma: PositiveFloat = Field(0.5, le=1000, description="noise to remove, in units where pixels span [-1, 1]")
    frames: PositiveInt = Field(8, le=1000, description="frames of the film of a sample")
    methods: tuple[Literal["ancestral", "ddim"], ...] = Field(
        ("ancestral",),
        min_length=1,
        max_length=2,
        description="ancestral: RePaint, DDNM and samples with noise in their steps; ddim: the same without, as DDIM",
    )
    runs: tuple[Name, ...] | None = Field(
        None,
        max_length=100,
        description="U-Nets that restore: of `runs`, and of what experiments train; all of `runs` when absent",
    )


class Cost(Section):
    """What is measured of what the networks cost."""

    compile: bool = Field(
        False, description="see what torch.compile buys, too: it takes a C++ compiler and half a minute or more"
    )
    presets: tuple[str, ...] = Field(
        (
            *("tiny", "small", "base", "large", "d4-tiny", "d4-light", "d4-base", "d4-large"),
            *("light-cifar10", "light-se-cifar10", "iddpm-cifar10"),
        ),
        description="networks of the literature whose cost stands beside that of the study's own; one second each",
    )

    @field_validator("presets")
    @classmethod
    def _known(cls, presets: tuple[str, ...]) -> tuple[str, ...]:
        for name in presets:
            preset_fields(name)
        return presets


class Corrections(Section):
    """The documents' mistakes of sampling, tried on the networks of the baseline and the improved model."""

    images: Images = Field(120, description="images of each way of sampling, in the groups of `evaluation.groups`")
    steps: Steps = Field(20, description="sampling steps")
    many_steps: Steps = Field(100, description="sampling steps of a mistake that few steps hide")


class Tracking(Section):
    """MLflow."""

    enabled: bool = Field(True, description="log every run to MLflow while it works")
    uri: PathText = Field(
        "sqlite:///mlflow.db", description="tracking store; the environment's MLFLOW_TRACKING_URI goes first"
    )
