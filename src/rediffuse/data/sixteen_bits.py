"""Pictures of 16 bits a channel: one rule for grey and colour.

Pillow opens 16-bit grey as it is, and of 16-bit colour keeps the high bytes without a word. Here both are read whole
and brought to 8 bits by the same formula.
"""

import io
import sys
from typing import Any

import numpy as np
from PIL import Image

_WHITE = 65535
# A picture whose values all fit 12 bits was hardly meant to be that dark: cameras and scanners write 10 or 12 bits.
_SUSPICIOUS = 4096
#: The raw mode that gives the low bytes of a picture whose high bytes Pillow takes.
_LOW = {
    f"{mode};16{order}": f"{mode};16{'B' if little else 'L'}"
    for mode in ("RGB", "RGBA")
    for order, little in (("B", False), ("L", True), ("N", sys.byteorder == "little"))
}


def read_sixteen(opened: Image.Image, encoded: bytes) -> np.ndarray | None:
    """uint16 [H, W], [H, W, 3] or [H, W, 4] of a PNG or TIFF of 16 bits a channel, None for a picture of fewer.

    Raises ValueError for a form of 16 bits that cannot be read whole.
    """
    tile: Any = next(iter(getattr(opened, "tile", ())), None)
    raw = "" if tile is None else tile.args if isinstance(tile.args, str) else str((tile.args or ("",))[0])
    if opened.format == "PPM":
        if opened.mode == "I" or (tile is not None and not isinstance(tile.args, str) and tile.args[-1] > 255):
            raise ValueError("it has more than 8 bits a channel: save it as PNG")
        return None
    grey = opened.mode.startswith("I;16")
    if not grey and not raw.endswith((";16B", ";16L", ";16N")):
        return None
    if "transparency" in opened.info:
        raise ValueError("it has 16 bits a channel and a transparent colour: save it without one")
    if grey:
        return np.asarray(opened).astype(np.uint16)
    if raw not in _LOW:
        raise ValueError(f"it has 16 bits a channel in a form that is not read ({raw}): save it as RGB or grey PNG")
    high = np.asarray(opened).astype(np.uint16)
    with Image.open(io.BytesIO(encoded)) as again:
        again.tile = [_with_raw_mode(each, _LOW[raw]) for each in again.tile]  # type: ignore[attr-defined]
        return high << 8 | np.asarray(again)


def to_eight(values: np.ndarray, white: int | None) -> tuple[np.ndarray, str]:
    """uint8 of 16-bit values, round(255 v / white), and that in words; a fourth channel is opacity, laid on white.

    Without `white` it is 65535, and a picture is refused whose values leave the highest four bits unused: whether it is
    dark or has 10 or 12 bits, only its maker knows. Raises ValueError, also for a value above `white`.
    """
    colours, top = values[..., :3] if values.ndim == 3 else values, _WHITE if white is None else white
    largest = int(colours.max())
    if white is None and 0 < largest < _SUSPICIOUS:
        raise ValueError(
            f"it has 16 bits a channel and no value above {largest}: say which value is white (--white, option 'white')"
        )
    if largest > top:
        raise ValueError(f"it has a value of {largest}, above {top}, which is said to be white")
    scaled = colours.astype(np.float64) / top
    if values.ndim == 3 and values.shape[-1] == 4:
        opacity = values[..., 3:].astype(np.float64) / _WHITE
        scaled = scaled * opacity + 1 - opacity
    return np.rint(255 * scaled).astype(np.uint8), f"16 bits a channel to 8: round(255 v / {top})"


def _with_raw_mode(tile: Any, raw: str) -> Any:
    args = raw if isinstance(tile.args, str) else (raw, *tile.args[1:])
    return tile._replace(args=args)
