"""Networks: functions (x, t, y) → prediction, and their configurations."""

from rediffuse.models.presets import PRESETS, preset, with_learned_variance
from rediffuse.models.unet import UNet, build_unet
from rediffuse.models.unet_config import UNetConfig

__all__ = ["PRESETS", "UNet", "UNetConfig", "build_unet", "preset", "with_learned_variance"]
