"""Stage `brightness`: how bright are the samples of a run?"""

from rediffuse.pipeline.stage import Stage

STAGE = Stage(
    "brightness",
    "Measure how bright the samples of one run are.",
    doing="Measuring brightness",
    done="brightened",
    scope="run",
    needs=("sample",),
    files=lambda subject: ["brightness/brightness.json"],
    keeps=("brightness/",),
)


def run(job, context):
    """Write brightness/brightness.json: the mean pixel by setting."""
    from rediffuse.formats import write_json
    from rediffuse.runs.samples import read_samples

    folder = context.root / job.folder
    samples = {path.stem: read_samples(path).images for path in (folder / "samples").glob("*.npz")}
    write_json(folder / "brightness" / "brightness.json", {name: float(s.mean()) for name, s in samples.items()})
