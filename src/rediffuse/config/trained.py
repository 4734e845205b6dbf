"""The sections of what is trained: network, forward process, optimisation, and the classifier that guides."""

import re
from typing import Annotated, Literal

from pydantic import Field, model_validator

from rediffuse.config.sections import Fraction, PositiveFloat, PositiveInt, Section


def _check_heads(heads: int, channels: int, multipliers: tuple[int, ...]) -> None:
    for multiplier in multipliers:
        if (channels * multiplier) % heads:
            raise ValueError(
                f"heads: {heads} does not divide the {channels * multiplier} channels of a scale; use a divisor"
            )


def _check_warmup(warmup: int, steps: int) -> None:
    if warmup >= steps:
        raise ValueError(f"warmup: {warmup} does not end before the last step {steps}; use less")


class Network(Section):
    """The U-Net."""

    preset: str | None = Field(
        None,
        description="network of the literature to start from (`rediffuse.config.presets`); it sets every other key but "
        "`class_conditional` and `checkpointing`, and keys given beside it or in later layers win",
    )
    channels: PositiveInt = Field(16, description="channels of the first scale")
    multipliers: tuple[PositiveInt, ...] = Field((1, 2), description="channels of each scale, as multiples")
    blocks: PositiveInt = Field(2, description="residual blocks a scale")
    block: Literal["residual", "inverted", "inverted-se"] = Field(
        "residual",
        description="residual: two 3×3 convolutions (Ho et al.); inverted: a light U-Net of depthwise-separable "
        "inverted residuals (MobileNetV2); inverted-se: the same with squeeze-excitation",
    )
    expansion: PositiveInt = Field(4, description="width inside an inverted block, as a multiple of the block's own")
    attention: tuple[PositiveInt, ...] = Field((4,), description="side lengths at which self-attention stands")
    middle_attention: bool = Field(True, description="self-attention between the two blocks of the smallest scale")
    heads: PositiveInt = Field(1, description="attention heads")
    use_time: bool = Field(True, description="tell the network the time step")
    time_conditioning: Literal["additive", "scale-shift"] = Field(
        "additive", description="how a block takes the time embedding: added, or as scale and shift of its second norm"
    )
    time_order: Literal["sin-cos", "cos-sin"] = Field(
        "sin-cos", description="halves of the time embedding: sin-cos (Ho et al.) or cos-sin (IDDPM)"
    )
    time_frequency_shift: Literal[0, 1] = Field(
        1, description="frequency i of the time embedding is 10000^(−i/(half − this)): 1 (Ho et al.) or 0 (IDDPM)"
    )
    time_scale: PositiveFloat = Field(1.0, description="factor of t before its embedding; 1000/T in IDDPM's weights")
    dropout: Fraction = Field(0.0, description="dropout inside residual blocks")
    groups: PositiveInt = Field(32, description="most groups of a group normalisation")
    norm_eps: PositiveFloat = Field(1e-6, description="ε of group normalisation")
    downsample: Literal["conv", "average"] = Field(
        "conv", description="halving of the resolution: stride-2 convolution or 2×2 average"
    )
    downsample_padding: Literal["bottom-right", "symmetric"] = Field(
        "bottom-right", description="padding of the stride-2 convolution: bottom-right (Ho et al.) or symmetric"
    )
    shortcut: Literal["1x1", "3x3"] = Field("1x1", description="convolution that fits a residual block's input to it")
    initialisation: Literal["xavier", "torch"] = Field(
        "xavier", description="first weights: Xavier's (Ho et al.) or PyTorch's own"
    )
    checkpointing: bool = Field(
        False, description="compute the inside of each block again for its gradient: less memory, more time"
    )
    class_conditional: bool = Field(False, description="tell the network the class of each image, or a null token")

    @model_validator(mode="after")
    def _heads_divide_channels(self) -> "Network":
        _check_heads(self.heads, self.channels, self.multipliers)
        return self


class Weights(Section):
    """Weights that were trained elsewhere; `rediffuse import` writes them and this section."""

    folder: str = Field(..., description="folder of config.json and weights.safetensors")
    sha256: str = Field(..., description="digest of weights.safetensors")
    source: str = Field("", description="where they come from, in words")
    knows_no_class: bool = Field(
        False, description="the network was also trained without labels, as guidance other than 1 needs"
    )

    @model_validator(mode="after")
    def _digest(self) -> "Weights":
        if re.fullmatch("[0-9a-f]{64}", self.sha256) is None:
            raise ValueError(f"sha256: {self.sha256!r} is no SHA-256; use its 64 hexadecimal digits")
        return self


