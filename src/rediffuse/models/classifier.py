"""The noise-conditional classifier of classifier guidance: the U-Net's way down, pooled (Dhariwal & Nichol 2021,
arXiv:2105.05233, section 4 and appendix C)."""

from collections.abc import Iterable
from typing import Literal, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rediffuse.errors import UserError
from rediffuse.models.blocks import GroupNorm, silu, zero
from rediffuse.models.unet import Level, Stage, initialise, make_down, make_middle, make_time
from rediffuse.models.unet_config import UNetConfig, check_size

Pooling = Literal["attention", "average"]


class AttentionPool(nn.Module):
    """Pixels to one vector by attention, the query being their mean (Radford et al. 2021, arXiv:2103.00020)."""

    def __init__(self, channels: int, side: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.position = nn.Parameter(torch.randn(side * side + 1, channels) / channels**0.5)
        self.query = nn.Linear(channels, channels)
        self.key_value = nn.Linear(channels, 2 * channels)

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, side, side] → [B, C]."""
        pixels = x.flatten(2).transpose(1, 2)
        tokens = torch.cat((pixels.mean(1, keepdim=True), pixels), dim=1) + self.position
        query = self.query(tokens[:, :1]).unflatten(-1, (self.heads, -1)).transpose(1, 2)
        key, value = self.key_value(tokens).unflatten(-1, (2, self.heads, -1)).permute(2, 0, 3, 1, 4).unbind(0)
        return F.scaled_dot_product_attention(query, key, value).transpose(1, 2).flatten(1)


class NoiseClassifier(nn.Module):
    """`NoiseClassifier(config, classes)(x_t, t)` → logits of the class of the image behind x_t.

    `config` gives the way down and the middle, as of a U-Net that is told no class; its output channels play no part.
    A fresh classifier gives every class the logit 0.

    Raises:
        UserError: fewer than two classes, or a pooling that does not exist.
    """

    def __init__(self, config: UNetConfig, classes: int, pooling: Pooling = "attention") -> None:
        super().__init__()
        if classes < 2:
            raise UserError(f"classes is {classes}; a classifier needs at least 2")
        if pooling not in ("attention", "average"):
            raise UserError(f"pooling is {pooling!r}; choose attention or average")
        self.config, self.classes = config, classes
        self.time = make_time(config)
        self.input = nn.Conv2d(config.in_channels, config.channels, 3, padding=1)
        levels, _ = make_down(config)
        self.down, self.middle = nn.ModuleList(levels), nn.ModuleList(make_middle(config))
        width, side = config.widths[-1], config.resolutions[-1]
        self.norm = GroupNorm(width, config.groups, config.norm_eps)
        self.pool = AttentionPool(width, side, config.heads) if pooling == "attention" else None
        self.output = nn.Linear(width, classes)
        self.embedding_widths = [m.residual.embedding_width for m in self.modules() if isinstance(m, Stage)]
        self.projection = nn.Linear(config.embedding_width, sum(self.embedding_widths))
        initialise(self, config, self.projection, self.embedding_widths)
        zero(self.output)

    def forward(self, x: Tensor, t: Tensor, y: Tensor | None = None) -> Tensor:
        """Classify noisy images.

        Args:
            x: [B, in_channels, H, W], of the configured size where pooling is by attention.
            t: timesteps [B], or [1] when all images share one.
            y: nothing; trainers and samplers hand every network a label, or None.

        Returns:
            logits [B, classes].

        Raises:
            UserError: a label was given.
        """
        if y is not None:
            raise UserError("labels were given to a classifier, which is to find them; leave them out")
        check_size((x.shape[-2], x.shape[-1]), self.config.halvings)
        embedding = self.projection(F.silu(self.time(t)))
        pieces = iter(embedding.split(self.embedding_widths, dim=1))
        x = self.input(x)
        for level in cast(Iterable[Level], self.down):
            for stage in level.stages:
                x = stage(x, next(pieces))
            if level.resample is not None:
                x = level.resample(x)
        for stage in self.middle:
            x = stage(x, next(pieces))
        x = silu(self.norm(x))
        return self.output(x.mean(dim=(2, 3)) if self.pool is None else self.pool(x))
