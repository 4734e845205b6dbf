"""Networks of the literature, and small ones, by name; `rediffuse.config.presets` holds what they are."""

from rediffuse.config.presets import PRESETS as FIELDS
from rediffuse.config.presets import preset_fields
from rediffuse.models.unet_config import UNetConfig

PRESETS: dict[str, UNetConfig] = {name: UNetConfig(**fields) for name, fields in FIELDS.items()}


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
