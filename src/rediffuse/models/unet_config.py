"""What fixes a U-Net's function, apart from its weights."""

from dataclasses import dataclass
from typing import Literal

from rediffuse.errors import UserError
from rediffuse.models.blocks import DownsamplePadding, Downsampling
from rediffuse.models.conditioning import TimeOrder


@dataclass(frozen=True)
class UNetConfig:
    """Everything that fixes the network's function, apart from its weights.

    image_size: height and width in pixels; every level but the last halves it, so it must be divisible.
    out_channels: as many as `in_channels`, or twice as many when the variance is learned.
    channels, multipliers: level i has channels * multipliers[i] channels.
    blocks: residual blocks a level on the way down; one more on the way up.
    attention: the resolutions (in pixels) at which every residual block is followed by self-attention.
    middle_attention: self-attention between the two residual blocks at the lowest resolution.
    time_conditioning: "additive" (Ho) or "scale-shift" (IDDPM), see `ResidualBlock`.
    use_time: False leaves the timestep out of the network altogether.
    num_classes: None for an unconditional network; label `num_classes` is the null token.
    groups: upper limit of groups in every normalisation, see `group_count`.
    block: "residual" (Ho), or a light U-Net of depthwise-separable blocks, "inverted" or, with squeeze-excitation,
        "inverted-se" (`rediffuse.models.light`); its changes of resolution are separable too.
    expansion: width inside an inverted block, as a multiple of the block's own; residual blocks have none.
    checkpointing: keep only each block's input for the backward pass and compute its inside again (Chen et al. 2016,
        arXiv:1604.06174): less memory, more time, the same gradients.
    The rest are details in which published implementations differ; the defaults are Ho et al.'s.
    """

    image_size: int
    in_channels: int = 3
    out_channels: int = 3
    channels: int = 128
    multipliers: tuple[int, ...] = (1, 2, 2, 2)
    blocks: int = 2
    attention: tuple[int, ...] = (16,)
    middle_attention: bool = True
    heads: int = 1
    dropout: float = 0.0
    time_conditioning: Literal["additive", "scale-shift"] = "additive"
    use_time: bool = True
    num_classes: int | None = None
    block: Literal["residual", "inverted", "inverted-se"] = "residual"
    expansion: int = 4
    checkpointing: bool = False
    groups: int = 32
    norm_eps: float = 1e-6
    time_order: TimeOrder = "sin-cos"
    time_frequency_shift: int = 1
    downsample: Downsampling = "conv"
    downsample_padding: DownsamplePadding = "bottom-right"
    shortcut: Literal["1x1", "3x3"] = "1x1"
    initialisation: Literal["xavier", "torch"] = "xavier"

    def __post_init__(self) -> None:
        """Refuse shapes that cannot work.

        Raises:
            UserError: naming the field, its value and what is allowed.
        """
        object.__setattr__(self, "multipliers", tuple(self.multipliers))
        object.__setattr__(self, "attention", tuple(self.attention))
        if not self.multipliers or min(self.multipliers) < 1:
            raise UserError(f"multipliers is {self.multipliers}; it needs one positive number a level")
        for name in ("image_size", "in_channels", "blocks", "heads", "expansion", "groups"):
            if getattr(self, name) < 1:
                raise UserError(f"{name} is {getattr(self, name)}; it must be at least 1")
        if self.block not in (allowed := ("residual", "inverted", "inverted-se")):
            raise UserError(f"block is {self.block!r}; choose one of {', '.join(allowed)}")
        if self.channels < 4 or self.channels % 2:
            raise UserError(f"channels is {self.channels}; it must be an even number, at least 4")
        if self.num_classes is not None and self.num_classes < 1:
            raise UserError(f"num_classes is {self.num_classes}; it must be at least 1, or None for no labels")
        if not 0.0 <= self.dropout < 1.0:
            raise UserError(f"dropout is {self.dropout}; it must be at least 0 and below 1")
        if self.out_channels not in (self.in_channels, 2 * self.in_channels):
            raise UserError(
                f"out_channels is {self.out_channels}; for {self.in_channels} in_channels it must be "
                f"{self.in_channels}, or {2 * self.in_channels} with a learned variance"
            )
        check_size((self.image_size, self.image_size), len(self.multipliers))
        unknown = sorted(set(self.attention) - set(self.resolutions))
        if unknown:
            raise UserError(f"attention asks for resolutions {unknown}; this network has {list(self.resolutions)}")
        for level, width in enumerate(self.widths):
            last = level == len(self.widths) - 1
            if (self.resolutions[level] in self.attention or (last and self.middle_attention)) and width % self.heads:
                raise UserError(f"heads is {self.heads}; it must divide the {width} channels of level {level}")

    @property
    def resolutions(self) -> tuple[int, ...]:
        """Pixels a side at each level."""
        return tuple(self.image_size >> level for level in range(len(self.multipliers)))

    @property
    def widths(self) -> tuple[int, ...]:
        """Channels at each level."""
        return tuple(self.channels * multiplier for multiplier in self.multipliers)


def check_size(size: tuple[int, int], levels: int) -> None:
    """Refuse images whose halvings leave a remainder: the way up would not meet the skips of the way down.

    Raises:
        UserError: naming the size and the factor it must be a multiple of.
    """
    factor = 2 ** (levels - 1)
    if size[0] % factor or size[1] % factor:
        raise UserError(
            f"images of {size[0]}x{size[1]} pixels do not fit a U-Net of {levels} levels; "
            f"pad them to a multiple of {factor} or use fewer multipliers"
        )
