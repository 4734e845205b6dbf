"""The study's data section under the names that its source has for it."""

from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np

from rediffuse.config import LoadedStudy
from rediffuse.config.load import check_prepared as config_check
from rediffuse.config.sections import Data
from rediffuse.data.image_set import open_image_set
from rediffuse.data.registry import find_source
from rediffuse.errors import UserError
from rediffuse.files import read_json
from rediffuse.runs import facts

# A study says `path` and `image_size`; each source has the option that its own users would look for.
_PATH_OPTIONS, _SIZE_OPTIONS = ("path", "archive", "folder"), ("size",)


def source_options(data: Data, root: Path) -> dict[str, Any]:
    """The study's data settings under the names of its source's options.

    Raises:
        UserError: the source has no such option.
    """
    known = {field.name for field in fields(find_source(data.source_name).options)}
    options: dict[str, Any] = {}
    for key, value, names in (("path", data.path, _PATH_OPTIONS), ("image_size", data.image_size, _SIZE_OPTIONS)):
        if value is None:
            continue
        found = [name for name in names if name in known]
        if not found:
            raise UserError(f"data.{key}: data source {data.source_name!r} takes none; leave it out")
        options[found[0]] = value
    return options


def check_prepared(loaded: LoadedStudy, folder: Path) -> None:
    """Compare the images in a data set's folder, if they are there, with what the study asks of them.

    Raises:
        UserError: there are too few of them, or they are of another kind; the line names the key.
    """
    try:
        card = read_json(folder / "card.json")
    except (OSError, ValueError):
        return
    config_check(loaded, card)
    asks = any(
        facts.asks_classes(run, key)
        for run in (*loaded.runs.values(), *loaded.ablations.values())
        for _, key, _ in facts.settings(run)
    )
    if asks:
        labels = open_image_set(folder).split("held-out")[1]
        counts = np.bincount([] if labels is None else labels, minlength=len(card["class_names"]))
        if counts.min() < 2:
            name = card["class_names"][int(counts.argmin())]
            raise UserError(
                f"data.path: class {name!r} has {counts.min()} held-out images, and how varied the real images of a "
                "class are needs 2; give more pictures, or folders train and test"
            )