class Diffusion(Section):
    """The forward process and what the network learns of it."""

    timesteps: Annotated[int, Field(ge=2)] = Field(1000, description="T, the steps of the forward process")
    schedule: Literal["linear", "cosine", "quadratic", "sigmoid", "piecewise"] = Field(
        "linear", description="noise schedule"
    )
    prediction: Literal["eps", "x0", "mu", "v", "velocity"] = Field(
        "eps", description="what the network predicts; velocity: that of the straight path from data to noise"
    )
    variance: Literal["fixed-small", "fixed-large", "learned-range", "learned"] = Field(
        "fixed-large", description="reverse variance: β̃, β, or learned by the network"
    )
    loss: Literal["simple", "l1", "weighted", "vlb", "hybrid"] = Field("simple", description="training objective")
    weighting: Literal["none", "snr", "min-snr", "importance"] = Field("none", description="weight of the loss by t")

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
        return self


class Training(Section):
    """Algorithm 1 of Ho et al. (2020)."""

    steps: PositiveInt = Field(5000, description="optimiser steps")
    batch_size: PositiveInt = Field(128, description="images a step")
    accumulate: PositiveInt = Field(1, description="micro-batches a step is split into")
    learning_rate: PositiveFloat = Field(1e-3, description="Adam's step size after warm-up")
    warmup: Annotated[int, Field(ge=0)] = Field(100, description="steps of linear warm-up")
    decay: Literal["constant", "cosine"] = Field("constant", description="learning rate after warm-up")
    min_learning_rate: Annotated[float, Field(ge=0.0)] = Field(0.0, description="floor of the cosine decay")
    clip_norm: PositiveFloat = Field(1.0, description="largest gradient norm")
    ema_decay: Annotated[float, Field(ge=0.0, lt=1.0)] = Field(
        0.9995, description="decay of the weight average; 0 turns it off"
    )
    ema_warmup: bool = Field(
        True,
        description="average faster at first, decay (1 + t)/(10 + t), so that a short run forgets its first weights",
    )
    label_dropout: Fraction = Field(
        0.0, description="share of labels replaced by the null token, for classifier-free guidance"
    )
    flip: bool = Field(False, description="random horizontal flips: right for photographs, wrong for digits")
    timestep_sampling: Literal["uniform", "loss-second-moment"] = Field("uniform", description="how t is drawn")
    log_every: PositiveInt = Field(100, description="steps a row of history.csv averages")
    preview_steps: tuple[PositiveInt, ...] = Field((), description="steps after which a preview grid is sampled")
    checkpoint_every: PositiveInt = Field(500, description="steps between resume points")

    @model_validator(mode="after")
    def _consistent(self) -> "Training":
        if self.batch_size % self.accumulate:
            raise ValueError(
                f"accumulate: {self.accumulate} does not divide batch_size {self.batch_size}; use a divisor"
            )
        late = [step for step in self.preview_steps if step > self.steps]
        if late:
            raise ValueError(
                f"preview_steps: {late[0]} lies beyond the last step {self.steps}; use steps up to {self.steps}"
            )
        if self.min_learning_rate > self.learning_rate:
            raise ValueError(
                f"min_learning_rate: {self.min_learning_rate} exceeds learning_rate {self.learning_rate}; use less"
            )
        _check_warmup(self.warmup, self.steps)
        return self


class Classifier(Section):
    """The noise-conditional classifier that guides a run's samples: the U-Net's way down, pooled, and its training."""

    channels: PositiveInt = Field(16, description="channels of the first scale")
    multipliers: tuple[PositiveInt, ...] = Field((1, 2), description="channels of each scale, as multiples")
    blocks: PositiveInt = Field(1, description="residual blocks a scale")
    attention: tuple[PositiveInt, ...] = Field((4,), description="side lengths at which self-attention stands")
    heads: PositiveInt = Field(1, description="attention heads")
    pooling: Literal["attention", "average"] = Field("attention", description="how pixels become one vector")
    dropout: Fraction = Field(0.0, description="dropout inside residual blocks")
    steps: PositiveInt = Field(500, description="optimiser steps")
    batch_size: PositiveInt = Field(128, description="images a step, each at a random t")
    learning_rate: PositiveFloat = Field(1e-3, description="Adam's step size after warm-up, then a cosine decay to 0")
    warmup: Annotated[int, Field(ge=0)] = Field(20, description="steps of linear warm-up")
    ema_decay: Annotated[float, Field(ge=0.0, lt=1.0)] = Field(0.99, description="decay of the weight average")
    label_smoothing: Fraction = Field(0.0, description="share of each label spread over all classes")
    flip: bool = Field(False, description="random horizontal flips")
    log_every: PositiveInt = Field(50, description="steps a row of classifier-history.csv averages")
    checkpoint_every: PositiveInt = Field(500, description="steps between resume points")

    @model_validator(mode="after")
    def _consistent(self) -> "Classifier":
        _check_warmup(self.warmup, self.steps)
        _check_heads(self.heads, self.channels, self.multipliers)
        return self
