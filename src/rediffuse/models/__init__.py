"""Networks: functions (x, t, y) → prediction, and their configurations."""

from rediffuse.lazy import passes_on

__all__ = passes_on(
    __name__,
    "presets:PRESETS",
    "presets:preset",
    "presets:with_learned_variance",
    "unet:UNet",
    "unet:build_unet",
    "unet_config:UNetConfig",
)
