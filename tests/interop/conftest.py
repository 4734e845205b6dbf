"""The fixtures of the networks' tests."""

from tests.models.conftest import awake, images

__all__ = ["awake", "images"]
