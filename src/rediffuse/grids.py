"""Plain image grids: what previews, MLflow and the report show of a batch."""

import math
from pathlib import Path

import numpy as np
from PIL import Image

from rediffuse.files import atomic_path

MARGIN = 1  # pixels of white between images, before enlarging


def grid(images: np.ndarray, columns: int | None = None) -> np.ndarray:
    """Images (uint8 [N, C, H, W], C 1 or 3) side by side on white, uint8 [H', W', 3]; as square as N allows."""
    count, _channels, height, width = images.shape
    columns = columns or math.ceil(math.sqrt(count))
    rows = math.ceil(count / columns)
    canvas = np.full((rows * (height + MARGIN) + MARGIN, columns * (width + MARGIN) + MARGIN, 3), 255, np.uint8)
    for index, image in enumerate(images):
        top = (index // columns) * (height + MARGIN) + MARGIN
        left = (index % columns) * (width + MARGIN) + MARGIN
        canvas[top : top + height, left : left + width] = np.broadcast_to(image.transpose(1, 2, 0), (height, width, 3))
    return canvas


def save_grid(images: np.ndarray, path: Path, columns: int | None = None, pixels: int = 48) -> None:
    """Write a grid as PNG, each image enlarged without smoothing to about `pixels` a side."""
    picture = Image.fromarray(grid(images, columns))
    factor = max(1, round(pixels / images.shape[-1]))
    picture = picture.resize((picture.width * factor, picture.height * factor), Image.Resampling.NEAREST)
    with atomic_path(path) as temporary:
        picture.save(temporary, format="PNG", optimize=False)
