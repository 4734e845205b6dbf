"""Depthwise-separable parts for light U-Nets: the inverted residual block, squeeze-excitation,
separable convolution.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rediffuse.models.blocks import GroupNorm, silu


class SeparableConv2d(nn.Sequential):
    """A k×k convolution of each channel by itself, then a 1×1 convolution across channels (Howard et al. 2017,
    arXiv:1704.04861): k² C + C C' weights instead of k² C C'. Takes the arguments of `nn.Conv2d` that the U-Net uses.
    """

    def __init__(self, in_channels: int, out_channels: int, kernel: int, *, stride: int = 1, padding: int = 0) -> None:
        super().__init__(
            nn.Conv2d(in_channels, in_channels, kernel, stride=stride, padding=padding, groups=in_channels),
            nn.Conv2d(in_channels, out_channels, 1),
        )


class SqueezeExcitation(nn.Module):
    """Each channel times a gate in (0, 1) computed from the means of all channels (Hu et al. 2018, arXiv:1709.01507).

    As in MnasNet and EfficientNet (arXiv:1905.11946) the hidden layer is a quarter of the *unexpanded* width.
    """

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.squeeze = nn.Linear(channels, hidden)
        self.excite = nn.Linear(hidden, channels)

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] → [B, C, H, W]."""
        gate = self.excite(F.silu(self.squeeze(x.mean(dim=(2, 3))))).sigmoid()
        return x * gate[:, :, None, None]


class InvertedResidual(nn.Module):
    """GroupNorm → time → 1×1 to `expansion` times the width → SiLU → depthwise 3×3 → GroupNorm → SiLU →
    [squeeze-excitation] → dropout → 1×1 back to the width (zero at first), added to the input.

    The block of MobileNetV2 (Sandler et al. 2018, arXiv:1801.04381) with the linear bottleneck as residual stream, in
    the pre-normalised order of diffusion U-Nets. It differs from `ResidualBlock` in two places, both to stay light: a
    change of width comes first, as a 1×1 convolution, so that the skip connections' channels are not expanded; and the
    embedding is added to (or scales and shifts) the *first*, narrow normalisation's output, so that its projection
    does not grow with the expansion.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        expansion: int,
        squeeze_excitation: bool,
        scale_shift: bool,
        dropout: float,
        groups: int,
        eps: float,
    ) -> None:
        super().__init__()
        self.scale_shift, self.dropout = scale_shift, dropout
        wide = expansion * out_channels
        self.shortcut: nn.Module = (
            nn.Identity() if in_channels == out_channels else nn.Conv2d(in_channels, out_channels, 1)
        )
        self.norm1 = GroupNorm(out_channels, groups, eps)
        self.expand = nn.Conv2d(out_channels, wide, 1)
        self.depthwise = nn.Conv2d(wide, wide, 3, padding=1, groups=wide)
        self.norm2 = GroupNorm(wide, groups, eps)
        self.excitation = SqueezeExcitation(wide, max(1, out_channels // 4)) if squeeze_excitation else None
        self.project = nn.Conv2d(wide, out_channels, 1)
        self.embedding_width = 2 * out_channels if scale_shift else out_channels

    @property
    def last(self) -> nn.Conv2d:
        """The layer that ends the residual path."""
        return self.project

    def forward(self, x: Tensor, embedding: Tensor | None) -> Tensor:
        """Image [B, in, H, W] and embedding slice [B or 1, embedding_width] (or None) → [B, out, H, W]."""
        x = self.shortcut(x)
        hidden = self.norm1(x)
        if embedding is not None and self.scale_shift:
            scale, shift = embedding[:, :, None, None].chunk(2, dim=1)
            hidden = torch.addcmul(shift, hidden, 1 + scale)
        elif embedding is not None:
            hidden = hidden + embedding[:, :, None, None]
        hidden = silu(self.norm2(self.depthwise(silu(self.expand(hidden)))))
        if self.excitation is not None:
            hidden = self.excitation(hidden)
        return x + self.project(F.dropout(hidden, self.dropout, self.training))
