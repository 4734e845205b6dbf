"""`UNetModel` of Nichol & Dhariwal 2021, written anew from the published architecture, under its published names.

Only what weights need: blocks are lists of layers, a residual block is in_layers, emb_layers and out_layers, attention
keeps q, k and v of each head together.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def timestep_embedding(t: Tensor, width: int) -> Tensor:
    half = width // 2
    frequencies = torch.exp(-math.log(10_000) * torch.arange(half).float() / half)
    angles = t[:, None].float() * frequencies[None]
    return torch.cat([torch.cos(angles), torch.sin(angles)], dim=-1)


class ResBlock(nn.Module):
    def __init__(self, channels: int, out: int, embedding: int, scale_shift: bool) -> None:
        super().__init__()
        self.scale_shift = scale_shift
        self.in_layers = nn.Sequential(nn.GroupNorm(32, channels), nn.SiLU(), nn.Conv2d(channels, out, 3, padding=1))
        self.emb_layers = nn.Sequential(nn.SiLU(), nn.Linear(embedding, 2 * out if scale_shift else out))
        self.out_layers = nn.Sequential(
            nn.GroupNorm(32, out), nn.SiLU(), nn.Dropout(0.0), nn.Conv2d(out, out, 3, padding=1)
        )
        self.skip_connection = nn.Identity() if channels == out else nn.Conv2d(channels, out, 1)

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        h = self.in_layers(x)
        e = self.emb_layers(embedding)[:, :, None, None]
        if self.scale_shift:
            scale, shift = e.chunk(2, dim=1)
            h = self.out_layers[0](h) * (1 + scale) + shift
            for layer in self.out_layers[1:]:
                h = layer(h)
        else:
            h = self.out_layers(h + e)
        return self.skip_connection(x) + h


class AttentionBlock(nn.Module):
    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm = nn.GroupNorm(32, channels)
        self.qkv = nn.Conv1d(channels, 3 * channels, 1)
        self.proj_out = nn.Conv1d(channels, channels, 1)

    def forward(self, x: Tensor, _: Tensor) -> Tensor:
        batch, channels, *size = x.shape
        x = x.reshape(batch, channels, -1)
        qkv = self.qkv(self.norm(x)).reshape(batch * self.heads, -1, x.shape[2])
        width = channels // self.heads
        q, k, v = qkv.split(width, dim=1)
        scale = 1 / math.sqrt(math.sqrt(width))
        weight = torch.softmax(torch.einsum("bct,bcs->bts", q * scale, k * scale), dim=-1)
        h = torch.einsum("bts,bcs->bct", weight, v).reshape(batch, channels, -1)
        return (x + self.proj_out(h)).reshape(batch, channels, *size)


class Downsample(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.op = nn.Conv2d(channels, channels, 3, stride=2, padding=1)

    def forward(self, x: Tensor, _: Tensor) -> Tensor:
        return self.op(x)


class Upsample(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor, _: Tensor) -> Tensor:
        return self.conv(F.interpolate(x, scale_factor=2, mode="nearest"))


class First(nn.Conv2d):
    def forward(self, x: Tensor, _: Tensor) -> Tensor:
        return super().forward(x)


class UNetModel(nn.Module):
    def __init__(
        self,
        channels: int,
        multipliers: tuple[int, ...],
        blocks: int,
        attention: tuple[int, ...],
        heads: int,
        out_channels: int,
        scale_shift: bool,
        classes: int | None,
    ) -> None:
        super().__init__()
        self.channels, wide = channels, 4 * channels
        self.time_embed = nn.Sequential(nn.Linear(channels, wide), nn.SiLU(), nn.Linear(wide, wide))
        if classes is not None:
            self.label_emb = nn.Embedding(classes, wide)
        self.input_blocks = nn.ModuleList([nn.ModuleList([First(3, channels, 3, padding=1)])])
        current, factor, kept = channels, 1, [channels]
        for level, multiplier in enumerate(multipliers):
            for _ in range(blocks):
                layers: list[nn.Module] = [ResBlock(current, multiplier * channels, wide, scale_shift)]
                current = multiplier * channels
                if factor in attention:
                    layers.append(AttentionBlock(current, heads))
                self.input_blocks.append(nn.ModuleList(layers))
                kept.append(current)
            if level != len(multipliers) - 1:
                self.input_blocks.append(nn.ModuleList([Downsample(current)]))
                kept.append(current)
                factor *= 2
        self.middle_block = nn.ModuleList(
            [
                ResBlock(current, current, wide, scale_shift),
                AttentionBlock(current, heads),
                ResBlock(current, current, wide, scale_shift),
            ]
        )
        self.output_blocks = nn.ModuleList()
        for level, multiplier in reversed(list(enumerate(multipliers))):
            for i in range(blocks + 1):
                layers = [ResBlock(current + kept.pop(), multiplier * channels, wide, scale_shift)]
                current = multiplier * channels
                if factor in attention:
                    layers.append(AttentionBlock(current, heads))
                if level and i == blocks:
                    layers.append(Upsample(current))
                    factor //= 2
                self.output_blocks.append(nn.ModuleList(layers))
        self.out = nn.Sequential(nn.GroupNorm(32, current), nn.SiLU(), nn.Conv2d(current, out_channels, 3, padding=1))

    def forward(self, x: Tensor, t: Tensor, y: Tensor | None = None) -> Tensor:
        embedding = self.time_embed(timestep_embedding(t, self.channels))
        if y is not None:
            embedding = embedding + self.label_emb(y)
        kept = []
        for block in self.input_blocks:
            for layer in block:
                x = layer(x, embedding)
            kept.append(x)
        for layer in self.middle_block:
            x = layer(x, embedding)
        for block in self.output_blocks:
            x = torch.cat([x, kept.pop()], dim=1)
            for layer in block:
                x = layer(x, embedding)
        return self.out(x)
