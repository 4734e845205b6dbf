"""One encoded picture to an array: colour mode, centre crop, resize."""

import io
from collections import Counter
from dataclasses import dataclass

import numpy as np
from PIL import Image, UnidentifiedImageError

from rediffuse.data.sixteen_bits import read_sixteen, to_eight
from rediffuse.errors import UserError

RESAMPLING = {
    "box": Image.Resampling.BOX,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}

_ORIENTATION = 0x0112
_TURNED = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
#: Modes that become RGB or grey without a choice.
_PLAIN = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX")


@dataclass(frozen=True)
class Picture:
    """What to make of a picture.

    channels: "rgb" or "grey"; crop: side of the centred square that is kept, None for none; size: side in pixels of the
    result, None to keep the picture's own; resample: filter of the resize (all antialias when they shrink). white: the
    value of white in pictures of 16 bits a channel, None for 65535 (see `sixteen_bits.to_eight`).
    """

    channels: str = "rgb"
    crop: int | None = None
    size: int | None = None
    resample: str = "bicubic"
    white: int | None = None

    def __post_init__(self) -> None:
        for name, side in (("crop", self.crop), ("size", self.size)):
            if side is not None and side < 1:
                raise UserError(f"the option {name!r} must be at least 1 pixel, not {side}")
        if self.white is not None and not 1 <= self.white <= 65535:
            raise UserError(f"the option 'white' must be a value of 16 bits, 1 to 65535, not {self.white}")

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


def decode(encoded: bytes, picture: Picture, notes: list[str] | None = None) -> np.ndarray:
    """uint8 [C, H, W] of an encoded picture (PNG, JPEG, ...); raises ValueError if it cannot be had.

    notes: takes what was done to this picture in particular, in words (`in_words` sums them up).
    """
    notes = [] if notes is None else notes
    if not encoded:
        raise ValueError("it is empty (0 bytes)")
    try:
        with Image.open(io.BytesIO(encoded)) as opened:
            _check_alone(opened, notes)
            deep = read_sixteen(opened, encoded)
            image: Image.Image = opened
            if deep is not None:
                eight, note = to_eight(deep, picture.white)
                notes.append(note)
                image = Image.fromarray(eight)
            if (turn := opened.getexif().get(_ORIENTATION, 1)) in _TURNED:
                notes.append("turned upright, as EXIF says")
                image = image.transpose(_TURNED[turn])
            if image.mode in ("I", "F") or image.mode.startswith("I;"):
                raise ValueError(f"it has {image.mode} pixels, not 8 bits a channel")
            if image.has_transparency_data:
                image = image.convert("RGBA")
                image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
            if image.mode not in _PLAIN:
                notes.append(f"{image.mode} to RGB without a colour profile")
            image = image.convert("RGB" if picture.channels == "rgb" else "L")
    except UnidentifiedImageError:
        raise ValueError(f"it cannot be decoded: no picture begins with {encoded[:12]!r}") from None
    except (ValueError, MemoryError):
        raise
    except Exception as damage:  # what decoders raise on damaged bytes is of every kind
        raise ValueError(f"it cannot be decoded: {damage}") from None
    if picture.crop is not None:
        image = _centre_crop(image, picture.crop)
    if picture.size is not None:
        image = _centre_crop(image, min(image.size))
        if image.size != (picture.size, picture.size):
            image = image.resize((picture.size, picture.size), RESAMPLING[picture.resample])
    pixels = np.asarray(image)
    return pixels[None] if pixels.ndim == 2 else np.ascontiguousarray(pixels.transpose(2, 0, 1))


def in_words(notes: list[str]) -> list[str]:
    """What `decode` noted of many pictures: each thing once, with the number of pictures."""
    return [f"{note} ({count} picture{'s' * (count > 1)})" for note, count in sorted(Counter(notes).items())]


def _check_alone(opened: Image.Image, notes: list[str]) -> None:
    """Refuse animations and files of several pages, of which all but the first would be dropped."""
    frames = getattr(opened, "n_frames", 1)
    if frames > 1 and opened.format != "MPO":
        raise ValueError(f"it holds {frames} pictures (an animation, or pages): give each a file of its own")
    if frames > 1:
        notes.append("MPO of a camera: the first picture, not its preview")


def _centre_crop(image: Image.Image, side: int) -> Image.Image:
    width, height = image.size
    if side > min(width, height):
        raise ValueError(f"it is {width}x{height}, smaller than the crop of {side}")
    left, top = (width - side) // 2, (height - side) // 2
    return image.crop((left, top, left + side, top + side))
