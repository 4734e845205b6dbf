"""Pixels: uint8 on disk, [-1, 1] wherever the diffusion process is."""

import torch
from torch import Tensor

from rediffuse.errors import UserError


def to_unit_range(pixels: Tensor, *, channels_last: bool = False) -> Tensor:
    """uint8 pixels → float32 in [-1, 1]: pixel / 127.5 − 1."""
    layout = torch.channels_last if channels_last else torch.contiguous_format
    return pixels.to(torch.float32, memory_format=layout).div_(127.5).sub_(1.0)


def to_uint8(x: Tensor) -> Tensor:
    """Images [B, ...] in [-1, 1] as uint8: round((x + 1) 127.5), clipped to 0 .. 255.

    Raises:
        UserError: there is NaN or infinity, which would become black or white and be scored.
    """
    if not (finite := x.isfinite()).all():
        broken = int((~finite.reshape(len(x), -1).all(1)).sum())
        raise UserError(
            f"{broken} of {len(x)} images hold NaN or infinity: the weights or the settings of sampling are at fault"
        )
    return ((x + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)
