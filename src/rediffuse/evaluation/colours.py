"""Colour statistics of a batch: does every image have one hue, and do all images have the same one?

A pixel's hue and chroma are the angle and length of its colour vector (R − (G + B)/2, √3/2 · (G − B)), channels in
[0, 1]: 0 at red, 2π/3 at green, 4π/3 at blue; grey has length 0 and no hue. Directions are averaged as vectors
(Mardia & Jupp 2000, section 2.3), so each weighs as much as it is coloured and grey images weigh nothing.
"""

from dataclasses import dataclass

import numpy as np

from rediffuse.errors import UserError

# Below this mean chroma there is no colour to speak of: a thousandth of a grey level.
_GREY = 1e-3 / 255


@dataclass(frozen=True)
class ColourStatistics:
    """Colours of a batch of images, channel values in [0, 1].

    mean, std: by channel, over all pixels of all images (divisor: their number). between: share of the pixels' variance
    that lies between the means of images (1: every image is of one flat colour; None when nothing varies).
    saturation: mean over pixels of (max − min) / max, that of black being 0. chroma: mean length of the colour vector.
    hue: mean hue of the batch in degrees [0, 360). hue_within: mean resultant length of the hues of an image's pixels
    (1: each image has one hue). hue_across: resultant length over the images' own hues (1: all images share one hue,
    0: their hues cancel out). hue_spread: circular standard deviation of the images' hues in degrees, √(−2 ln R).
    The four hues are None for grey images.
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]
    between: float | None
    saturation: float
    chroma: float
    hue: float | None
    hue_within: float | None
    hue_across: float | None
    hue_spread: float | None
    images: int


def colour_statistics(images: np.ndarray) -> ColourStatistics:
    """Statistics of uint8 images [N, C, H, W], C = 1 or 3. UserError for anything else."""
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[1] not in (1, 3) or len(images) == 0:
        raise UserError(f"colours are those of uint8 images [N, 1 or 3, H, W], not {images.dtype} {list(images.shape)}")
    sums, vectors, chromas, saturation = [], [], [], 0.0
    for image in images:  # one at a time: the float64 copy of a whole batch of large images would not fit
        pixels = image.reshape(len(image), -1) / 255.0
        sums.append((pixels.mean(1), np.square(pixels).mean(1)))
        if len(image) == 3:
            vector, chroma = _hue_vectors(pixels)
            vectors.append(vector)
            chromas.append(chroma)
            saturation += _saturation(pixels) / len(images)
    means, squares = (np.array(column) for column in zip(*sums, strict=True))
    mean = means.mean(0)
    variance = np.maximum(squares.mean(0) - mean**2, 0.0)
    total = float(variance.sum())
    hues = _hues(np.array(vectors), np.array(chromas))
    return ColourStatistics(
        mean=tuple(map(float, mean)),
        std=tuple(map(float, np.sqrt(variance))),
        between=float(means.var(0).sum()) / total if total > 1e-15 else None,
        saturation=saturation,
        chroma=float(np.mean(chromas)) if chromas else 0.0,
        hue=hues[0],
        hue_within=hues[1],
        hue_across=hues[2],
        hue_spread=hues[3],
        images=len(images),
    )


def _hue_vectors(pixels: np.ndarray) -> tuple[complex, float]:
    """Mean colour vector of pixels [3, P] as a complex number, and mean length of it."""
    red, green, blue = pixels
    vectors = (red - (green + blue) / 2) + 1j * (3**0.5 / 2) * (green - blue)
    return complex(vectors.mean()), float(np.abs(vectors).mean())


def _saturation(pixels: np.ndarray) -> float:
    most, least = pixels.max(0), pixels.min(0)
    return float(((most - least) / np.where(most > 0, most, 1.0)).mean())


def _hues(vectors: np.ndarray, chromas: np.ndarray) -> tuple[float | None, float | None, float | None, float | None]:
    """Mean hue, concentration within images, concentration across them, and their spread."""
    if len(chromas) == 0 or chromas.mean() < _GREY:
        return None, None, None, None
    within = float(np.abs(vectors).sum() / chromas.sum())
    lengths = float(np.abs(vectors).sum())
    if lengths / len(vectors) < _GREY:
        return None, within, None, None
    resultant = complex(vectors.sum())
    across = min(abs(resultant) / lengths, 1.0)
    hue = float(np.degrees(np.angle(resultant))) % 360
    spread = float(np.degrees(np.sqrt(-2 * np.log(across)))) if across > 0 else None
    return hue, within, across, spread
