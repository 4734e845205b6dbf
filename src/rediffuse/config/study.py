"""A study: defaults, the runs that override them, experiments and claims; and each run fully resolved."""

from typing import Any, Literal

from pydantic import Field, model_validator

from rediffuse.config.experiment import Claim, Experiment, Seed
from rediffuse.config.sampling import Sampler, SamplerName
from rediffuse.config.sections import (
    Corrections,
    Cost,
    Data,
    Evaluation,
    Hardware,
    Name,
    Restoration,
    Sampling,
    Section,
    Tracking,
)
from rediffuse.config.settings import Overrides, Settings
from rediffuse.config.trained import Diffusion, GuidingClassifier, Network, Weights
from rediffuse.models.latent_options import CriticNetwork, LatentNetwork
from rediffuse.options import Label, Line, Words
from rediffuse.training.options import DcganTraining, TrainingConfig, VaeTraining, WganTraining

Kind = Literal["unet", "dcgan", "wgan-gp", "vae"]
AnyNetwork = Network | CriticNetwork | LatentNetwork
AnyTraining = TrainingConfig | WganTraining | DcganTraining | VaeTraining


class Run(Overrides):
    """A run of the main comparison; DVC has a stage for each of its phases and seeds."""

    model: Kind = Field(
        "unet",
        description="what it is: a diffusion model's U-Net, or a model that makes an image in one pass, "
        "whose `network` and `training` have keys of their own",
    )
    role: Literal["baseline", "improved", "variant"] = Field("variant", description="its part in the comparison")
    label: Label | None = Field(
        None, max_length=60, description="its name in tables and figures; the key, or its kind's, when absent"
    )
    classifier: GuidingClassifier | None = Field(
        None, description="noise-conditional classifier that guides its samples; none when absent"
    )
    weights: Weights | None = Field(None, description="weights to take instead of training")


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
    cost: Cost = Field(Cost(), description="what is measured of the networks' cost")
    corrections: Corrections | None = Field(
        None,
        description="the mistakes of the documents the project started from, told in the report and tried out; "
        "not when absent",
    )
    seeds: tuple[Seed, ...] = Field(..., min_length=1, max_length=100, description="training seeds of every run")
    defaults: Settings = Field(Settings(), description="settings that runs start from")
    runs: dict[Name, Run] = Field(
        ..., min_length=1, max_length=10_000, description="the runs compared, in the report's order"
    )
    experiments: dict[Name, Experiment] = Field({}, max_length=1000, description="questions, in the report's order")
    experiment_samplers: dict[SamplerName, Sampler] = Field(
        {}, max_length=100, description="how an experiment's runs are sampled where it names no samplers"
    )
    claims: tuple[Claim, ...] = Field(
        (), max_length=1000, description="statements of the papers to judge, beside those of experiments"
    )

    @model_validator(mode="after")
    def _seeds_once(self) -> "Study":
        for where, seeds in [("seeds", self.seeds)] + [
            (f"experiments.{k}.seeds", e.seeds) for k, e in self.experiments.items()
        ]:
            if seeds and len(set(seeds)) != len(seeds):
                raise ValueError(f"{where}: {list(seeds)} names a seed twice; use each once")
        return self


class ResolvedRun(Section):
    """A run with nothing left to look up; what follows from it is in `rediffuse.runs.facts`.

    of, question, overrides: of a run that an experiment trains, what it starts from, answers and changes. added:
    settings that it is sampled with for experiments alone. probed: whether its network is asked what it tells by
    itself: always, but of an experiment's run only where something asks for one of these metrics.
    """

    study: str
    name: str
    role: Literal["baseline", "improved", "variant", "ablation"]
    label: str
    of: str | None = None
    question: str | None = None
    overrides: dict[str, dict[str, Any]] | None = None
    added: tuple[str, ...] = ()
    probed: bool = False
    seeds: tuple[int, ...]
    data: Data
    hardware: Hardware
    evaluation: Evaluation
    restoration: Restoration
    corrections: Corrections | None = None
    model: Kind
    network: AnyNetwork
    diffusion: Diffusion | None
    training: AnyTraining
    sampling: Sampling
    classifier: GuidingClassifier | None = None
    weights: Weights | None = None

    @property
    def restores(self) -> bool:
        """Whether it is tried on damaged images."""
        named = self.restoration.runs
        return self.name in named if named is not None else self.diffusion is not None and self.role != "ablation"
