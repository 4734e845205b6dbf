"""A study: defaults, the runs that override them, ablations and claims; and each run fully resolved."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, model_validator

from rediffuse.config.facts import (
    CLASS_METRICS,
    DATASETS,
    FEATURE_NETWORKS,
    METRICS,
    RUN_METRICS,
    RUN_SETTINGS,
    SAMPLERS,
)
from rediffuse.config.generators import Generator, ResolvedGenerator
from rediffuse.config.sections import (
    Classifier,
    Data,
    Diffusion,
    Evaluation,
    Hardware,
    Name,
    Network,
    Restoration,
    Sampling,
    Section,
    Tracking,
    Training,
    Weights,
)

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


def check_run(run: ResolvedRun) -> None:
    """Raise ValueError (`section.key: message`) when settings that are right by themselves do not fit together."""
    facts = DATASETS.get(run.data.source_name)
    if facts is None:
        raise ValueError(f"data.name: {run.data.source_name!r} is not a data set; use one of {', '.join(DATASETS)}")
    if run.evaluation.features not in FEATURE_NETWORKS:
        raise ValueError(
            f"evaluation.features: {run.evaluation.features!r} is not a feature network; "
            f"use one of {', '.join(FEATURE_NETWORKS)}"
        )
    _check_sizes(run, run.data.image_size or facts.image_size)
    _check_counts(run, facts.held_out, facts.images)
    steps = run.diffusion.timesteps
    if run.diffusion.schedule == "linear" and steps <= 20:
        # beta_end = 0.02 · 1000 / T reaches 1 at T = 20 (Nichol & Dhariwal's scaling of Ho's schedule).
        raise ValueError(f"diffusion.timesteps: {steps} makes the linear schedule reach β ≥ 1; use at least 21")
    if run.diffusion.prediction == "velocity" and run.role != "ablation":
        raise ValueError(
            "diffusion.prediction: velocity has no bound on the likelihood, which every run has; make it an ablation"
        )
    _check_classes(run, facts.classes)
    for key, sampler in run.sampling.samplers.items():
        where, kind = f"sampling.samplers.{key}", sampler.kind or key
        if kind not in SAMPLERS:
            raise ValueError(f"{where}.kind: {kind!r} is not a sampler; use one of {', '.join(SAMPLERS)}")
        if SAMPLERS[kind].flow != (run.diffusion.prediction == "velocity"):
            fitting = [name for name, facts in SAMPLERS.items() if facts.flow != SAMPLERS[kind].flow]
            raise ValueError(
                f"{where}.kind: {kind} does not sample a network that predicts {run.diffusion.prediction}; "
                f"use one of {', '.join(fitting)}"
            )
        if max(sampler.steps) > steps:
            raise ValueError(
                f"{where}.steps: {max(sampler.steps)} exceeds the {steps} diffusion time steps; use at most {steps}"
            )
        if sampler.eta is not None and not SAMPLERS[kind].eta:
            raise ValueError(f"{where}.eta: {kind} has no η; leave it out, or use kind: ddim")
        if sampler.variance is not None and not SAMPLERS[kind].variance:
            raise ValueError(f"{where}.variance: {kind} takes no variance; leave it out, or use kind: ancestral")


def _check_classes(run: ResolvedRun, classes: int | None) -> None:
    conditional = run.network.class_conditional
    if conditional and classes == 0:
        raise ValueError(f"network.class_conditional: {run.data.source_name} has no classes; use false")
    if run.training.label_dropout and not conditional:
        raise ValueError(
            f"training.label_dropout: {run.training.label_dropout} has no labels to drop; "
            "use network.class_conditional: true, or 0"
        )
    asked = any(run.asks_classes(key) for key in run.sampling.samplers)
    if asked and classes and run.evaluation.group_size < 2 * classes:
        raise ValueError(
            f"evaluation.group_size: {run.evaluation.group_size} leaves some of the {classes} classes with fewer than "
            f"two images, so their diversity cannot be measured; use at least {2 * classes}"
        )
    if run.classifier is not None and classes == 0:
        raise ValueError(f"classifiers.{run.name}: {run.data.source_name} has no classes; leave it out")
    for key, sampler in run.sampling.samplers.items():
        if sampler.classifier_scale is not None and run.classifier is None:
            raise ValueError(
                f"sampling.samplers.{key}.classifier_scale: {sampler.classifier_scale} needs a classifier; "
                f"give `classifiers` an entry {run.name}, or leave it out"
                if run.role != "ablation"
                else f"sampling.samplers.{key}.classifier_scale: an ablation has no classifier; leave it out"
            )
        if sampler.classifier_scale is not None and run.diffusion.prediction == "velocity":
            raise ValueError(
                f"sampling.samplers.{key}.classifier_scale: a network that predicts a velocity cannot be guided by a "
                "classifier; leave it out"
            )
        if sampler.guidance is None:
            continue
        if not conditional:
            raise ValueError(
                f"sampling.samplers.{key}.guidance: {sampler.guidance} needs a class-conditional network; "
                "use network.class_conditional: true, or leave it out"
            )
        knows_no_class = run.training.label_dropout if run.weights is None else run.weights.knows_no_class
        if sampler.guidance != 1 and not knows_no_class:
            if run.weights is not None:
                raise ValueError(
                    f"sampling.samplers.{key}.guidance: {sampler.guidance} needs a network that also knows no class, "
                    "and weights.knows_no_class is false; use guidance: 1"
                )
            raise ValueError(
                f"sampling.samplers.{key}.guidance: {sampler.guidance} needs a network that also knows no class; "
                "use training.label_dropout: 0.1, or guidance: 1"
            )


def _check_sizes(run: ResolvedRun, size: int | None) -> None:
    if size is None:
        if run.data.source_name in ("celeba", "archive", "folder"):
            raise ValueError(
                f"data.image_size: {run.data.source_name} has images of any size; say which side to use, such as 64"
            )
        return
    networks: list[tuple[str, Network | Classifier]] = [("network", run.network)]
    if run.classifier is not None:
        networks.append((f"classifiers.{run.name}", run.classifier))
    for where, network in networks:
        halvings = len(network.multipliers) - 1
        if size % 2**halvings:
            raise ValueError(
                f"{where}.multipliers: {halvings} halvings do not divide the image side {size}; use fewer scales"
            )
        sides = [size // 2**scale for scale in range(halvings + 1)]
        for side in network.attention:
            if side not in sides:
                raise ValueError(f"{where}.attention: no scale has side {side}; use some of {sides}")


def _check_counts(run: ResolvedRun, held_out: int | None, images: int | None) -> None:
    n, groups = run.evaluation.group_size, run.evaluation.groups
    if held_out is not None and n > held_out:
        raise ValueError(
            f"evaluation.group_size: {n} exceeds the {held_out} held-out images of {run.data.source_name}, "
            f"so no real-vs-real line at the same n exists; use at most {held_out}"
        )
    if n * groups > run.sampling.images:
        raise ValueError(
            f"sampling.images: {run.sampling.images} is less than evaluation's {groups} groups of {n}; "
            f"use at least {n * groups}"
        )
    if held_out is not None and run.evaluation.likelihood_images > held_out:
        raise ValueError(
            f"evaluation.likelihood_images: {run.evaluation.likelihood_images} exceeds the {held_out} held-out images "
            f"of {run.data.source_name}; use at most {held_out}"
        )
    if held_out is not None and run.restoration.images > held_out:
        raise ValueError(
            f"restoration.images: {run.restoration.images} exceeds the {held_out} held-out images "
            f"of {run.data.source_name}; use at most {held_out}"
        )
    for name in ("steps", "frames"):
        count, limit = (
            getattr(run.restoration, name),
            run.diffusion.timesteps if name == "steps" else run.restoration.steps,
        )
        if count > limit:
            raise ValueError(f"restoration.{name}: {count} is more than there are steps to take; use at most {limit}")
    trained = [] if run.weights is not None else [("training", run.training.batch_size)]
    if run.classifier is not None:
        trained.append((f"classifiers.{run.name}", run.classifier.batch_size))
    for where, batch_size in trained:
        if images is not None and held_out is not None and batch_size > images - held_out:
            raise ValueError(
                f"{where}.batch_size: {batch_size} exceeds the {images - held_out} training images "
                f"of {run.data.source_name}; use at most {images - held_out}"
            )


def check_claims(
    study: Study, runs: Mapping[str, ResolvedRun], generators: Mapping[str, ResolvedGenerator] | None = None
) -> None:
    """Raise ValueError when a claim names a cell or a metric that the study does not make."""
    one_pass = generators or {}
    models: dict[str, ResolvedRun | ResolvedGenerator] = {**runs, **one_pass}
    sampled = {"real/held-out", "real/noise"} | {f"{n}/{s}" for n, run in models.items() for s, _, _ in run.settings()}
    bounded = [*runs, *(name for name, model in one_pass.items() if model.kind == "vae")]
    for index, claim in enumerate(study.claims):
        if claim.metric not in (all_metrics := METRICS | CLASS_METRICS | RUN_METRICS):
            known = ", ".join(all_metrics)
            raise ValueError(f"claims.{index}.metric: {claim.metric!r} is not a metric; use one of {known}")
        setting = RUN_SETTINGS.get(claim.metric)
        cells = {f"{name}/{setting}" for name in bounded} if setting else sampled
        wanted = f"run/{setting}" if setting else "run/sampler-steps as `rediffuse check` prints them"
        for side in ("better", "worse"):
            if (cell := getattr(claim, side)) not in cells:
                raise ValueError(f"claims.{index}.{side}: {cell!r} is made by no run of this study; use {wanted}")
