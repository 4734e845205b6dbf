"""Data sources and the form data sets take on disk."""

from rediffuse.data.image_set import ImageSet, images_digest, open_image_set, save_image_set
from rediffuse.data.registry import SOURCES, Source, find_source, load

__all__ = ["SOURCES", "ImageSet", "Source", "find_source", "images_digest", "load", "open_image_set", "save_image_set"]
