"""How a model is trained, apart from what it is and what it minimises: of each kind, what its papers use."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from rediffuse.options import Decay, Fraction, NotNegative, NotNegativeInt, Options, PositiveFloat, PositiveInt


class LoopOptions(Options):
    """What the loop itself takes, whatever it trains."""

    steps: PositiveInt = Field(..., description="optimiser steps; of the generator, or of a whole VAE")
    batch_size: PositiveInt = Field(128, description="images a step")
    ema_decay: Decay = Field(0.9999, description="decay of the weight average; 0 turns it off")
    ema_warmup: bool = Field(
        False,
        description="average faster at first, decay (1 + t)/(10 + t), so that a short run forgets its first weights",
    )
    flip: bool = Field(False, description="random horizontal flips: right for photographs, wrong for digits")
    log_every: PositiveInt = Field(100, description="steps a row of history.csv averages")
    held_out_every: PositiveInt = Field(
        10, description="rows of the history from one held-out loss to the next (one is always taken at the end)"
    )
    preview_steps: tuple[PositiveInt, ...] = Field((), description="steps after which a preview grid is sampled")
    checkpoint_every: PositiveInt | None = Field(None, description="steps between resume points")
    checkpoint_every_s: NotNegative = Field(60.0, description="seconds between resume points, at most")

    @model_validator(mode="after")
    def _previews_in_time(self) -> Self:
        late = [step for step in self.preview_steps if step > self.steps]
        if late:
            raise ValueError(
                f"preview_steps: {late[0]} lies beyond the last step {self.steps}; use steps up to {self.steps}"
            )
        return self


class TrainingConfig(LoopOptions):
    """Algorithm 1 of Ho et al. (2020), with their values for CIFAR-10."""

    steps: PositiveInt = Field(800_000, description="optimiser steps")
    accumulate: PositiveInt = Field(1, description="micro-batches a step is split into; the gradient stays the same")
    learning_rate: PositiveFloat = Field(2e-4, description="Adam's step size after warm-up")
    beta1: Decay = Field(0.9, description="Adam's decay of the mean")
    beta2: Decay = Field(0.999, description="Adam's decay of the square")
    warmup: NotNegativeInt = Field(5000, description="steps of linear warm-up")
    decay: Literal["constant", "cosine"] = Field("constant", description="learning rate after warm-up")
    min_learning_rate: NotNegative = Field(0.0, description="floor of the cosine decay")
    clip_norm: NotNegative = Field(1.0, description="largest gradient norm; 0 does not clip")
    label_dropout: Fraction = Field(
        0.0, description="share of labels replaced by the null token, for classifier-free guidance"
    )
    timestep_sampling: Literal["uniform", "loss-second-moment"] = Field("uniform", description="how t is drawn")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.batch_size % self.accumulate:
            raise ValueError(
                f"accumulate: {self.accumulate} does not divide batch_size {self.batch_size}; use a divisor"
            )
        if self.min_learning_rate > self.learning_rate:
            raise ValueError(
                f"min_learning_rate: {self.min_learning_rate} exceeds learning_rate {self.learning_rate}; use less"
            )
        if self.warmup and self.warmup >= self.steps:
            raise ValueError(f"warmup: {self.warmup} does not end before the last step {self.steps}; use less")
        return self

    @property
    def betas(self) -> tuple[float, float]:
        """Adam's two decays."""
        return self.beta1, self.beta2


class OnePassTraining(LoopOptions):
    """Optimisation of a model that makes an image in one pass."""

    steps: PositiveInt = Field(2000, description="steps of the generator, or of the whole VAE")
    batch_size: Annotated[int, Field(ge=2, le=10**6)] = Field(64, description="real images a step")
    learning_rate: PositiveFloat = Field(2e-4, description="Adam's step size")
    beta1: Decay = Field(0.9, description="Adam's decay of the mean")
    beta2: Decay = Field(0.999, description="Adam's decay of the square")
    ema_decay: Decay = Field(0.0, description="decay of the average of the weights; 0 keeps the last weights")
    ema_warmup: bool = Field(True, description="average faster at first, so that a short run forgets its first weights")

    @property
    def betas(self) -> tuple[float, float]:
        """Adam's two decays."""
        return self.beta1, self.beta2


class DcganTraining(OnePassTraining):
    """Optimisation of a DCGAN, with the values of Radford et al. (2016)."""

    beta1: Decay = Field(0.5, description="Adam's decay of the mean")


class WganTraining(OnePassTraining):
    """Optimisation of a WGAN-GP, with the values of Gulrajani et al. (2017)."""

    learning_rate: PositiveFloat = Field(1e-4, description="Adam's step size")
    beta1: Decay = Field(0.0, description="Adam's decay of the mean")
    beta2: Decay = Field(0.9, description="Adam's decay of the square")
    critic_steps: PositiveInt = Field(5, description="steps of the critic for each of the generator")
    gradient_penalty: NotNegative = Field(10.0, description="weight λ of the gradient penalty")


class VaeTraining(OnePassTraining):
    """Optimisation of a VAE (Kingma & Welling 2014, with Adam for AdaGrad)."""

    learning_rate: PositiveFloat = Field(1e-3, description="Adam's step size")
