"""Stage `prepare`: a data set becomes images.npy, labels.npy, held_out.npy and card.json."""

from rediffuse.data import load, save_image_set
from rediffuse.progress import Progress
from rediffuse.stages.context import Context, working


def prepare(context: Context) -> None:
    """Read the study's data source (downloading it if it must be) and write it below `data/`."""
    data = context.loaded.study.data
    job = context.plan.find("prepare")
    options = {key: value for key in ("image_size", "path") if (value := getattr(data, key)) is not None}
    with working(context, job), Progress(f"prepare {data.name}", "image") as progress:
        image_set = load(data.source_name, options, context.root / "data" / "downloads", progress)
        save_image_set(context.data_folder, image_set)
