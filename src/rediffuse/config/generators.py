"""One-pass models of a study: DCGAN, WGAN-GP and VAE, baselines in quality and in time."""

from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, model_validator

from rediffuse.config.sections import (
    Data,
    Evaluation,
    Hardware,
    NotNegative,
    PositiveFloat,
    PositiveInt,
    Sampling,
    Section,
)

#: The one setting that a one-pass model is sampled with: (setting, sampler key, steps).
ONE_PASS = ("one-pass-1", "one-pass", 1)

KINDS = {
    "dcgan": {"learning_rate": 2e-4, "beta1": 0.5, "beta2": 0.999},
    "wgan-gp": {"learning_rate": 1e-4, "beta1": 0.0, "beta2": 0.9, "critic_steps": 5, "gradient_penalty": 10.0},
    "vae": {"learning_rate": 1e-3, "beta1": 0.9, "beta2": 0.999},
}
"""What each paper uses, taken where a study says nothing (Radford et al. 2016, Gulrajani et al. 2017, Kingma & Welling
2014 with Adam for AdaGrad)."""

TITLES = {"dcgan": "DCGAN", "wgan-gp": "WGAN-GP", "vae": "VAE"}


class GeneratorTraining(Section):
    """Optimisation of a one-pass model; what is absent is as in the paper of its kind."""

    steps: PositiveInt = Field(2000, description="steps of the generator, or of the whole VAE")
    batch_size: Annotated[int, Field(ge=2)] = Field(64, description="real images a step")
    learning_rate: PositiveFloat | None = Field(
        None, description="Adam's step size; 2e-4 for dcgan, 1e-4 for wgan-gp, 1e-3 for vae when absent"
    )
    beta1: Annotated[float, Field(ge=0.0, lt=1.0)] | None = Field(
        None, description="Adam's decay of the mean; 0.5 for dcgan, 0 for wgan-gp, 0.9 for vae when absent"
    )
    beta2: Annotated[float, Field(ge=0.0, lt=1.0)] | None = Field(
        None, description="Adam's decay of the square; 0.9 for wgan-gp, 0.999 for the others when absent"
    )
    critic_steps: PositiveInt | None = Field(
        None, description="wgan-gp only: steps of the critic for each of the generator; 5 when absent"
    )
    gradient_penalty: NotNegative | None = Field(
        None, description="wgan-gp only: weight λ of the gradient penalty; 10 when absent"
    )
    ema_decay: Annotated[float, Field(ge=0.0, lt=1.0)] = Field(
        0.0, description="decay of the average of the generator's weights; 0 keeps the last weights"
    )
    flip: bool = Field(False, description="random horizontal flips")
    log_every: PositiveInt = Field(100, description="steps a row of history.csv averages")
    preview_steps: tuple[PositiveInt, ...] = Field((), description="steps after which a preview grid is drawn")
    checkpoint_every: PositiveInt = Field(500, description="steps between resume points")

    @model_validator(mode="after")
    def _previews_in_time(self) -> "GeneratorTraining":
        late = [step for step in self.preview_steps if step > self.steps]
        if late:
            raise ValueError(
                f"preview_steps: {late[0]} lies beyond the last step {self.steps}; use steps up to {self.steps}"
            )
        return self


class Generator(Section):
    """A model that makes an image in one pass, for quality and time beside the runs."""

    kind: Literal["dcgan", "wgan-gp", "vae"] = Field(..., description="what it is and how it is trained")
    label: str | None = Field(None, description="its name in tables and figures; that of its kind when absent")
    latent: PositiveInt = Field(100, description="length of the latent vector z")
    channels: PositiveInt = Field(64, description="channels of its largest hidden map; smaller maps have 2, 4, … times")
    critic_norm: Literal["layer", "none"] | None = Field(
        None, description="wgan-gp only: normalisation in the critic; layer, as in the paper, when absent"
    )
    training: GeneratorTraining = Field(GeneratorTraining(), description="optimisation")

    @model_validator(mode="after")
    def _critic_is_of_wgan(self) -> "Generator":
        of_critic = {f"training.{name}": getattr(self.training, name) for name in ("critic_steps", "gradient_penalty")}
        for name, value in {"critic_norm": self.critic_norm, **of_critic}.items():
            if value is not None and self.kind != "wgan-gp":
                raise ValueError(f"{name}: {value} is for kind: wgan-gp, not for {self.kind}; leave it out")
        return self


class ResolvedGenerator(Section):
    """A one-pass model with nothing left to look up; what it shares with `ResolvedRun` has the same name there."""

    study: str
    name: str
    role: Literal["generator"] = "generator"
    label: str
    of: None = None
    seeds: tuple[int, ...]
    data: Data
    hardware: Hardware
    evaluation: Evaluation
    sampling: Sampling
    kind: Literal["dcgan", "wgan-gp", "vae"]
    latent: int
    channels: int
    critic_norm: Literal["layer", "none"] | None
    training: GeneratorTraining

    #: The stages that train it and sample it.
    train_stage: ClassVar[str] = "fit"
    sample_stage: ClassVar[str] = "draw"

    def folder(self, seed: int) -> Path:
        """Folder of everything made with a training seed."""
        return Path("runs", self.study, self.name, f"seed{seed}")

    def settings(self) -> list[tuple[str, str, int]]:
        """(setting name, sampler key, steps): there is one way of sampling it."""
        return [ONE_PASS]

    def shown_setting(self) -> tuple[str, str, int]:
        """The setting that stands for it: its only one."""
        return ONE_PASS

    def asks_classes(self, key: str) -> bool:
        """No sample is asked for by class."""
        return False

    def describe(self, key: str) -> dict[str, Any]:
        """What a metrics file says of a sampler besides its name and steps."""
        return {"kind": key, "eta": None, "guidance": None, "classifier_scale": None, "variance": None}


def resolve(name: str, entry: Generator, **facts: Any) -> ResolvedGenerator:
    """`entry` with the defaults of its kind. `facts`: what it shares with the runs of its study."""
    given = entry.training.model_dump(exclude_none=True)
    training = GeneratorTraining(**{**KINDS[entry.kind], **given})
    return ResolvedGenerator(
        name=name, label=entry.label or TITLES[entry.kind], kind=entry.kind, latent=entry.latent,
        channels=entry.channels, training=training,
        critic_norm=(entry.critic_norm or "layer") if entry.kind == "wgan-gp" else None, **facts,
    )  # fmt: skip


def check_generator(model: ResolvedGenerator, side: int | None, images: int | None) -> None:
    """Raise ValueError (`key: message`) when a one-pass model does not fit the data set or the evaluation.

    Args:
        side: of an image; None where only the images can tell.
        images: number of training images, likewise.
    """
    if side is not None and (side < 8 or side & (side - 1)):
        raise ValueError(
            f"kind: {model.kind} makes images whose side is a power of two of at least 8, not {side}; "
            "use data.image_size where the source has it, or leave the entry out"
        )
    if images is not None and model.training.batch_size > images:
        raise ValueError(
            f"training.batch_size: {model.training.batch_size} exceeds the {images} training images "
            f"of {model.data.source_name}; use at most {images}"
        )
    wanted = model.evaluation.group_size * model.evaluation.groups
    if wanted > model.sampling.images:
        raise ValueError(
            f"kind: defaults.sampling.images is {model.sampling.images}, less than evaluation's "
            f"{model.evaluation.groups} groups of {model.evaluation.group_size}; use at least {wanted}"
        )
