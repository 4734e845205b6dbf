"""The U-Net of Ho et al. 2020 (appendix B) and, by its options, of Nichol & Dhariwal 2021 and smaller kin."""

from collections.abc import Iterable, Sequence
from typing import cast

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from rediffuse.errors import UserError
from rediffuse.models.blocks import Downsample, GroupNorm, ResidualBlock, SelfAttention, Upsample, silu, zero
from rediffuse.models.conditioning import ClassEmbedding, ClassMlp, TimeEmbedding
from rediffuse.models.light import InvertedResidual, SeparableConv2d
from rediffuse.models.unet_config import UNetConfig, check_size


class Stage(nn.Module):
    """A residual block and the attention that follows it, if any.

    With `checkpointing`, a gradient's forward keeps the inputs alone; the backward pass runs it again, from the same
    state of the random generators, so that dropout drops the same values.
    """

    def __init__(
        self, residual: ResidualBlock | InvertedResidual, attention: SelfAttention | None, checkpointing: bool = False
    ) -> None:
        super().__init__()
        self.residual = residual
        self.attention = attention
        self.checkpointing = checkpointing

    def forward(self, x: Tensor, embedding: Tensor | None) -> Tensor:
        """[B, in, H, W] → [B, out, H, W]."""
        if self.checkpointing and torch.is_grad_enabled():
            return cast(Tensor, checkpoint(self._run, x, embedding, use_reentrant=False))
        return self._run(x, embedding)

    def _run(self, x: Tensor, embedding: Tensor | None) -> Tensor:
        x = self.residual(x, embedding)
        return x if self.attention is None else self.attention(x)


class Level(nn.Module):
    """What happens at one resolution on one side of the U: the stages, then the change of resolution, if any."""

    def __init__(self, stages: list[Stage], resample: nn.Module | None) -> None:
        super().__init__()
        self.stages = nn.ModuleList(stages)
        self.resample = resample


def make_stage(config: UNetConfig, in_channels: int, out_channels: int, attends: bool) -> Stage:
    """A block of the configured kind, with attention if it `attends`."""
    scale_shift = config.time_conditioning == "scale-shift"
    residual: ResidualBlock | InvertedResidual
    if config.block == "residual":
        residual = ResidualBlock(
            in_channels,
            out_channels,
            scale_shift=scale_shift,
            dropout=config.dropout,
            groups=config.groups,
            eps=config.norm_eps,
            shortcut=config.shortcut,
        )
    else:
        residual = InvertedResidual(
            in_channels,
            out_channels,
            expansion=config.expansion,
            squeeze_excitation=config.block == "inverted-se",
            scale_shift=scale_shift,
            dropout=config.dropout,
            groups=config.groups,
            eps=config.norm_eps,
        )
    attention = (
        SelfAttention(out_channels, heads=config.heads, groups=config.groups, eps=config.norm_eps) if attends else None
    )
    return Stage(residual, attention, config.checkpointing)


def make_time(config: UNetConfig) -> TimeEmbedding:
    """The embedding of the time, of the configured kind."""
    return TimeEmbedding(
        config.channels,
        order=config.time_order,
        frequency_shift=config.time_frequency_shift,
        scale=config.time_scale,
        sinusoid=config.time_sinusoid,
        width=config.time_width,
    )


def make_down(config: UNetConfig) -> tuple[list[Level], list[int]]:
    """The way down, and the channels of the skip connection of every layer."""
    current, skips = config.channels, [config.channels]
    convolution = nn.Conv2d if config.block == "residual" else SeparableConv2d
    levels = []
    for index, (width, resolution) in enumerate(zip(config.widths, config.resolutions, strict=True)):
        stages = []
        for _ in range(config.blocks):
            stages.append(make_stage(config, current, width, resolution in config.attention))
            current = width
            skips.append(width)
        resample = None
        if index < config.halvings:
            resample = Downsample(width, config.downsample, config.downsample_padding, convolution)
            skips.append(width)
        levels.append(Level(stages, resample))
    return levels, skips


def make_middle(config: UNetConfig) -> list[Stage]:
    """The two blocks at the lowest resolution, attention between them."""
    width = config.widths[-1]
    return [make_stage(config, width, width, config.middle_attention), make_stage(config, width, width, False)]


def make_up(config: UNetConfig, skips: list[int]) -> tuple[list[Level], int]:
    """The way up, each level but the last ending in a doubling, and the channels that it ends with.

    skips: the channels of the skip connection of every layer on the way down, used up here.
    """
    current, levels = config.widths[-1], []
    convolution = nn.Conv2d if config.block == "residual" else SeparableConv2d
    layers = config.skips == "layers"
    if not layers:  # the middle lies below the last scale, and each scale leads back to the width it came from
        levels.append(Level([], Upsample(current, convolution)))
        skips = list(config.widths)
    for index in reversed(range(len(config.widths))):
        width = config.widths[index if layers else index - 1] if index or layers else config.channels
        stages = []
        for block in range(config.blocks + layers):
            joined = skips.pop() if layers or block == 0 else 0
            stages.append(make_stage(config, current + joined, width, config.resolutions[index] in config.attention))
            current = width
        levels.append(Level(stages, Upsample(width, convolution) if index > 0 else None))
    return levels, current


