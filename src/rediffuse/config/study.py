"""A study: defaults, the runs that override them, ablations and claims; and each run fully resolved."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from rediffuse.config.sections import (
    Data,
    Evaluation,
    Hardware,
    Name,
    Restoration,
    Sampling,
    Section,
    Tracking,
)
from rediffuse.config.trained import Diffusion, GuidingClassifier, Network, Weights
from rediffuse.models.latent_options import CriticNetwork, LatentNetwork
from rediffuse.options import Line, Words
from rediffuse.training.options import DcganTraining, TrainingConfig, VaeTraining, WganTraining

Kind = Literal["unet", "dcgan", "wgan-gp", "vae"]
AnyNetwork = Network | CriticNetwork | LatentNetwork
AnyTraining = TrainingConfig | WganTraining | DcganTraining | VaeTraining


def _drawn(label: str) -> str:
    if label.startswith("_"):
        raise PydanticCustomError("label", "it should not begin with _, which figures leave out of their legends")
    return label


Label = Annotated[Words, Field(max_length=60), AfterValidator(_drawn)]
Seed = Annotated[int, Field(ge=0, lt=2**63)]


class Settings(Section):
    """Everything that decides the numbers of a U-Net's run, apart from its seed. Of one-pass models: only the number of
    images and of those at once, in `sampling`.
    """

    network: Network = Field(Network(), description="the U-Net")
    diffusion: Diffusion = Field(Diffusion(), description="forward process and objective")
    training: TrainingConfig = Field(TrainingConfig(), description="optimisation")
    sampling: Sampling = Field(Sampling(), description="samplers and step counts")


class Overrides(Section):
    """What differs from the defaults. Keys merge into the defaults; lists and `samplers` replace them whole."""

    network: dict[str, Any] = Field({}, description="overrides of defaults.network")
    diffusion: dict[str, Any] = Field({}, description="overrides of defaults.diffusion")
    training: dict[str, Any] = Field({}, description="overrides of defaults.training")
    sampling: dict[str, Any] = Field({}, description="overrides of defaults.sampling")

    def settings(self) -> dict[str, dict[str, Any]]:
        """The overriding sections, empty ones left out."""
        return {name: value for name in Settings.model_fields if (value := getattr(self, name))}


class Run(Overrides):
    """A run of the main comparison; DVC has a stage for each of its phases and seeds."""

    model: Kind = Field(
        "unet",
        description="what it is: a diffusion model's U-Net, or a model that makes an image in one pass, whose `network` "
        "and `training` have keys of their own",
    )
    role: Literal["baseline", "improved", "variant"] = Field("variant", description="its part in the comparison")
    label: Label | None = Field(None, description="its name in tables and figures; the key, or its kind's, when absent")
    classifier: GuidingClassifier | None = Field(
        None, description="noise-conditional classifier that guides its samples; none when absent"
    )
    weights: Weights | None = Field(None, description="weights to take instead of training")


class Ablation(Overrides):
    """A run that changes one thing of another, made by `snakemake ablations`."""

    of: Name = Field(..., description="the run it starts from")
    question: Words = Field(..., max_length=300, description="what it is meant to answer")
    seeds: tuple[Seed, ...] | None = Field(
        None, min_length=1, max_length=100, description="training seeds; the study's when absent"
    )


class Claim(Section):
    """One sentence of a paper, put to the test: metric of cell `better` against metric of cell `worse`."""

    claim: Words = Field(..., max_length=300, description="what the paper says")
    source: Words = Field(..., max_length=300, description="where it says so")
    metric: str = Field("frechet_distance", description="what is compared")
    better: str = Field(..., description="run/sampler-steps (or run/likelihood) expected to win")
    worse: str = Field(..., description="run/sampler-steps expected to lose, or real/held-out, real/noise")


class Study(Section):
    """One study: the whole content of `params.yaml`."""

    study: Name = Field(..., description="its name, part of every path")
    title: Words = Field(..., max_length=200, description="title of the report")
    summary: Line = Field("", max_length=2000, description="a sentence or two below the title")
    data: Data = Field(..., description="the images")
    hardware: Hardware = Field(Hardware(), description="device, threads, precision")
    tracking: Tracking = Field(Tracking(), description="MLflow")
    evaluation: Evaluation = Field(..., description="metrics and sample counts")
    restoration: Restoration = Field(Restoration(), description="what networks are tried on besides sampling")
    seeds: tuple[Seed, ...] = Field(..., min_length=1, max_length=100, description="training seeds of every run")
    defaults: Settings = Field(Settings(), description="settings that runs start from")
    runs: dict[Name, Run] = Field(
        ..., min_length=1, max_length=100, description="the runs compared, in the report's order"
    )
    ablation_defaults: Overrides = Field(Overrides(), description="overrides shared by all ablations")
    ablations: dict[Name, Ablation] = Field({}, max_length=1000, description="runs that change one thing of another")
    claims: tuple[Claim, ...] = Field((), max_length=1000, description="statements of the papers to judge")

    @model_validator(mode="after")
    def _seeds_once(self) -> "Study":
        for where, seeds in [("seeds", self.seeds)] + [
            (f"ablations.{k}.seeds", a.seeds) for k, a in self.ablations.items()
        ]:
            if seeds and len(set(seeds)) != len(seeds):
                raise ValueError(f"{where}: {list(seeds)} names a seed twice; use each once")
        return self


class ResolvedRun(Section):
    """A run with nothing left to look up; what follows from it is in `rediffuse.runs.facts`."""

    study: str
    name: str
    role: Literal["baseline", "improved", "variant", "ablation"]
    label: str
    of: str | None = None
    question: str | None = None
    seeds: tuple[int, ...]
    data: Data
    hardware: Hardware
    evaluation: Evaluation
    restoration: Restoration
    model: Kind
    network: AnyNetwork
    diffusion: Diffusion | None
    training: AnyTraining
    sampling: Sampling
    classifier: GuidingClassifier | None = None
    weights: Weights | None = None


def merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """`over` on top of `base`, mapping by mapping; lists and the mapping `samplers` are replaced whole."""
    merged = dict(base)
    for key, value in over.items():
        deep = key != "samplers" and isinstance(value, Mapping) and isinstance(merged.get(key), Mapping)
        merged[key] = merge(merged[key], value) if deep else value
    return merged
