"""Stage `prepare`: a data set becomes images.npy, labels.npy, held_out.npy and card.json."""

from dataclasses import fields
from typing import Any

from rediffuse.config.sections import Data
from rediffuse.data import find_source, load, save_image_set
from rediffuse.errors import UserError
from rediffuse.progress import Progress
from rediffuse.stages.context import Context, working


def prepare(context: Context) -> None:
    """Read the study's data source (downloading it if it must be) and write it below `data/`."""
    data = context.loaded.study.data
    job = context.plan.find("prepare")
    options = source_options(data)
    with working(context, job), Progress(f"prepare {data.name}", "image") as progress:
        image_set = load(data.source_name, options, context.root / "data" / "downloads", progress)
        save_image_set(context.data_folder, image_set)


# A study says `path` and `image_size`; each source has the option that its own users would look for.
_PATH_OPTIONS, _SIZE_OPTIONS = ("path", "archive", "folder"), ("size",)


def source_options(data: Data) -> dict[str, Any]:
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
