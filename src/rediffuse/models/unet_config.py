"""What fixes a U-Net's function, apart from its weights."""

from typing import Literal, Self

from pydantic import Field, model_validator

from rediffuse.errors import UserError
from rediffuse.options import Fraction, Options, PositiveFloat, PositiveInt


class NetworkOptions(Options):
    """The U-Net, whatever its images: the network of Ho et al. (2020), and details in which published ones differ."""

    channels: PositiveInt = Field(128, le=10**5, description="channels of the first scale")
    multipliers: tuple[PositiveInt, ...] = Field(
        (1, 2, 2, 2), min_length=1, description="channels of each scale, as multiples; each scale but the last halves"
    )
    skips: Literal["layers", "scales"] = Field(
        "layers",
        description="what the way up takes from the way down: layers, the output of every layer, in one block more a "
        "scale (Ho et al.); scales, that of each scale before its halving, and the last scale halves as well",
    )
    blocks: PositiveInt = Field(2, le=1000, description="residual blocks a scale; one more on the way up")
    attention: tuple[PositiveInt, ...] = Field((16,), description="side lengths at which self-attention stands")
    middle_attention: bool = Field(True, description="self-attention between the two blocks of the smallest scale")
    heads: PositiveInt = Field(1, le=10**5, description="attention heads")
    dropout: Fraction = Field(0.0, lt=1.0, description="dropout inside residual blocks")
    time_conditioning: Literal["additive", "scale-shift"] = Field(
        "additive", description="how a block takes the time embedding: added, or as scale and shift of its second norm"
    )
    use_time: bool = Field(True, description="tell the network the time step")
    block: Literal["residual", "inverted", "inverted-se"] = Field(
        "residual",
        description="residual: two 3×3 convolutions (Ho et al.); inverted: a light U-Net of depthwise-separable "
        "inverted residuals (MobileNetV2); inverted-se: the same with squeeze-excitation",
    )
    expansion: PositiveInt = Field(
        4, le=1000, description="width inside an inverted block, as a multiple of the block's own"
    )
    checkpointing: bool = Field(
        False,
        description="compute the inside of each block again for its gradient (Chen et al. 2016): "
        "less memory, more time",
    )
    groups: PositiveInt = Field(32, le=10**5, description="most groups of a group normalisation")
    norm_eps: PositiveFloat = Field(1e-6, description="ε of group normalisation")
    time_order: Literal["sin-cos", "cos-sin"] = Field(
        "sin-cos", description="halves of the time embedding: sin-cos (Ho et al.) or cos-sin (IDDPM)"
    )
    time_frequency_shift: Literal[0, 1] = Field(
        1, description="frequency i of the time embedding is 10000^(−i/(half − this)): 1 (Ho et al.) or 0 (IDDPM)"
    )
    time_sinusoid: PositiveInt = Field(
        1, le=64, description="width of the sinusoid of t, as a multiple of `channels`; followed by two linear layers"
    )
    time_width: PositiveInt = Field(
        4, le=64, description="width of the embedding of time and class, as a multiple of `channels`"
    )
    class_mlp: bool = Field(
        False, description="two linear layers between a class's vector and its sum with the time embedding, as for time"
    )
    time_scale: PositiveFloat = Field(1.0, description="factor of t before its embedding; 1000/T in IDDPM's weights")
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

    @model_validator(mode="after")
    def _even(self) -> Self:
        width = self.channels * self.time_sinusoid
        if self.use_time and (width < 4 or width % 2):
            raise ValueError(
                f"channels: {self.channels} makes a sinusoid of the time of width {width}; use an even number from 4"
            )
        return self

    @property
    def embedding_width(self) -> int:
        """Channels of the embedding of time and class."""
        return self.channels * self.time_width

    @property
    def halvings(self) -> int:
        """How often the way down halves the image."""
        return len(self.multipliers) - (self.skips == "layers")

    @property
    def widths(self) -> tuple[int, ...]:
        """Channels at each scale."""
        return tuple(self.channels * multiplier for multiplier in self.multipliers)


class UNetConfig(NetworkOptions):
    """Everything that fixes the network's function, apart from its weights.

    image_size: height and width in pixels; its halvings must leave no remainder.
    out_channels: as many as `in_channels`, or twice as many when the variance is learned.
    num_classes: None for an unconditional network; label `num_classes` is the null token.
    """

    image_size: PositiveInt = Field(..., le=10**5)
    in_channels: PositiveInt = Field(3, le=10**5)
    out_channels: PositiveInt = Field(3, le=10**5)
    num_classes: PositiveInt | None = Field(None, le=10**7)

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.out_channels not in (self.in_channels, 2 * self.in_channels):
            raise ValueError(
                f"out_channels is {self.out_channels}; for {self.in_channels} in_channels it must be "
                f"{self.in_channels}, or {2 * self.in_channels} with a learned variance"
            )
        check_size((self.image_size, self.image_size), self.halvings)
        unknown = sorted(set(self.attention) - set(self.resolutions))
        if unknown:
            raise ValueError(f"attention asks for resolutions {unknown}; this network has {list(self.resolutions)}")
        for level, width in enumerate(self.widths):
            last = level == len(self.widths) - 1
            if (self.resolutions[level] in self.attention or (last and self.middle_attention)) and width % self.heads:
                raise ValueError(f"heads is {self.heads}; it must divide the {width} channels of level {level}")
        return self

    @property
    def resolutions(self) -> tuple[int, ...]:
        """Pixels a side at each scale."""
        return tuple(self.image_size >> level for level in range(len(self.multipliers)))


def check_size(size: tuple[int, int], halvings: int) -> None:
    """Refuse images whose halvings leave a remainder: the way up would not meet the skips of the way down.

    Raises:
        UserError: naming the size and the factor it must be a multiple of.
    """
    factor = 2**halvings
    if size[0] % factor or size[1] % factor:
        raise UserError(
            f"images of {size[0]}x{size[1]} pixels do not fit a U-Net of {halvings} halvings; "
            f"pad them to a multiple of {factor} or use fewer multipliers"
        )
