"""What each way to make a network faster buys: precision, memory order, compiling, fewer or lighter layers."""

import os
import shutil
from dataclasses import dataclass
from typing import Any

from rediffuse.cost.timing import Spread
from rediffuse.errors import UserError
from rediffuse.hardware import Hardware
from rediffuse.models.unet_config import UNetConfig

LIGHTER = "depthwise-separable blocks"
Parts = dict[str, list[float]]
#: A network, the hardware's settings, and whether it is compiled.
Tried = tuple[UNetConfig, Hardware, bool]


@dataclass(frozen=True)
class Gain:
    """How many times as fast a change makes training steps and sampling: median and extremes of the rounds' ratios."""

    what: str
    training: Spread | None
    sampling: Spread

    @classmethod
    def of(cls, what: str, *, sampling: tuple[Parts, Parts], training: tuple[Parts, Parts] | None = None) -> "Gain":
        """From (seconds as it was, seconds with the change), by part and round; a round's two met the same machine."""
        return cls(what, None if training is None else _ratio(*training), _ratio(*sampling))


def _ratio(before: Parts, after: Parts) -> Spread:
    sums = [[sum(parts) for parts in zip(*seconds.values(), strict=True)] for seconds in (before, after)]
    return Spread.extremes([b / a for b, a in zip(*sums, strict=True)])


def smaller(config: UNetConfig) -> dict[str, UNetConfig]:
    """Smaller networks than this, by what was changed; what does not fit it is left out."""
    changes: dict[str, dict[str, Any]] = {
        "half the width": {"channels": config.channels // 2},
        LIGHTER: {"block": "inverted", "expansion": 2},
    }
    found = {}
    for what, change in changes.items():
        try:
            found[what] = config.replace(**change)
        except UserError:  # a width that heads or the time's sinusoid do not divide
            continue
    return {what: changed for what, changed in found.items() if changed != config}


def ways(config: UNetConfig, hardware: Hardware, *, try_compile: bool) -> tuple[dict[str, Tried], dict[str, str]]:
    """What is tried, by name, and what is left out, with the reason."""
    tried: dict[str, Tried] = {}
    left_out: dict[str, str] = {}
    own = hardware.compile  # as the study has it: else two things would change in one row
    if hardware.precision == "float32":
        tried["bfloat16 autocast"] = (config, hardware.model_copy(update={"precision": "bfloat16"}), own)
    if not hardware.channels_last:
        tried["channels-last memory order"] = (config, hardware.model_copy(update={"channels_last": True}), own)
    if hardware.compile:
        left_out["torch.compile"] = "the study compiles its networks anyway"
    elif not try_compile:
        left_out["torch.compile"] = "the study does not ask for it (cost.compile)"
    elif hardware.device == "cpu" and shutil.which(os.environ.get("CXX", "c++")) is None:
        left_out["torch.compile"] = "there is no C++ compiler"
    else:
        tried["torch.compile"] = (config, hardware, True)
    return tried | {what: (changed, hardware, own) for what, changed in smaller(config).items()}, left_out