def initialise(network: nn.Module, config: UNetConfig, projection: nn.Linear | None, widths: list[int]) -> None:
    """Draw the weights afresh; the last layer of every residual path starts at zero.

    projection, widths: the network's one projection of the embedding, and the slices of it that blocks consume.
    """
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear | nn.GroupNorm | nn.Embedding):
            module.reset_parameters()
        if isinstance(module, nn.Conv2d | nn.Linear) and config.initialisation == "xavier":
            # Xavier's bound depends on the output width: in the shared projection, use each block's own, and in a
            # grouped convolution each group's.
            groups = module.groups if isinstance(module, nn.Conv2d) else 1
            slices = widths if module is projection else [len(module.weight) // groups] * groups
            for rows in module.weight.data.split(slices):
                nn.init.xavier_uniform_(rows)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    for module in network.modules():
        if isinstance(module, Stage):
            zero(module.residual.last)
        elif isinstance(module, SelfAttention):
            zero(module.out)


class UNet(nn.Module):
    """`UNet(config)(x, t, y=None)`: the denoising network.

    Convert the module and its input to `torch.channels_last` at will: no operation forces another layout.
    """

    def __init__(self, config: UNetConfig) -> None:
        super().__init__()
        self.config = config
        self.time = make_time(config) if config.use_time else None
        embedding = ClassMlp if config.class_mlp else ClassEmbedding
        self.classes = None if config.num_classes is None else embedding(config.num_classes, config.embedding_width)

        self.input = nn.Conv2d(config.in_channels, config.channels, 3, padding=1)
        down, skips = make_down(config)
        self.down, self.middle = nn.ModuleList(down), nn.ModuleList(make_middle(config))
        up, current = make_up(config, skips)
        self.up = nn.ModuleList(up)
        self.norm = GroupNorm(current, config.groups, config.norm_eps)
        self.output = nn.Conv2d(current, config.out_channels, 3, padding=1)

        # One projection of the embedding for all residual blocks, in the order in which they run: one matrix product
        # instead of one a block.
        self.embedding_widths = [m.residual.embedding_width for m in self.modules() if isinstance(m, Stage)]
        embeds = self.time is not None or self.classes is not None
        self.projection = nn.Linear(config.embedding_width, sum(self.embedding_widths)) if embeds else None
        self.reset_parameters()

    @property
    def null_label(self) -> int | None:
        """The label that stands for "no label"; None for an unconditional network."""
        return self.config.num_classes

    def reset_parameters(self) -> None:
        """Draw the weights afresh; the last layer of every residual path and of the network starts at zero."""
        initialise(self, self.config, self.projection, self.embedding_widths)
        zero(self.output)

    def forward(self, x: Tensor, t: Tensor, y: Tensor | None = None) -> Tensor:
        """Predict from noisy images.

        Args:
            x: noisy images [B, in_channels, H, W].
            t: timesteps [B], or [1] when all images share one (cheaper: the embedding is computed once).
            y: labels [B] (int64; `num_classes` is the null token); None means the null token throughout.

        Returns:
            [B, out_channels, H, W].

        Raises:
            UserError: if H and W do not survive the halvings, or labels are given to an unconditional network.
        """
        check_size((x.shape[-2], x.shape[-1]), self.config.halvings)
        pieces = iter(self._embeddings(t, y))
        layers = self.config.skips == "layers"
        x = self.input(x)
        skips = [x] if layers else []
        for level in cast(Iterable[Level], self.down):
            for stage in level.stages:
                x = stage(x, next(pieces))
                if layers:
                    skips.append(x)
            if not layers:
                skips.append(x)
            if level.resample is not None:
                x = level.resample(x)
                if layers:
                    skips.append(x)
        for stage in self.middle:
            x = stage(x, next(pieces))
        for level in cast(Iterable[Level], self.up):
            for block, stage in enumerate(level.stages):
                if layers or block == 0:
                    x = torch.cat((x, skips.pop()), dim=1)
                x = stage(x, next(pieces))
            if level.resample is not None:
                x = level.resample(x)
        return self.output(silu(self.norm(x)))

    def _embeddings(self, t: Tensor, y: Tensor | None) -> Sequence[Tensor | None]:
        """The conditioning's slice for each residual block, [B or 1, embedding_width]."""
        if self.classes is None and y is not None:
            raise UserError("labels were given to a network without classes; set num_classes or leave the labels out")
        parts = []
        if self.time is not None:
            parts.append(self.time(t))
        if self.classes is not None:
            parts.append(self.classes(y))
        if self.projection is None:
            return [None] * len(self.embedding_widths)
        embedding = parts[0] if len(parts) == 1 else parts[0] + parts[1]
        return self.projection(nn.functional.silu(embedding)).split(self.embedding_widths, dim=1)


def build_unet(config: UNetConfig, seed: int) -> UNet:
    """A U-Net whose initial weights are a function of `seed`; the global random state stays as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return UNet(config)
