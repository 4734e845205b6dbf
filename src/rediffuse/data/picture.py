"""One encoded picture to an array: colour mode, centre crop, resize."""

import io
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageOps

from rediffuse.errors import UserError

RESAMPLING = {
    "box": Image.Resampling.BOX,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}


@dataclass(frozen=True)
class Picture:
    """What to make of a picture.

    channels: "rgb" or "grey"; crop: side of the centred square that is kept, None for none; size: side in pixels of the
    result, None to keep the picture's own; resample: filter of the resize (all antialias when they shrink).
    """

    channels: str = "rgb"
    crop: int | None = None
    size: int | None = None
    resample: str = "bicubic"

    def __post_init__(self) -> None:
        for name, side in (("crop", self.crop), ("size", self.size)):
            if side is not None and side < 1:
                raise UserError(f"the option {name!r} must be at least 1 pixel, not {side}")

    def describe(self) -> list[str]:
        """The same in words, for a card."""
        steps = [{"rgb": "RGB", "grey": "grey (ITU-R 601)"}[self.channels] + "; transparency laid on white"]
        if self.crop is not None:
            steps.append(f"centre crop to {self.crop}x{self.crop}")
        if self.size is not None:
            steps.append(
                f"centre crop to a square if it is none, then {self.resample} to {self.size}x{self.size} (Pillow)"
            )
        return steps


def decode(encoded: bytes, picture: Picture) -> np.ndarray:
    """uint8 [C, H, W] of an encoded picture (PNG, JPEG, ...); raises ValueError if it cannot be had."""
    try:
        with Image.open(io.BytesIO(encoded)) as opened:
            image = ImageOps.exif_transpose(opened)
            if image.mode.startswith(("I", "F")):
                raise ValueError(f"it has {image.mode} pixels, not 8 bits a channel")
            if image.has_transparency_data:
                image = image.convert("RGBA")
                image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
            image = image.convert("RGB" if picture.channels == "rgb" else "L")
    except (OSError, SyntaxError, Image.DecompressionBombError) as damage:
        raise ValueError(f"it cannot be decoded: {damage}") from None
    if picture.crop is not None:
        image = _centre_crop(image, picture.crop)
    if picture.size is not None:
        image = _centre_crop(image, min(image.size))
        if image.size != (picture.size, picture.size):
            image = image.resize((picture.size, picture.size), RESAMPLING[picture.resample])
    pixels = np.asarray(image)
    return pixels[None] if pixels.ndim == 2 else np.ascontiguousarray(pixels.transpose(2, 0, 1))


def _centre_crop(image: Image.Image, side: int) -> Image.Image:
    width, height = image.size
    if side > min(width, height):
        raise ValueError(f"it is {width}x{height}, smaller than the crop of {side}")
    left, top = (width - side) // 2, (height - side) // 2
    return image.crop((left, top, left + side, top + side))
