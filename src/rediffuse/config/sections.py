"""The sections of a study: what may be set, in which range, what it means and what it is by default.

Every field carries its description, from which `rediffuse schema` writes the JSON schema and the reference page.
"""

import re
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

PositiveInt = Annotated[int, Field(gt=0)]
NotNegative = Annotated[float, Field(ge=0.0)]
Fraction = Annotated[float, Field(ge=0.0, le=1.0)]
PositiveFloat = Annotated[float, Field(gt=0.0)]
Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]*$", description="lower-case letters, digits and hyphens")]


class Section(BaseModel):
    """A group of settings: unknown keys are refused, values are never silently converted to another kind."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


def _check_heads(heads: int, channels: int, multipliers: tuple[int, ...]) -> None:
    for multiplier in multipliers:
        if (channels * multiplier) % heads:
            raise ValueError(
                f"heads: {heads} does not divide the {channels * multiplier} channels of a scale; use a divisor"
            )


def _check_warmup(warmup: int, steps: int) -> None:
    if warmup >= steps:
        raise ValueError(f"warmup: {warmup} does not end before the last step {steps}; use less")


class Data(Section):
    """The images."""

    name: Name = Field(..., description="folder below data/, and the source unless `source` says otherwise")
    source: str | None = Field(None, description="entry of the registry of data sources; `name` when absent")
    image_size: PositiveInt | None = Field(
        None, description="side in pixels after centre crop and resizing, for sources that have no size of their own"
    )
    path: str | None = Field(None, description="local file or folder to read instead of downloading")

    @property
    def source_name(self) -> str:
        """The registry's entry."""
        return self.source or self.name


class Hardware(Section):
    """What the numbers depend on besides the seed: fixed here, never detected."""

    device: Literal["cpu", "cuda"] = Field("cpu", description="where networks run")
    threads: PositiveInt = Field(1, description="CPU threads of one job")
    precision: Literal["float32", "bfloat16"] = Field("float32", description="bfloat16 runs forwards under autocast")
    compile: bool = Field(False, description="compile the network with torch.compile")
    channels_last: bool = Field(False, description="keep activations in channels-last memory order")


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


class Sampler(Section):
    """One way of sampling, at one or several step counts."""

    kind: str | None = Field(None, description="sampler of the registry; the entry's own name when absent")
    steps: tuple[PositiveInt, ...] = Field(..., min_length=1, description="numbers of sampling steps")
    eta: Fraction | None = Field(None, description="stochasticity of DDIM: 0 deterministic, 1 ancestral with β̃")
    variance: Literal["fixed-small", "fixed-large"] | None = Field(
        None, description="reverse variance used instead of the one of training"
    )
    spacing: Literal["uniform", "quadratic"] = Field("uniform", description="how the kept time steps are spread")
    guidance: NotNegative | None = Field(
        None,
        description="classifier-free guidance of a class-conditional network: 0 ignores the class, 1 is the network as "
        "trained, more exaggerates the class (the paper's w is this less 1)",
    )
    classifier_scale: NotNegative | None = Field(
        None,
        description="classifier guidance by the run's classifier (`classifiers`): factor of its gradient, 0 asks for "
        "classes without steering towards them",
    )
    initial_temperature: NotNegative = Field(1.0, description="standard deviation of x_T")
    step_temperature: NotNegative = Field(1.0, description="factor of the noise of the steps")

    @model_validator(mode="after")
    def _distinct(self) -> "Sampler":
        if len(set(self.steps)) != len(self.steps):
            raise ValueError(f"steps: {list(self.steps)} names a number twice; use each once")
        return self


class Sampling(Section):
    """How many images are sampled and how."""

    images: PositiveInt = Field(1080, description="images of each setting")
    batch_size: PositiveInt = Field(1080, description="images sampled at once")
    clip: bool = Field(True, description="clip the predicted x0 to [-1, 1] and re-derive ε")
    samplers: dict[Name, Sampler] = Field(
        {"ancestral": Sampler(steps=(50,)), "ddim": Sampler(steps=(50,))},
        min_length=1,
        description="the ways of sampling, by a name of one's own",
    )


