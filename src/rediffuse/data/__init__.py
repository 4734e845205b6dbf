"""Data sources and the form data sets take on disk."""

from rediffuse.lazy import passes_on

__all__ = passes_on(
    __name__,
    "image_set:ImageSet",
    "image_set:images_digest",
    "image_set:open_image_set",
    "image_set:save_image_set",
    "registry:SOURCES",
    "registry:Source",
    "registry:find_source",
    "registry:load",
)
