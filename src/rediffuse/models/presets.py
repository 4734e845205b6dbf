"""Networks of the literature, and small ones, by name."""

from dataclasses import replace

from rediffuse.errors import UserError
from rediffuse.models.unet_config import UNetConfig

PRESETS: dict[str, UNetConfig] = {
    # Ho et al. 2020, appendix B: 35,746,307 parameters (35,749,766 with a learned variance).
    "ho-cifar10": UNetConfig(image_size=32, dropout=0.1),
    # Nichol & Dhariwal 2021: 52,546,438 parameters.
    "iddpm-cifar10": UNetConfig(
        image_size=32,
        out_channels=6,
        blocks=3,
        attention=(16, 8),
        heads=4,
        dropout=0.3,
        time_conditioning="scale-shift",
        norm_eps=1e-5,
        time_order="cos-sin",
        time_frequency_shift=0,
        downsample_padding="symmetric",
        initialisation="torch",
    ),
    # 8x8 grey-level digits on one CPU core.
    "tiny-digits": UNetConfig(
        image_size=8,
        in_channels=1,
        out_channels=1,
        channels=16,
        multipliers=(1, 2),
        attention=(4,),
        groups=8,
    ),
    # The smallest that still has every part; for tests.
    "micro-digits": UNetConfig(
        image_size=8,
        in_channels=1,
        out_channels=1,
        channels=8,
        multipliers=(1, 2),
        blocks=1,
        attention=(4,),
        groups=4,
    ),
}


def preset(name: str, **changes: object) -> UNetConfig:
    """The named configuration, with fields of `UNetConfig` changed by keyword.

    Raises:
        UserError: if there is no such preset.
    """
    if name not in PRESETS:
        raise UserError(f"there is no network preset {name!r}; choose one of {', '.join(sorted(PRESETS))}")
    return replace(PRESETS[name], **changes)  # type: ignore[arg-type]


def with_learned_variance(config: UNetConfig) -> UNetConfig:
    """The same network with a second set of output channels for the variance."""
    return replace(config, out_channels=2 * config.in_channels)
