"""diffusers' `UNet2DModel` (the layout of google/ddpm-cifar10-32): its configuration and the names of its weights."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from torch import Tensor

from rediffuse.errors import UserError
from rediffuse.interop.layout import Entry, Rows, block, group_norms, places, refuse_others, renamed, to_ours, to_theirs
from rediffuse.models.unet import UNet
from rediffuse.models.unet_config import UNetConfig

# What a key means when config.json leaves it out: the defaults of `UNet2DModel.__init__`.
DEFAULTS: dict[str, Any] = {
    "sample_size": None,
    "in_channels": 3,
    "out_channels": 3,
    "center_input_sample": False,
    "time_embedding_type": "positional",
    "time_embedding_dim": None,
    "freq_shift": 0,
    "flip_sin_to_cos": True,
    "down_block_types": ("DownBlock2D", "AttnDownBlock2D", "AttnDownBlock2D", "AttnDownBlock2D"),
    "mid_block_type": "UNetMidBlock2D",
    "up_block_types": ("AttnUpBlock2D", "AttnUpBlock2D", "AttnUpBlock2D", "UpBlock2D"),
    "block_out_channels": (224, 448, 672, 896),
    "layers_per_block": 2,
    "mid_block_scale_factor": 1,
    "downsample_padding": 1,
    "downsample_type": "conv",
    "upsample_type": "conv",
    "dropout": 0.0,
    "act_fn": "silu",
    "attention_head_dim": 8,
    "norm_num_groups": 32,
    "attn_norm_num_groups": None,
    "norm_eps": 1e-5,
    "resnet_time_scale_shift": "default",
    "add_attention": True,
    "class_embed_type": None,
    "num_class_embeds": None,
    "num_train_timesteps": None,
}

# Keys of which our network knows only these values.
ONLY: dict[str, tuple[Any, ...]] = {
    "center_input_sample": (False,),
    "time_embedding_type": ("positional",),
    "mid_block_type": ("UNetMidBlock2D",),
    "mid_block_scale_factor": (1,),
    "downsample_type": ("conv",),
    "upsample_type": ("conv",),
    "act_fn": ("silu", "swish"),
    "class_embed_type": (None,),
    "downsample_padding": (0, 1),
    "resnet_time_scale_shift": ("default", "scale_shift"),
}

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

# Our modules and the names that `UNet2DModel` has for them: before the stages, in a residual block, behind the stages.
FIRST = {
    "input": "conv_in",
    "time.linear1": "time_embedding.linear_1",
    "time.linear2": "time_embedding.linear_2",
    "classes": "class_embedding",
}
PARTS = {part: part for part in ("norm1", "conv1", "norm2", "conv2")} | {"shortcut": "conv_shortcut"}
LAST = {"norm": "conv_norm_out", "output": "conv_out"}

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
        raise UserError(f"_class_name: {kind!r} is not a network this can read; it reads 'UNet2DModel'")
    for key in given:
        if key not in DEFAULTS and not key.startswith("_"):
            raise UserError(f"{key}: {given[key]!r} is no setting of UNet2DModel that is known here")
    values = {**DEFAULTS, **given}
    for key, allowed in ONLY.items():
        if values[key] not in allowed:
            raise UserError(f"{key}: {values[key]!r} cannot be represented; {_choice(allowed)} can")
    size = values["sample_size"]
    size = size[0] if isinstance(size, list | tuple) and len(set(size)) == 1 else size
    if not isinstance(size, int) or isinstance(size, bool):
        raise UserError(f"sample_size: {size!r} cannot be represented; one number of pixels can, such as 32")
    widths = list(values["block_out_channels"])
    multipliers = [width // widths[0] for width in widths]
    if [widths[0] * multiplier for multiplier in multipliers] != widths:
        raise UserError(f"block_out_channels: {widths} cannot be represented; multiples of the first can")
    if values["time_embedding_dim"] not in (None, 4 * widths[0]):
        raise UserError(
            f"time_embedding_dim: {values['time_embedding_dim']} cannot be represented; {4 * widths[0]} can"
        )
    if not isinstance(values["freq_shift"], int) or values["freq_shift"] >= widths[0] // 2:
        raise UserError(f"freq_shift: {values['freq_shift']!r} cannot be represented; 0 or 1 can")
    attends = _attends(values, len(widths))
    classes = values["num_class_embeds"]
    scale_shift = values["resnet_time_scale_shift"] == "scale_shift"
    # None means none where the embedding scales and shifts, and norm_num_groups elsewhere.
    normalised = values["attn_norm_num_groups"] or (None if scale_shift else values["norm_num_groups"])
    if values["add_attention"] and normalised != values["norm_num_groups"]:
        raise UserError(
            f"attn_norm_num_groups: {values['attn_norm_num_groups']} cannot be represented with "
            f"resnet_time_scale_shift: {values['resnet_time_scale_shift']}; {values['norm_num_groups']} can"
        )
    config = UNetConfig(
        image_size=size,
        in_channels=values["in_channels"],
        out_channels=values["out_channels"],
        channels=widths[0],
        multipliers=tuple(multipliers),
        blocks=values["layers_per_block"],
        attention=tuple(size >> level for level, attend in enumerate(attends) if attend),
        middle_attention=values["add_attention"],
        heads=_heads(values["attention_head_dim"], widths, attends, values["add_attention"]),
        dropout=values["dropout"],
        time_conditioning="scale-shift" if scale_shift else "additive",
        num_classes=None if classes is None else classes - null_class,
        groups=values["norm_num_groups"],
        norm_eps=values["norm_eps"],
        time_order="cos-sin" if values["flip_sin_to_cos"] else "sin-cos",
        time_frequency_shift=values["freq_shift"],
        downsample_padding="symmetric" if values["downsample_padding"] else "bottom-right",
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
    """A `UNet2DModel`'s state dict as our network of `config` loads it, float32.

    Attention under diffusers' earlier names (query, key, value, proj_attn) is taken too. Without a `null_class` the
    null token's embedding is set to zero: the network was never trained for it.

    Raises:
        UserError: naming a tensor that is missing, left over or of another shape.
    """
    theirs = {_today(name): value for name, value in theirs.items()}
    return to_ours(_entries, config, theirs, null_class=null_class, source=source)


def _entries(network: UNet) -> Iterator[Entry]:
    """Every tensor of a `UNet2DModel` and where it lies in ours."""
    yield from renamed(network, FIRST)
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
    yield from renamed(network, LAST)


def _today(name: str) -> str:
    """diffusers' present name of a tensor."""
    return re.sub(
        r"(\.attentions\.\d+)\.(query|key|value|proj_attn)\.", lambda m: f"{m[1]}.{OLD_ATTENTION[m[2]]}.", name
    )


def _attends(values: Mapping[str, Any], levels: int) -> list[bool]:
    sides = []
    for key, plain, attending in (
        ("down_block_types", "DownBlock2D", "AttnDownBlock2D"),
        ("up_block_types", "UpBlock2D", "AttnUpBlock2D"),
    ):
        for kind in values[key]:
            if kind not in (plain, attending):
                raise UserError(f"{key}: {kind!r} cannot be represented; {plain!r} and {attending!r} can")
        sides.append([kind == attending for kind in values[key]])
    down, up = sides[0], sides[1][::-1]
    if down != up or len(down) != levels:
        raise UserError(
            f"up_block_types: {list(values['up_block_types'])} cannot be represented; the mirror image of "
            f"down_block_types {list(values['down_block_types'])} can, one type for each of the {levels} widths"
        )
    return down


def _heads(head_width: int | None, widths: list[int], attends: list[bool], middle: bool) -> int:
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


def _choice(allowed: tuple[Any, ...]) -> str:
    return " or ".join(repr(value) for value in allowed)
