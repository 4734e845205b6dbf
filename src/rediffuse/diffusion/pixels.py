"""Pixels: uint8 on disk, [-1, 1] wherever the diffusion process is."""

import torch
from torch import Tensor


def to_unit_range(pixels: Tensor, *, channels_last: bool = False) -> Tensor:
    """uint8 pixels → float32 in [-1, 1]: pixel / 127.5 − 1."""
    layout = torch.channels_last if channels_last else torch.contiguous_format
    return pixels.to(torch.float32, memory_format=layout).div_(127.5).sub_(1.0)


def to_uint8(x: Tensor) -> Tensor:
    """Images in [-1, 1] as uint8: round((x + 1) 127.5), clipped to 0 .. 255."""
    return ((x + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)
