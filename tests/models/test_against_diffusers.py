"""The Ho et al. network computes what diffusers' `UNet2DModel` computes when given the same weights."""

from collections.abc import Callable, Iterator

import pytest
import torch
from torch import Tensor, nn

from rediffuse.models import PRESETS, UNet, UNetConfig, preset

diffusers = pytest.importorskip("diffusers")


def as_diffusers(config: UNetConfig) -> nn.Module:
    """An untrained `UNet2DModel` of the layout of google/ddpm-cifar10-32."""
    attends = [resolution in config.attention for resolution in config.resolutions]
    return diffusers.UNet2DModel(
        sample_size=config.image_size,
        in_channels=config.in_channels,
        out_channels=config.out_channels,
        block_out_channels=config.widths,
        layers_per_block=config.blocks,
        down_block_types=tuple("AttnDownBlock2D" if a else "DownBlock2D" for a in attends),
        up_block_types=tuple("AttnUpBlock2D" if a else "UpBlock2D" for a in reversed(attends)),
        norm_num_groups=config.groups,
        norm_eps=config.norm_eps,
        freq_shift=1,
        flip_sin_to_cos=False,
        downsample_padding=0,
        attention_head_dim=None,
        act_fn="silu",
    )


def renamed(model: UNet) -> Iterator[tuple[str, Tensor]]:
    """The weights of our network under diffusers' names."""

    def layer(ours: nn.Module, theirs: str) -> Iterator[tuple[str, Tensor]]:
        for name, value in ours.named_parameters():
            yield f"{theirs}.{name}", value

    projections = iter(
        zip(
            model.projection.weight.split(model.embedding_widths),
            model.projection.bias.split(model.embedding_widths),
            strict=True,
        )
    )

    def stage(ours: nn.Module, side: str, index: int) -> Iterator[tuple[str, Tensor]]:
        residual, theirs = ours.residual, f"{side}.resnets.{index}"
        for part in ("norm1", "conv1", "norm2", "conv2"):
            yield from layer(getattr(residual, part), f"{theirs}.{part}")
        yield from layer(residual.shortcut, f"{theirs}.conv_shortcut")
        weight, bias = next(projections)
        yield f"{theirs}.time_emb_proj.weight", weight
        yield f"{theirs}.time_emb_proj.bias", bias
        if ours.attention is not None:
            theirs = f"{side}.attentions.{index}"
            yield from layer(ours.attention.norm, f"{theirs}.group_norm")
            yield from layer(ours.attention.out, f"{theirs}.to_out.0")
            for kind, values in (
                ("weight", ours.attention.qkv.weight),
                ("bias", ours.attention.qkv.bias),
            ):
                for name, value in zip(("to_q", "to_k", "to_v"), values.chunk(3), strict=True):
                    yield f"{theirs}.{name}.{kind}", value

    yield from layer(model.input, "conv_in")
    yield from layer(model.time.linear1, "time_embedding.linear_1")
    yield from layer(model.time.linear2, "time_embedding.linear_2")
    for side, levels, resample in (
        ("down_blocks", model.down, "downsamplers"),
        ("up_blocks", model.up, "upsamplers"),
    ):
        if side == "up_blocks":
            for index, part in enumerate(model.middle):
                yield from stage(part, "mid_block", index)
        for number, level in enumerate(levels):
            for index, part in enumerate(level.stages):
                yield from stage(part, f"{side}.{number}", index)
            if level.resample is not None:
                yield from layer(level.resample, f"{side}.{number}.{resample}.0")
    yield from layer(model.norm, "conv_norm_out")
    yield from layer(model.output, "conv_out")


@pytest.mark.parametrize(
    "config",
    [
        preset("ho-cifar10", channels=32, groups=8, dropout=0.0),
        preset("tiny-digits"),
        PRESETS["ho-cifar10"],
    ],
    ids=["ho-narrow", "tiny-digits", "ho-cifar10"],
)
def test_the_same_weights_give_the_same_output_as_diffusers(
    awake: Callable, images: Callable, config: UNetConfig
) -> None:
    ours, theirs = awake(UNet(config)), as_diffusers(config).eval()
    theirs.load_state_dict(dict(renamed(ours)), strict=True)
    x, t = images(config, 2), torch.tensor([17, 801])
    with torch.no_grad():
        expected = theirs(x, t).sample
        output = ours(x, t)
    assert expected.std() > 0.05
    assert ((output - expected).norm() / expected.norm()).item() < 1e-5
