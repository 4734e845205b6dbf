"""What the network is told beside the image: the timestep and, optionally, a class label."""

import math
from typing import Literal

import torch
from torch import Tensor, nn

from rediffuse.errors import UserError

TimeOrder = Literal["sin-cos", "cos-sin"]


def sinusoidal_embedding(
    t: Tensor,
    width: int,
    *,
    order: TimeOrder = "sin-cos",
    frequency_shift: int = 1,
    max_period: float = 10_000.0,
) -> Tensor:
    """Sines and cosines of `t` at `width // 2` geometrically spaced frequencies (Vaswani et al. 2017, section 3.5).

    Frequency i is max_period ** (-i / (width // 2 - frequency_shift)). Ho et al. 2020 use order "sin-cos" and
    shift 1; Nichol & Dhariwal 2021 use "cos-sin" and shift 0. An odd width ends in a column of zeros, as in both codes.

    Args:
        t: timesteps, shape [B], any real dtype.
        width: at least 2, and 4 with shift 1.

    Returns:
        float32 tensor of shape [B, width].

    Raises:
        UserError: a width that leaves no two frequencies to space (with shift 0: none).
    """
    half = width // 2
    if half <= frequency_shift:
        raise UserError(f"an embedding of width {width} is too narrow; use at least {2 * (frequency_shift + 1)}")
    exponents = torch.arange(half, dtype=torch.float32, device=t.device) / (half - frequency_shift)
    angles = t.float()[:, None] * torch.exp(-math.log(max_period) * exponents)[None, :]
    parts = (angles.sin(), angles.cos()) if order == "sin-cos" else (angles.cos(), angles.sin())
    return nn.functional.pad(torch.cat(parts, dim=1), (0, width % 2))


class TimeEmbedding(nn.Module):
    """Sinusoid of width C → linear to 4C → SiLU → linear to 4C (Ho et al. 2020, appendix B).

    The sinusoid is that of t times `scale` (1000/T in IDDPM's published networks, "rescale_timesteps"). `sinusoid` and
    `width` are the multiples of C that its width and that of the linear layers are.
    """

    def __init__(
        self,
        channels: int,
        *,
        order: TimeOrder = "sin-cos",
        frequency_shift: int = 1,
        scale: float = 1.0,
        sinusoid: int = 1,
        width: int = 4,
    ) -> None:
        super().__init__()
        self.order, self.frequency_shift, self.scale = order, frequency_shift, scale
        self.linear1 = nn.Linear(sinusoid * channels, width * channels)
        self.linear2 = nn.Linear(width * channels, width * channels)

    def forward(self, t: Tensor) -> Tensor:
        """Timesteps [B] → embedding [B, width · C]."""
        t = t if self.scale == 1.0 else t.float() * self.scale
        columns = self.linear1.in_features
        sinusoid = sinusoidal_embedding(t, columns, order=self.order, frequency_shift=self.frequency_shift)
        hidden = self.linear1(sinusoid.to(self.linear1.weight.dtype))
        return self.linear2(nn.functional.silu(hidden))


class ClassEmbedding(nn.Embedding):
    """One learned vector a class, and a last one (index `num_classes`) for "no label" (Ho & Salimans 2022)."""

    def __init__(self, num_classes: int, width: int) -> None:
        super().__init__(num_classes + 1, width)
        self.num_classes = num_classes

    def forward(self, labels: Tensor | None) -> Tensor:
        """Labels [B] (int64), or None for "no label" throughout → [B, width] or, for None, [1, width]."""
        if labels is None:
            return self.weight[self.num_classes][None]
        return super().forward(labels)


class ClassMlp(ClassEmbedding):
    """The vector of a class or of "no label" → linear → SiLU → linear, all of one width (document D1, eq. 17)."""

    def __init__(self, num_classes: int, width: int) -> None:
        super().__init__(num_classes, width)
        self.linear1 = nn.Linear(width, width)
        self.linear2 = nn.Linear(width, width)

    def forward(self, labels: Tensor | None) -> Tensor:
        """As `ClassEmbedding`."""
        return self.linear2(nn.functional.silu(self.linear1(super().forward(labels))))


def drop_labels(labels: Tensor, rate: float, null: int, generator: torch.Generator) -> Tensor:
    """Replace each label by the null token with probability `rate`, for classifier-free guidance.

    Raises:
        UserError: if `rate` is outside [0, 1].
    """
    if not 0.0 <= rate <= 1.0:
        raise UserError(f"label_dropout is {rate}; it must lie between 0 and 1")
    if rate == 0.0:
        return labels
    dropped = torch.rand(labels.shape, generator=generator, device=labels.device) < rate
    return labels.masked_fill(dropped, null)
