"""Striped squares: an example."""

from dataclasses import dataclass

import numpy as np

from rediffuse.data.image_set import ImageSet, make_card


@dataclass(frozen=True)
class StripesOptions:
    """Stripes take no options."""


def stripes(options, download_dir, progress=None):
    """64 images, 1×8×8, striped across or down; the last 24 are held out."""
    labels, held_out = np.arange(64) % 2, np.arange(64) >= 40
    images = np.random.default_rng(0).integers(0, 256, (64, 1, 8, 1), np.uint8).repeat(8, 3)
    images[labels == 1] = images[labels == 1].swapaxes(2, 3)
    about = {"title": "Stripes", "source": "made here", "licence": "CC0", "citation": "none", "preprocessing": []}
    card = make_card("stripes", images=images, held_out=held_out, **about)
    return ImageSet(images, labels, held_out, ("across", "down"), card)
