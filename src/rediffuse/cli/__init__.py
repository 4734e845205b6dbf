"""The command line."""

# The order of these modules is the order of the verbs in `rediffuse --help`.
# isort: off
from rediffuse.cli import studies, pipeline, loose_images, exchange
from rediffuse.cli.base import main

__all__ = ["exchange", "loose_images", "main", "pipeline", "studies"]
