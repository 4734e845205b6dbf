"""Networks of the literature, and small ones, by name.

A study says `network: {preset: ho-cifar10}` and may give other keys beside it, which then win.
"""

from typing import Any

from rediffuse.errors import UserError
from rediffuse.models.unet_config import UNetConfig

# What the images decide; a study takes it from its data set.
IMAGE_FIELDS = ("image_size", "in_channels", "out_channels")

# Ho et al. 2020, appendix B: every field in which the presets below differ from one another.
HO: dict[str, Any] = {
    "image_size": 32,
    "channels": 128,
    "multipliers": (1, 2, 2, 2),
    "blocks": 2,
    "attention": (16,),
    "dropout": 0.1,
}
GREY: dict[str, Any] = {"in_channels": 1, "out_channels": 1}
# Of the two documents that print networks of their own: no attention,
# normalisation and first weights as PyTorch has them.
PLAIN: dict[str, Any] = {
    "attention": (),
    "middle_attention": False,
    "groups": 8,
    "norm_eps": 1e-5,
    "initialisation": "torch",
}
D4: dict[str, Any] = HO | PLAIN | GREY
LIGHT: dict[str, Any] = HO | {"channels": 96, "block": "inverted", "expansion": 2}

FIELDS: dict[str, dict[str, Any]] = {
    # 35,746,307 parameters (35,749,766 with a learned variance), as google/ddpm-cifar10-32.
    "ho-cifar10": HO,
    # The same with half the width, and with half the residual blocks.
    "ho-cifar10-narrow": HO | {"channels": 64},
    "ho-cifar10-shallow": HO | {"blocks": 1},
    # Nichol & Dhariwal 2021: 52,546,438 parameters.
    "iddpm-cifar10": HO
    | {
        "out_channels": 6,
        "blocks": 3,
        "attention": (16, 8),
        "heads": 4,
        "dropout": 0.3,
        "time_conditioning": "scale-shift",
        "norm_eps": 1e-5,
        "time_order": "cos-sin",
        "time_frequency_shift": 0,
        "downsample_padding": "symmetric",
        "initialisation": "torch",
    },
    # Document D1 trains the CIFAR-10 network on 64×64 faces: same widths, hence the 35.7 M parameters of its table 4,
    # attention at 16×16 (one scale further down), no dropout. Ho et al. themselves did not train on CelebA 64×64.
    "celeba64": HO | {"image_size": 64, "dropout": 0.0},
    # Song, Meng & Ermon 2021 (DDIM), celeba.yml of their code: a fifth scale; 78.7 million parameters.
    "ddim-celeba64": HO | {"image_size": 64, "multipliers": (1, 2, 2, 2, 4)},
    # Document D3, figure 8: 64 → 128 → 256 channels and two halvings, one block a scale and way, two in the middle, a
    # sinusoid of 4C. What its blocks hold is not printed: these are Ho et al.'s.
    "d3-small": HO
    | PLAIN
    | {"channels": 64, "multipliers": (2, 4), "skips": "scales", "blocks": 1, "dropout": 0.0, "time_sinusoid": 4},
    # Document D4, section 3.6.1: digits of 28×28, padded to 32×32 because three halvings of 28 break the skips.
    "d4-light": D4 | {"channels": 32, "multipliers": (1, 2, 2, 4)},
    # The other three of the four sizes of its exercise 3.6.1, which calls the light one "Small".
    "d4-tiny": D4 | {"channels": 16, "multipliers": (1, 2, 2)},
    "d4-base": D4 | {"channels": 64, "multipliers": (1, 2, 4, 8)},
    "d4-large": D4 | {"channels": 128, "multipliers": (1, 2, 4, 8)},
    # Sizes of one design for 32×32 colour images; base is Ho et al.'s.
    "tiny": HO | {"channels": 32, "multipliers": (1, 2, 2), "blocks": 1, "attention": (8,), "dropout": 0.0},
    "small": HO | {"channels": 64},
    "base": HO,
    "large": HO | {"channels": 192, "blocks": 3, "attention": (16, 8), "heads": 4},
    # Depthwise-separable inverted residual blocks, without and with squeeze-excitation (rediffuse.models.light).
    "light-cifar10": LIGHT,
    "light-se-cifar10": LIGHT | {"block": "inverted-se"},
    # 8×8 grey-level digits on one CPU core.
    "tiny-digits": HO
    | GREY
    | {"image_size": 8, "channels": 16, "multipliers": (1, 2), "attention": (4,), "groups": 8, "dropout": 0.0},
    # The smallest that still has every part; for tests.
    "micro-digits": HO
    | GREY
    | {
        "image_size": 8,
        "channels": 8,
        "multipliers": (1, 2),
        "blocks": 1,
        "attention": (4,),
        "groups": 4,
        "dropout": 0.0,
    },
}


def preset_fields(name: str) -> dict[str, Any]:
    """The fields of `UNetConfig` that make the preset `name`; those left out have its defaults.

    Raises:
        UserError: if there is no such preset.
    """
    if name not in FIELDS:
        raise UserError(f"there is no network preset {name!r}; choose one of {', '.join(sorted(FIELDS))}")
    return dict(FIELDS[name])


PRESETS = {name: UNetConfig(**fields) for name, fields in FIELDS.items()}


def preset(name: str, **changes: object) -> UNetConfig:
    """The named configuration, with fields of `UNetConfig` changed by keyword: `num_classes=10` makes it
    class-conditional, `use_time=False` leaves the time out.

    Raises:
        UserError: if there is no such preset.
    """
    return UNetConfig(**{**preset_fields(name), **changes})


def with_learned_variance(config: UNetConfig) -> UNetConfig:
    """The same network with a second set of output channels for the variance."""
    return config.replace(out_channels=2 * config.in_channels)
