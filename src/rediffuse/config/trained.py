"""The sections of what is trained: network, forward process, and the classifier that guides."""

import re
from typing import Annotated, Literal

from pydantic import Field, model_validator

from rediffuse.config.sections import Section
from rediffuse.errors import shown
from rediffuse.models.unet_config import NetworkOptions
from rediffuse.options import Decay, Fraction, Line, NotNegativeInt, PathText, PositiveFloat, PositiveInt


def _check_heads(heads: int, channels: int, multipliers: tuple[int, ...]) -> None:
    for multiplier in multipliers:
        if (channels * multiplier) % heads:
            raise ValueError(
                f"heads: {heads} does not divide the {channels * multiplier} channels of a scale; use a divisor"
            )


def _check_warmup(warmup: int, steps: int) -> None:
    if warmup >= steps:
        raise ValueError(f"warmup: {warmup} does not end before the last step {steps}; use less")


class Network(NetworkOptions):
    """The U-Net."""

    preset: str | None = Field(
        None,
        description="network of the literature to start from (`rediffuse.models.presets`); it sets every other key but "
        "`class_conditional` and `checkpointing`, and keys given beside it or in later layers win",
    )
    class_conditional: bool = Field(False, description="tell the network the class of each image, or a null token")

    @model_validator(mode="after")
    def _consistent(self) -> "Network":
        _check_heads(self.heads, self.channels, self.multipliers)
        if self.class_mlp and not self.class_conditional:
            raise ValueError("class_mlp: true has no class to work on; use class_conditional: true, or false")
        return self


class Weights(Section):
    """Weights that were trained elsewhere; `rediffuse import` writes them and this section."""

    folder: PathText = Field(..., description="folder of config.json and weights.safetensors")
    sha256: str = Field(..., description="digest of weights.safetensors")
    source: Line = Field("", max_length=1000, description="where they come from, in words")
    knows_no_class: bool = Field(
        False, description="the network was also trained without labels, as guidance other than 1 needs"
    )

    @model_validator(mode="after")
    def _digest(self) -> "Weights":
        if re.fullmatch("[0-9a-f]{64}", self.sha256) is None:
            raise ValueError(f"sha256: {shown(self.sha256)} is no SHA-256; use its 64 hexadecimal digits")
        return self


class Diffusion(Section):
    """The forward process and what the network learns of it."""

    timesteps: Annotated[int, Field(ge=2, le=10**6)] = Field(1000, description="T, the steps of the forward process")
    schedule: Literal["linear", "cosine", "quadratic", "sigmoid", "piecewise", "d4-quadratic", "d4-piecewise"] = Field(
        "linear", description="noise schedule"
    )
    prediction: Literal["eps", "x0", "mu", "v", "velocity"] = Field(
        "eps", description="what the network predicts; velocity: that of the straight path from data to noise"
    )
    variance: Literal["fixed-small", "fixed-large", "learned-range", "learned"] = Field(
        "fixed-large", description="reverse variance: β̃, β, or learned by the network"
    )
    loss: Literal["simple", "l1", "weighted", "vlb", "hybrid"] = Field("simple", description="training objective")
    weighting: Literal["none", "snr", "inverse-snr", "min-snr", "importance"] = Field(
        "none",
        description="weight by t of the squared error of ε, whatever is predicted: snr is 1, inverse-snr 1/(1 + SNR), "
        "min-snr min(SNR, 5)/SNR, importance that of the bound; none weighs the error of what is predicted alike",
    )

    @model_validator(mode="after")
    def _loss_fits_variance(self) -> "Diffusion":
        learned = self.variance in ("learned", "learned-range")
        if self.prediction == "velocity" and (learned or self.loss not in ("simple", "l1") or self.weighting != "none"):
            raise ValueError(
                f"prediction: velocity goes with loss: simple or l1, no weighting and a fixed variance, not with "
                f"loss: {self.loss}, weighting: {self.weighting}, variance: {self.variance}"
            )
        if self.loss == "hybrid" and not learned:
            raise ValueError(
                f"loss: hybrid trains a learned variance, but variance is {self.variance}; "
                "use variance: learned-range, or loss: simple"
            )
        if learned and self.loss not in ("hybrid", "vlb"):
            raise ValueError(f"variance: {self.variance} is not trained by loss: {self.loss}; use loss: hybrid or vlb")
        if self.weighting != "none" and self.loss not in ("simple", "l1", "hybrid"):
            raise ValueError(f"weighting: {self.weighting} does not apply to loss: {self.loss}; use weighting: none")
        if self.weighting == "snr" and self.prediction == "eps":
            raise ValueError(
                "weighting: snr is 1 at every t for prediction: eps and trains the unweighted loss; "
                "use inverse-snr, min-snr or importance, another prediction, or none"
            )
        return self


class GuidingClassifier(Section):
    """The noise-conditional classifier that guides a run's samples: the U-Net's way down, pooled, and its training."""

    channels: Annotated[int, Field(ge=4, le=10**5, multiple_of=2)] = Field(
        16, description="channels of the first scale, an even number"
    )
    multipliers: tuple[PositiveInt, ...] = Field(
        (1, 2), min_length=1, description="channels of each scale, as multiples"
    )
    blocks: PositiveInt = Field(1, le=1000, description="residual blocks a scale")
    attention: tuple[PositiveInt, ...] = Field((4,), description="side lengths at which self-attention stands")
    heads: PositiveInt = Field(1, le=10**5, description="attention heads")
    pooling: Literal["attention", "average"] = Field("attention", description="how pixels become one vector")
    dropout: Fraction = Field(0.0, lt=1.0, description="dropout inside residual blocks")
    steps: PositiveInt = Field(500, description="optimiser steps")
    batch_size: PositiveInt = Field(128, description="images a step, each at a random t")
    learning_rate: PositiveFloat = Field(1e-3, description="Adam's step size after warm-up, then a cosine decay to 0")
    warmup: NotNegativeInt = Field(20, description="steps of linear warm-up")
    ema_decay: Decay = Field(0.99, description="decay of the weight average")
    label_smoothing: Fraction = Field(0.0, description="share of each label spread over all classes")
    flip: bool = Field(False, description="random horizontal flips")
    log_every: PositiveInt = Field(50, description="steps a row of its history averages")
    checkpoint_every: PositiveInt = Field(500, description="steps between resume points")

    @model_validator(mode="after")
    def _consistent(self) -> "GuidingClassifier":
        _check_warmup(self.warmup, self.steps)
        _check_heads(self.heads, self.channels, self.multipliers)
        return self
