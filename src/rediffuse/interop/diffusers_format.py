"""diffusers' `UNet2DModel` (the layout of google/ddpm-cifar10-32): its configuration and the names of its weights."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal, TypeVar

from pydantic import Field
from torch import Tensor

from rediffuse.errors import UserError, one_line, shown
from rediffuse.interop.foreign import Foreign, quoted
from rediffuse.interop.layout import Entry, Rows, block, group_norms, places, refuse_others, renamed, to_ours, to_theirs
from rediffuse.models.unet import UNet
from rediffuse.models.unet_config import UNetConfig
from rediffuse.options import PositiveFloat

T = TypeVar("T")
Count = Annotated[int, Field(gt=0, le=10**5)]
Types = Annotated[tuple[T, ...], Field(strict=False)]
One = Annotated[float, Field(ge=1, le=1)]


class Theirs(Foreign):
    """The arguments of `UNet2DModel.__init__`, its defaults, and those of their values that our network can have."""

    sample_size: Any = None
    in_channels: Count = 3
    out_channels: Count = 3
    center_input_sample: Literal[False] = False
    time_embedding_type: Literal["positional"] = "positional"
    time_embedding_dim: Count | None = None
    freq_shift: Literal[0, 1] = 0
    flip_sin_to_cos: bool = True
    down_block_types: Types[Literal["DownBlock2D", "AttnDownBlock2D"]] = ("DownBlock2D", *3 * ("AttnDownBlock2D",))
    mid_block_type: Literal["UNetMidBlock2D"] = "UNetMidBlock2D"
    up_block_types: Types[Literal["UpBlock2D", "AttnUpBlock2D"]] = (*3 * ("AttnUpBlock2D",), "UpBlock2D")
    block_out_channels: Types[Count] = (224, 448, 672, 896)
    layers_per_block: Annotated[int, Field(gt=0, le=100)] = 2
    mid_block_scale_factor: One = 1.0
    downsample_padding: Literal[0, 1] = 1
    downsample_type: Literal["conv"] = "conv"
    upsample_type: Literal["conv"] = "conv"
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    act_fn: Literal["silu", "swish"] = "silu"
    attention_head_dim: Count | None = 8
    norm_num_groups: Count = 32
    attn_norm_num_groups: Count | None = None
    norm_eps: PositiveFloat = 1e-5
    resnet_time_scale_shift: Literal["default", "scale_shift"] = "default"
    add_attention: bool = True
    class_embed_type: None = None
    num_class_embeds: Annotated[int, Field(gt=0, le=10**7)] | None = None
    num_train_timesteps: Any = None


#: Keys that diffusers' `EMAModel` adds when it saves a moving average, which say nothing of the network.
AVERAGE = (
    "decay",
    "min_decay",
    "optimization_step",
    "update_after_step",
    "use_ema_warmup",
    "inv_gamma",
    "power",
)

KNOWN_FIELDS = (
    "image_size",
    "in_channels",
    "out_channels",
    "channels",
    "multipliers",
    "blocks",
    "attention",
    "middle_attention",
    "heads",
    "time_conditioning",
    "num_classes",
    "groups",
    "norm_eps",
    "time_order",
    "time_frequency_shift",
    "downsample_padding",
)

# Our modules and the names that `UNet2DModel` has for them: around the stages, and in a residual block.
AROUND = {
    "input": "conv_in",
    "time.linear1": "time_embedding.linear_1",
    "time.linear2": "time_embedding.linear_2",
    "classes": "class_embedding",
    "norm": "conv_norm_out",
    "output": "conv_out",
}
PARTS = {part: part for part in ("norm1", "conv1", "norm2", "conv2")} | {"shortcut": "conv_shortcut"}

OLD_ATTENTION = {"query": "to_q", "key": "to_k", "value": "to_v", "proj_attn": "to_out.0"}


def config_to_diffusers(config: UNetConfig) -> dict[str, Any]:
    """The keyword arguments of `UNet2DModel` that build the same function.

    Classes become `num_class_embeds` = classes + 1, the last one being our null token.

    Raises:
        UserError: naming a field that `UNet2DModel` cannot represent.
    """
    refuse_others(config, KNOWN_FIELDS, "diffusers")
    groups = sorted({norm.num_groups for norm in group_norms(config)})
    if len(groups) > 1:
        raise UserError(
            f"groups is {config.groups}, which makes normalisations of {', '.join(map(str, groups))} groups; diffusers "
            f"has one number for all: train with network.groups: {groups[0]}, or use the format rediffuse"
        )
    attends = [resolution in config.attention for resolution in config.resolutions]
    scale_shift = config.time_conditioning == "scale-shift"
    return {
        "sample_size": config.image_size,
        "in_channels": config.in_channels,
        "out_channels": config.out_channels,
        "center_input_sample": False,
        "time_embedding_type": "positional",
        "freq_shift": config.time_frequency_shift,
        "flip_sin_to_cos": config.time_order == "cos-sin",
        "down_block_types": ["AttnDownBlock2D" if a else "DownBlock2D" for a in attends],
        "up_block_types": ["AttnUpBlock2D" if a else "UpBlock2D" for a in reversed(attends)],
        "block_out_channels": list(config.widths),
        "layers_per_block": config.blocks,
        "mid_block_scale_factor": 1,
        "downsample_padding": 0 if config.downsample_padding == "bottom-right" else 1,
        "downsample_type": "conv",
        "upsample_type": "conv",
        "dropout": config.dropout,
        "act_fn": "silu",
        "attention_head_dim": _head_width(config),
        "norm_num_groups": groups[0],
        "norm_eps": config.norm_eps,
        # Left out, it would take the normalisation from the middle's attention where the embedding scales and shifts.
        "attn_norm_num_groups": groups[0] if scale_shift else None,
        "resnet_time_scale_shift": "scale_shift" if scale_shift else "default",
        "add_attention": config.middle_attention,
        "class_embed_type": None,
        "num_class_embeds": None if config.num_classes is None else config.num_classes + 1,
    }


def config_from_diffusers(given: Mapping[str, Any], *, null_class: bool = False) -> UNetConfig:
    """The configuration of the network that a `UNet2DModel` configuration describes.

    Args:
        given: the content of config.json; keys that are left out have diffusers' defaults.
        null_class: whether the last class embedding stands for "no label".

    Raises:
        UserError: `key: value …`, for the first key that our network cannot represent.
    """
    if (kind := given.get("_class_name", "UNet2DModel")) != "UNet2DModel":
        raise UserError(f"_class_name: {quoted(kind)} is not a network this can read; it reads 'UNet2DModel'")
    plain = {key: value for key, value in given.items() if not key.startswith("_") and key not in AVERAGE}
    for key in plain:
        if key not in Theirs.model_fields:
            raise UserError(
                f"{one_line(key, 60)}: {quoted(plain[key])} is no setting of UNet2DModel that is known here"
            )
    theirs = Theirs.read(plain)
    size, widths, shift = theirs.sample_size, theirs.block_out_channels, theirs.resnet_time_scale_shift
    size = size[0] if isinstance(size, list | tuple) and len(size) == 2 and size[0] == size[1] else size
    if type(size) is not int or not 0 < size <= 10**5:
        raise UserError(f"sample_size: {quoted(size)} cannot be represented; one number of pixels can, such as 32")
    if not widths or widths[0] < 4 or widths[0] % 2 or any(width % widths[0] for width in widths):
        raise UserError(
            f"block_out_channels: {shown(list(widths))} cannot be represented; "
            "an even number from 4 and multiples of it can"
        )
    if theirs.time_embedding_dim not in (None, 4 * widths[0]):
        raise UserError(f"time_embedding_dim: {theirs.time_embedding_dim} cannot be represented; {4 * widths[0]} can")
    attends = _attends(theirs, len(widths))
    classes = theirs.num_class_embeds
    if classes is not None and classes <= null_class:
        raise UserError(f"num_class_embeds: {classes} leaves no class beside that of --null-class; 2 or more can")
    scale_shift = shift == "scale_shift"
    # None means none where the embedding scales and shifts, and norm_num_groups elsewhere.
    normalised = theirs.attn_norm_num_groups or (None if scale_shift else theirs.norm_num_groups)
    if theirs.add_attention and normalised != theirs.norm_num_groups:
        raise UserError(
            f"attn_norm_num_groups: {theirs.attn_norm_num_groups} cannot be represented with "
            f"resnet_time_scale_shift: {shift}; {theirs.norm_num_groups} can"
        )
    config = UNetConfig(
        image_size=size,
        in_channels=theirs.in_channels,
        out_channels=theirs.out_channels,
        channels=widths[0],
        multipliers=tuple(width // widths[0] for width in widths),
        blocks=theirs.layers_per_block,
        attention=tuple(size >> level for level, attend in enumerate(attends) if attend),
        middle_attention=theirs.add_attention,
        heads=_heads(theirs.attention_head_dim, widths, attends, theirs.add_attention),
        dropout=theirs.dropout,
        time_conditioning="scale-shift" if scale_shift else "additive",
        num_classes=None if classes is None else classes - null_class,
        groups=theirs.norm_num_groups,
        norm_eps=theirs.norm_eps,
        time_order="cos-sin" if theirs.flip_sin_to_cos else "sin-cos",
        time_frequency_shift=theirs.freq_shift,
        downsample_padding="symmetric" if theirs.downsample_padding else "bottom-right",
    )
    for norm in group_norms(config):
        if norm.num_groups != config.groups:
            raise UserError(
                f"norm_num_groups: {config.groups} cannot be represented in a layer of {norm.num_channels} channels; "
                f"{norm.num_groups} can: a divisor that leaves two channels a group"
            )
    return config


def weights_to_diffusers(config: UNetConfig, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Our state dict as `UNet2DModel(**config_to_diffusers(config))` loads it."""
    return to_theirs(_entries, config, state)


