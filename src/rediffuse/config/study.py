"""A study: defaults, the runs that override them, ablations and claims; and each run fully resolved."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, model_validator

from rediffuse.config.generators import Generator
from rediffuse.config.sections import (
    Data,
    DuringTraining,
    Evaluation,
    Hardware,
    Name,
    Restoration,
    Sampling,
    Section,
    Tracking,
)
from rediffuse.config.trained import Classifier, Diffusion, Network, Training, Weights

Seed = Annotated[int, Field(ge=0, lt=2**63)]


class Settings(Section):
    """Everything that decides a run's numbers, apart from its seed."""

    network: Network = Field(Network(), description="the U-Net")
    diffusion: Diffusion = Field(Diffusion(), description="forward process and objective")
    training: Training = Field(Training(), description="optimisation")
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

    role: Literal["baseline", "improved", "variant"] = Field("variant", description="its part in the comparison")
    label: str | None = Field(None, description="its name in tables and figures; the key when absent")
    weights: Weights | None = Field(None, description="weights to take instead of training")


class Ablation(Overrides):
    """A run that changes one thing of another, made by `snakemake ablations`."""

    of: Name = Field(..., description="the run it starts from")
    question: str = Field(..., description="what it is meant to answer")
    seeds: tuple[Seed, ...] | None = Field(None, min_length=1, description="training seeds; the study's when absent")


class Claim(Section):
    """One sentence of a paper, put to the test: metric of cell `better` against metric of cell `worse`."""

    claim: str = Field(..., description="what the paper says")
    source: str = Field(..., description="where it says so")
    metric: str = Field("frechet_distance", description="what is compared")
    better: str = Field(..., description="run/sampler-steps (or run/likelihood) expected to win")
    worse: str = Field(..., description="run/sampler-steps expected to lose, or real/held-out, real/noise")


class Study(Section):
    """One study: the whole content of `params.yaml`."""

    study: Name = Field(..., description="its name, part of every path")
    title: str = Field(..., description="title of the report")
    summary: str = Field("", description="a sentence or two below the title")
    data: Data = Field(..., description="the images")
    hardware: Hardware = Field(Hardware(), description="device, threads, precision")
    tracking: Tracking = Field(Tracking(), description="MLflow")
    evaluation: Evaluation = Field(..., description="metrics and sample counts")
    restoration: Restoration = Field(Restoration(), description="what networks are tried on besides sampling")
    seeds: tuple[Seed, ...] = Field(..., min_length=1, description="training seeds of every run")
    defaults: Settings = Field(Settings(), description="settings that runs start from")
    runs: dict[Name, Run] = Field(..., min_length=1, description="the runs compared, in the report's order")
    classifiers: dict[Name, Classifier] = Field(
        {},
        description="by run: a noise-conditional classifier for `classifier_scale` (`{}` for none: DVC reads the key)",
    )
    ablation_defaults: Overrides = Field(Overrides(), description="overrides shared by all ablations")
    ablations: dict[Name, Ablation] = Field({}, description="runs that change one thing of another")
    generators: dict[Name, Generator] = Field({}, description="one-pass models to stand beside the runs")
    claims: tuple[Claim, ...] = Field((), description="statements of the papers to judge")

    @model_validator(mode="after")
    def _seeds_once(self) -> "Study":
        for where, seeds in [("seeds", self.seeds)] + [
            (f"ablations.{k}.seeds", a.seeds) for k, a in self.ablations.items()
        ]:
            if seeds and len(set(seeds)) != len(seeds):
                raise ValueError(f"{where}: {list(seeds)} names a seed twice; use each once")
        return self


class ResolvedRun(Section):
    """A run with nothing left to look up."""

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
    network: Network
    diffusion: Diffusion
    training: Training
    sampling: Sampling
    classifier: Classifier | None = None
    weights: Weights | None = None

    @property
    def preview_steps(self) -> tuple[int, ...]:
        """Steps after which a preview is drawn; none where nothing is trained."""
        return () if self.weights is not None else self.training.preview_steps

    @property
    def during_training(self) -> DuringTraining | None:
        """How samples are drawn while this run trains; None where they are not."""
        return None if self.weights is not None or self.role == "ablation" else self.evaluation.during_training

    @property
    def scored_steps(self) -> tuple[int, ...]:
        """Training steps after which samples are drawn."""
        if self.during_training is None:
            return ()
        last = self.training.steps
        return tuple(sorted({*range(self.during_training.every, last, self.during_training.every), last}))

    #: The stages that train it and sample it.
    train_stage: ClassVar[str] = "train"
    sample_stage: ClassVar[str] = "sample"

    def folder(self, seed: int) -> Path:
        """Folder of everything made with a training seed; ablations lie apart, where DVC does not look."""
        where = ("ablations", self.name) if self.role == "ablation" else (self.name,)
        return Path("runs", self.study, *where, f"seed{seed}")

    def settings(self) -> list[tuple[str, str, int]]:
        """(setting name `<sampler>-<steps>`, sampler key, steps) of everything this run samples."""
        return [(f"{key}-{n}", key, n) for key, sampler in self.sampling.samplers.items() for n in sampler.steps]

    def shown_setting(self) -> tuple[str, str, int]:
        """The setting that stands for the run: its first sampler's most steps, at guidance 1 where a sampler has it."""
        samplers = self.sampling.samplers
        key = next((key for key, sampler in samplers.items() if sampler.guidance == 1), next(iter(samplers)))
        steps = max(samplers[key].steps)
        return f"{key}-{steps}", key, steps

    def asks_classes(self, key: str) -> bool:
        """Whether samples of the sampler `key` are asked for by class: sample i for class i mod K."""
        return self.network.class_conditional or self.sampling.samplers[key].classifier_scale is not None

    def comparable_settings(self) -> list[tuple[str, str, int]]:
        """`settings` without those that a classifier guides: told the class, they are no match for those that are not."""
        return [s for s in self.settings() if self.sampling.samplers[s[1]].classifier_scale is None]

    def describe(self, key: str) -> dict[str, Any]:
        """What a metrics file says of a sampler besides its name and steps."""
        sampler = self.sampling.samplers[key]
        return {
            "kind": sampler.kind or key,
            "eta": sampler.eta,
            "guidance": sampler.guidance,
            "classifier_scale": sampler.classifier_scale,
            "variance": sampler.variance or self.diffusion.variance,
        }


def merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """`over` on top of `base`, mapping by mapping; lists and the mapping `samplers` are replaced whole."""
    merged = dict(base)
    for key, value in over.items():
        deep = key != "samplers" and isinstance(value, Mapping) and isinstance(merged.get(key), Mapping)
        merged[key] = merge(merged[key], value) if deep else value
    return merged