class DuringTraining(Section):
    """Samples drawn while a run trains, of its averaged and of its raw weights, and scored: how quality grows."""

    every: PositiveInt = Field(..., description="training steps from one scoring to the next; one comes at the end")
    images: Annotated[int, Field(ge=2)] = Field(120, description="images of each, always from the same noise")
    steps: PositiveInt = Field(10, description="sampling steps: of DDIM, or of Euler's method for a velocity")


def _check_digests(section: Section, *names: str) -> None:
    """Refuse a stated digest that is none, or that of no file."""
    for name in names:
        digest = getattr(section, f"{name}_sha256")
        if digest is not None and re.fullmatch("[0-9a-f]{64}", digest) is None:
            raise ValueError(f"{name}_sha256: {digest!r} is no SHA-256; use its 64 hexadecimal digits")
        if digest is not None and getattr(section, name) is None:
            raise ValueError(f"{name}_sha256: is the digest of no file; give `{name}`, or leave it out")


class Lpips(Section):
    """A perceptual distance (Zhang et al. 2018): its mean over pairs says how varied samples are. Weights are not packaged."""

    network: Literal["alex", "vgg"] = Field("alex", description="AlexNet or VGG-16")
    weights: str = Field(
        ..., description="file of torchvision's weights of that network, or of network and linear heads in one"
    )
    weights_sha256: str | None = Field(
        None,
        description="digest that `weights` must have; read from the file when absent, where DVC does not notice another file",
    )
    heads: str | None = Field(
        None, description="file of the authors' linear heads, version 0.1; in `weights` when absent"
    )
    heads_sha256: str | None = Field(
        None,
        description="digest that `heads` must have; read from the file when absent, where DVC does not notice another file",
    )
    size: PositiveInt | None = Field(
        None, description="side to which images are brought first; as they are when absent: alex needs 31, vgg 16"
    )

    @model_validator(mode="after")
    def _digests(self) -> "Lpips":
        _check_digests(self, "weights", "heads")
        return self


class Evaluation(Section):
    """What the samples are scored with."""

    features: Name = Field(..., description="feature network of the registry")
    weights: str | None = Field(None, description="file with the feature network's weights, where it ships none")
    weights_sha256: str | None = Field(
        None,
        description="digest that `weights` must have; read from the file when absent, where DVC does not notice another file",
    )
    group_size: Annotated[int, Field(ge=2)] = Field(360, description="n: images one value is computed from")
    groups: PositiveInt = Field(3, description="disjoint groups of n images; their spread gives the interval")
    batch_size: PositiveInt = Field(360, description="images the feature network sees at once")
    likelihood_images: Annotated[int, Field(ge=2)] = Field(
        120, description="held-out images whose bound on the likelihood is computed, one evaluation of the network a t"
    )
    during_training: DuringTraining | None = Field(
        None,
        description="scoring while the main runs train (a change here trains them again); ablations are judged by what "
        "they sample in the end",
    )
    lpips: Lpips | None = Field(
        None,
        description="LPIPS diversity of the samples that stand for a model, and of held-out images; none when absent",
    )

    @model_validator(mode="after")
    def _digests(self) -> "Evaluation":
        _check_digests(self, "weights")
        return self


class Restoration(Section):
    """What trained networks are tried on besides sampling: damaged held-out images, and a film of one sample."""

    images: Annotated[int, Field(ge=8)] = Field(64, description="held-out images that are damaged and restored")
    steps: PositiveInt = Field(50, description="sampling steps")
    resamples: PositiveInt = Field(4, description="times that RePaint walks each step, when it fills a hole")
    sigma: PositiveFloat = Field(0.5, description="noise to remove, in units where pixels span [-1, 1]")
    frames: PositiveInt = Field(8, description="frames of the film of a sample")


class Tracking(Section):
    """MLflow."""

    enabled: bool = Field(True, description="log every run to MLflow while it works")
    uri: str = Field(
        "sqlite:///mlflow.db", description="tracking store; the environment's MLFLOW_TRACKING_URI goes first"
    )