def weights_from_diffusers(
    config: UNetConfig, theirs: Mapping[str, Tensor], *, null_class: bool = False, source: str = "weights"
) -> dict[str, Tensor]:
    """A `UNet2DModel`'s state dict as our network of `config` loads it, attention also under diffusers' earlier names
    (query, key, value, proj_attn); see `layout.to_ours`.
    """
    theirs = {_today(name): value for name, value in theirs.items()}
    return to_ours(_entries, config, theirs, null_class=null_class, source=source)


def _entries(network: UNet) -> Iterator[Entry]:
    """Every tensor of a `UNet2DModel` and where it lies in ours."""
    yield from renamed(network, AROUND)
    for place in places(network):
        side = "mid_block" if place.side == "middle" else f"{place.side}_blocks.{place.level}"
        yield from block(network, place, f"{side}.resnets.{place.position}", PARTS, "time_emb_proj")
        if (attention := place.stage.attention) is not None:
            ours, theirs = f"{place.ours}.attention", f"{side}.attentions.{place.position}"
            yield from renamed(network, {f"{ours}.norm": f"{theirs}.group_norm", f"{ours}.out": f"{theirs}.to_out.0"})
            width = attention.out.in_features
            for number, name in enumerate(("to_q", "to_k", "to_v")):
                rows = Rows(number * width, (number + 1) * width)
                yield Entry(f"{ours}.qkv.weight", f"{theirs}.{name}.weight", (width, width), rows)
                yield Entry(f"{ours}.qkv.bias", f"{theirs}.{name}.bias", (width,), rows)
    for side in ("down", "up"):
        levels = range(len(network.down))
        yield from renamed(network, {f"{side}.{n}.resample": f"{side}_blocks.{n}.{side}samplers.0" for n in levels})


