"""Stage `prepare`: a data set becomes images.npy, labels.npy, held_out.npy and card.json."""

from typing import Any

from rediffuse.pipeline.context import Context
from rediffuse.pipeline.plan import Job
from rediffuse.pipeline.stage import Stage, Subject

FILES = ("images.npy", "labels.npy", "held_out.npy", "card.json")


def settings(subject: Subject) -> dict[str, Any]:
    """Which images: not where they lie, but what they are."""
    data = subject.loaded.study.data
    pictures = {"pictures": subject.outside.get("data.path")} if data.path else {}
    return {"data": {**data.model_dump(mode="json", exclude={"path"}), "source": data.source or data.name}, **pictures}


STAGE = Stage(
    "prepare",
    "Write the study's images to data/ (downloading them where the source asks for it).",
    doing="Preparing the data set",
    done="prepared",
    scope="study",
    folder="data/{data}",
    settings=settings,
    files=lambda subject: FILES,
    keeps=FILES,
    resumes=True,
    computes=False,
)


def run(job: Job, context: Context) -> None:
    """Read the study's data source (downloading it if it must be) and write it below data/."""
    from rediffuse.data.image_set import save_image_set
    from rediffuse.data.registry import load
    from rediffuse.progress import Progress
    from rediffuse.runs.data import source_options

    data = context.loaded.study.data
    with Progress(f"prepare {data.name}", "image") as progress:
        options = source_options(data, context.root)
        image_set = load(data.source or data.name, options, context.root / "data" / "downloads", progress)
        save_image_set(context.data_folder, image_set)
