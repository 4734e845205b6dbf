"""The state dict of openai/improved-diffusion's `UNetModel`: its names, and the configuration its shapes tell.

A block of theirs is a list: input_blocks.N.0 is a residual block (or, alone, a halving, or the first convolution),
.1 its attention, and the last of output_blocks.N the doubling. A residual block is in_layers (norm, SiLU, conv),
emb_layers (SiLU, linear) and out_layers (norm, SiLU, dropout, conv). Attention keeps q, k and v of a head side by side:
row (h, {q, k, v}, c) of a convolution of width 1, where ours keep all heads' q first.
"""

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor

from rediffuse.errors import UserError, one_line, shown
from rediffuse.interop.layout import Entry, Place, Rows, block, group_norms, places, renamed, to_ours
from rediffuse.models.unet import UNet
from rediffuse.models.unet_config import UNetConfig

# Our modules and the names that `UNetModel` has for them: around the stages, and in a residual block.
AROUND = {
    "input": "input_blocks.0.0",
    "time.linear1": "time_embed.0",
    "time.linear2": "time_embed.2",
    "classes": "label_emb",
    "norm": "out.0",
    "output": "out.2",
}
PARTS = {
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
    "shortcut": "skip_connection",
}


def config_from_iddpm(
    state: Mapping[str, Tensor],
    *,
    image_size: int = 32,
    heads: int = 4,
    dropout: float = 0.3,
    timesteps: int = 4000,
    rescaled_timesteps: bool = True,
    null_class: bool = False,
    source: str = "weights",
) -> UNetConfig:
    """The configuration of the network whose state dict this is; what its shapes do not tell is given.

    The defaults are those of IDDPM's CIFAR-10 networks (Nichol & Dhariwal 2021, appendix A, and the repository's
    README): T = 4000, of which the network sees t · 1000/T (`rescale_timesteps`).

    Args:
        state: tensors by their names.
        null_class: whether the last label embedding stands for "no label".

    Raises:
        UserError: the names are not those of a `UNetModel`, or its shape cannot be represented.
    """

    def of(name: str) -> tuple[int, ...]:
        if name not in state:
            held = ", ".join(one_line(known, 40) for known in list(state)[:3])
            raise UserError(
                f"{source}: tensor {name} is missing; this is no state dict of IDDPM's UNetModel: "
                f"it holds {held} and so on"
            )
        shape = tuple(state[name].shape)
        if len(shape) < 2 or 0 in shape:
            raise UserError(
                f"{source}: tensor {name} is of shape {shown(list(shape))}; it should have two sides or more"
            )
        return shape

    channels, in_channels = of("input_blocks.0.0.weight")[:2]
    widths: list[list[int]] = [[]]
    attends = [False]
    number = 1
    while f"input_blocks.{number}.0.in_layers.0.weight" in state or f"input_blocks.{number}.0.op.weight" in state:
        block = f"input_blocks.{number}.0"
        if f"{block}.op.weight" in state:
            widths.append([])
            attends.append(False)
        else:
            widths[-1].append(of(f"{block}.out_layers.3.weight")[0])
            attends[-1] |= f"input_blocks.{number}.1.qkv.weight" in state
        number += 1
    if any(len(set(level)) != 1 or len(level) != len(widths[0]) or level[0] % channels for level in widths):
        raise UserError(
            f"{source}: channels {shown(widths)} of the levels cannot be represented; equal blocks a level can"
        )
    if f"input_blocks.{number}.0.weight" in state:
        raise UserError(f"{source}: tensor input_blocks.{number}.0.weight has no place in a UNetModel")
    block = "input_blocks.1.0"
    embedded = of(f"{block}.emb_layers.1.weight")[0]
    shortcuts = {of(name)[-1] for name in state if name.endswith("skip_connection.weight")}
    config = UNetConfig(
        image_size=image_size,
        in_channels=in_channels,
        out_channels=of("out.2.weight")[0],
        channels=channels,
        multipliers=tuple(level[0] // channels for level in widths),
        blocks=len(widths[0]),
        attention=tuple(image_size >> level for level, attend in enumerate(attends) if attend),
        heads=heads,
        dropout=dropout,
        time_conditioning="scale-shift" if embedded == 2 * widths[0][0] else "additive",
        num_classes=of("label_emb.weight")[0] - null_class if "label_emb.weight" in state else None,
        groups=32,
        norm_eps=1e-5,
        time_order="cos-sin",
        time_frequency_shift=0,
        time_scale=1000 / timesteps if rescaled_timesteps else 1.0,
        downsample_padding="symmetric",
        shortcut="3x3" if shortcuts == {3} else "1x1",
        initialisation="torch",
    )
    for norm in group_norms(config):
        if norm.num_groups != 32:
            raise UserError(
                f"{source}: a layer of {norm.num_channels} channels cannot be represented in IDDPM's 32 groups, only "
                f"in {norm.num_groups}: two channels a group or more"
            )
    return config


def weights_from_iddpm(
    config: UNetConfig, theirs: Mapping[str, Tensor], *, null_class: bool = False, source: str = "weights"
) -> dict[str, Tensor]:
    """A `UNetModel`'s state dict as our network of `config` loads it; see `layout.to_ours`."""
    return to_ours(_entries, config, theirs, null_class=null_class, source=source)


def _entries(network: UNet) -> Iterator[Entry]:
    """Every tensor of a `UNetModel` and where it lies in ours."""
    config = network.config
    yield from renamed(network, AROUND)
    for place in places(network):
        residual, attention = _names(place, config.blocks)
        yield from block(network, place, residual, PARTS, "emb_layers.1")
        if place.stage.attention is not None:
            yield from _attention(network, place, attention)
    last = len(network.down) - 1
    for number in range(last):
        down = f"input_blocks.{(number + 1) * (config.blocks + 1)}.0.op"
        attends = config.resolutions[last - number] in config.attention
        up = f"output_blocks.{number * (config.blocks + 1) + config.blocks}.{1 + attends}.conv"
        yield from renamed(network, {f"down.{number}.resample.conv": down, f"up.{number}.resample.conv": up})


def _names(place: Place, blocks: int) -> tuple[str, str]:
    """Their names of a stage's residual block and attention."""
    if place.side == "middle":
        return f"middle_block.{2 * place.position}", "middle_block.1"
    if place.side == "down":
        block = f"input_blocks.{1 + place.level * (blocks + 1) + place.position}"
    else:
        block = f"output_blocks.{place.level * (blocks + 1) + place.position}"
    return f"{block}.0", f"{block}.1"


def _attention(network: UNet, place: Place, theirs: str) -> Iterator[Entry]:
    ours, attention = f"{place.ours}.attention", place.stage.attention
    assert attention is not None
    width = attention.out.in_features
    # Row i of theirs is row order[i] of ours.
    order = torch.arange(3 * width).reshape(3, attention.heads, -1).transpose(0, 1).reshape(-1)
    rows = Rows(0, 3 * width, order)
    yield from renamed(network, {f"{ours}.norm": f"{theirs}.norm"})
    yield Entry(f"{ours}.qkv.weight", f"{theirs}.qkv.weight", (3 * width, width, 1), rows)
    yield Entry(f"{ours}.qkv.bias", f"{theirs}.qkv.bias", (3 * width,), rows)
    yield Entry(f"{ours}.out.weight", f"{theirs}.proj_out.weight", (width, width, 1))
    yield Entry(f"{ours}.out.bias", f"{theirs}.proj_out.bias", (width,))