def _today(name: str) -> str:
    """diffusers' present name of a tensor."""
    return re.sub(
        r"(\.attentions\.\d+)\.(query|key|value|proj_attn)\.", lambda m: f"{m[1]}.{OLD_ATTENTION[m[2]]}.", name
    )


def _attends(theirs: Theirs, levels: int) -> list[bool]:
    down = [kind.startswith("Attn") for kind in theirs.down_block_types]
    up = [kind.startswith("Attn") for kind in reversed(theirs.up_block_types)]
    if down != up or len(down) != levels:
        raise UserError(
            f"up_block_types: {shown(list(theirs.up_block_types))} cannot be represented; the mirror image of "
            f"down_block_types {shown(list(theirs.down_block_types))} can, one type for each of the {levels} widths"
        )
    return down


def _heads(head_width: int | None, widths: Sequence[int], attends: list[bool], middle: bool) -> int:
    chosen = {width for width, attend in zip(widths, attends, strict=True) if attend} | (
        {widths[-1]} if middle else set()
    )
    if head_width is None or not chosen:
        return 1
    heads = {width / head_width for width in chosen}
    if len(heads) > 1 or not (count := heads.pop()).is_integer():
        raise UserError(
            f"attention_head_dim: {head_width} cannot be represented with attention over {sorted(chosen)} channels; "
            "what gives every attention the same number of heads can"
        )
    return int(count)


def _head_width(config: UNetConfig) -> int | None:
    if config.heads == 1:
        return None
    levels = zip(config.widths, config.resolutions, strict=True)
    chosen = {width for width, resolution in levels if resolution in config.attention}
    chosen |= {config.widths[-1]} if config.middle_attention else set()
    if len(chosen) > 1:
        raise UserError(
            f"heads is {config.heads} at widths {sorted(chosen)}; diffusers gives every head the same number of "
            "channels: use one head, or the format rediffuse"
        )
    return chosen.pop() // config.heads if chosen else None
