"""Files of JSON as a report reads them, and the number of parameters that a training wrote down."""

import json
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from rediffuse.errors import UserError


def read_json(path: Path) -> Any:
    """Content of a JSON file, None when there is none; UserError when it is not JSON."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise UserError(f"{path}: is not JSON ({error}); remove it and make it again with `dvc repro`") from None


class Parameters(NamedTuple):
    """How many parameters make an image, and how many are trained."""

    makes_images: int
    trained: int


def read_parameters(settings: Path) -> Parameters | None:
    """What a training wrote down in its run.yaml; None where it did not."""
    try:
        said = yaml.safe_load(settings.read_text(encoding="utf-8"))["parameters"]
        return Parameters(int(said["makes_images"]), int(said["trained"]))
    except (OSError, UnicodeDecodeError, KeyError, TypeError, ValueError, yaml.YAMLError):
        return None
