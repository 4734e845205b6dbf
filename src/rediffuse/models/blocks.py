"""The parts of the U-Net: residual block, self-attention, halving and doubling of the resolution."""

from collections.abc import Callable
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Downsampling = Literal["conv", "average"]
DownsamplePadding = Literal["bottom-right", "symmetric"]


def group_count(channels: int, limit: int) -> int:
    """The largest number of groups up to `limit` that divides `channels` and leaves two channels or more in each.

    With one channel a group the normalisation would subtract exactly what an additive time embedding added.
    """
    return next(g for g in range(min(limit, max(channels // 2, 1)), 0, -1) if channels % g == 0)


class GroupNorm(nn.GroupNorm):
    """Group normalisation with the number of groups fitted to the number of channels (`group_count`)."""

    def __init__(self, channels: int, groups: int, eps: float) -> None:
        super().__init__(group_count(channels, groups), channels, eps=eps)


def silu(x: Tensor) -> Tensor:
    """SiLU of a tensor nobody else needs: in place where no gradient will ask for its input."""
    return F.silu(x, inplace=not torch.is_grad_enabled())


def zero(layer: nn.Conv2d | nn.Linear) -> None:
    """Set a layer to zero, so that the path it ends starts as nothing (Ho et al. 2020, appendix B)."""
    nn.init.zeros_(layer.weight)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)


class ResidualBlock(nn.Module):
    """GroupNorm → SiLU → conv, add the embedding, GroupNorm → SiLU → dropout → conv (zero at first), add the input.

    With `scale_shift` the embedding scales and shifts the second normalisation's output instead of being added
    before it (Nichol & Dhariwal 2021, section 2 and appendix A).
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        scale_shift: bool,
        dropout: float,
        groups: int,
        eps: float,
        shortcut: Literal["1x1", "3x3"],
    ) -> None:
        super().__init__()
        self.scale_shift, self.dropout = scale_shift, dropout
        self.norm1 = GroupNorm(in_channels, groups, eps)
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, padding=1)
        self.norm2 = GroupNorm(out_channels, groups, eps)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1)
        self.shortcut: nn.Module
        if in_channels == out_channels:
            self.shortcut = nn.Identity()
        elif shortcut == "1x1":
            self.shortcut = nn.Conv2d(in_channels, out_channels, 1)
        else:
            self.shortcut = nn.Conv2d(in_channels, out_channels, 3, padding=1)
        # Width of the slice of the network's one embedding projection that this block consumes.
        self.embedding_width = 2 * out_channels if scale_shift else out_channels

    @property
    def last(self) -> nn.Conv2d:
        """The layer that ends the residual path."""
        return self.conv2

    def forward(self, x: Tensor, embedding: Tensor | None) -> Tensor:
        """Image [B, in, H, W] and embedding slice [B or 1, embedding_width] (or None) → [B, out, H, W]."""
        hidden = self.conv1(silu(self.norm1(x)))
        if embedding is None:
            hidden = self.norm2(hidden)
        elif self.scale_shift:
            scale, shift = embedding[:, :, None, None].chunk(2, dim=1)
            hidden = torch.addcmul(shift, self.norm2(hidden), 1 + scale)
        else:
            hidden = self.norm2(hidden + embedding[:, :, None, None])
        hidden = F.dropout(silu(hidden), self.dropout, self.training)
        return self.shortcut(x) + self.conv2(hidden)


class SelfAttention(nn.Module):
    """Pre-normalised multi-head self-attention over the pixels, with a residual connection."""

    def __init__(self, channels: int, *, heads: int, groups: int, eps: float) -> None:
        super().__init__()
        self.heads = heads
        self.norm = GroupNorm(channels, groups, eps)
        self.qkv = nn.Linear(channels, 3 * channels)
        self.out = nn.Linear(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] → [B, C, H, W]."""
        batch, channels, height, width = x.shape
        tokens = self.norm(x).permute(0, 2, 3, 1).reshape(batch, height * width, channels)
        q, k, v = self.qkv(tokens).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4).unbind(0)
        mixed = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)
        return x + self.out(mixed).unflatten(1, (height, width)).permute(0, 3, 1, 2)


class Downsample(nn.Module):
    """Halve the resolution: a stride-2 3x3 convolution, or 2x2 average pooling.

    The padding decides which pixels the convolution is centred on: Ho et al. 2020 (TensorFlow's "same") pad one row
    and column at the bottom and right, most PyTorch codebases one on every side. Weights are not exchangeable.
    `convolution` makes the convolution, as `nn.Conv2d` does.
    """

    def __init__(
        self,
        channels: int,
        method: Downsampling,
        padding: DownsamplePadding,
        convolution: Callable[..., nn.Module] = nn.Conv2d,
    ) -> None:
        super().__init__()
        self.bottom_right = method == "conv" and padding == "bottom-right"
        self.conv: nn.Module
        if method == "average":
            self.conv = nn.AvgPool2d(2)
        else:
            self.conv = convolution(channels, channels, 3, stride=2, padding=0 if self.bottom_right else 1)

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] → [B, C, H/2, W/2]."""
        return self.conv(F.pad(x, (0, 1, 0, 1)) if self.bottom_right else x)


class Upsample(nn.Module):
    """Double the resolution: nearest neighbour, then a 3x3 convolution made by `convolution`."""

    def __init__(self, channels: int, convolution: Callable[..., nn.Module] = nn.Conv2d) -> None:
        super().__init__()
        self.conv = convolution(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] → [B, C, 2H, 2W]."""
        if x.device.type != "cpu":
            return self.conv(F.interpolate(x, scale_factor=2.0, mode="nearest"))
        # On a CPU, torch repeats the pixels of channels_last images some twenty times as fast as those of others.
        layout = torch.channels_last if x.is_contiguous(memory_format=torch.channels_last) else torch.contiguous_format
        doubled = F.interpolate(x.contiguous(memory_format=torch.channels_last), scale_factor=2.0, mode="nearest")
        return self.conv(doubled).contiguous(memory_format=layout)
