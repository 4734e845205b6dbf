"""How to repeat all of it."""

from rediffuse.reporting.experiments.material import Material
from rediffuse.reporting.experiments.variants import COMMAND
from rediffuse.reporting.render.blocks import Chapter, Code, chapter_of
from rediffuse.reporting.terms import run_of_role


def chapter(material: Material) -> Chapter | None:
    """The commands, and what they promise."""
    study, baseline = material.loaded.study, run_of_role(material.loaded, "baseline")
    example = baseline.name if baseline else next(iter(material.loaded.runs))
    lines = (
        (f"rediffuse use {study.study}", "make this study the active one"),
        ("make repro", "install what is needed and rebuild every result"),
        ("dvc repro", "rebuild what is out of date, in the active environment"),
        (COMMAND, "run the ablations; then `dvc repro` takes them into this report"),
        (
            f"rediffuse train {example} --seed {study.seeds[0]}",
            "one job by itself; the pedigree names the command of each file",
        ),
        ("rediffuse status", "say of every job whether it is up to date"),
        ("dvc metrics show", "the numbers of metrics.json; `dvc metrics diff` compares with the last commit"),
        ("make ui", f"the runs in MLflow, also `mlflow ui --backend-store-uri {study.tracking.uri}`"),
        ("rediffuse track", "log to MLflow what is on disk and not there yet"),
    )
    return chapter_of(
        "repeat",
        "How to repeat",
        "In a clone of the repository, with the environment active after the first `make`:",
        Code(lines),
        "On the same model of processor all of this report comes out as the same bytes, apart from its other part: the "
        "times of this machine are in [timings.md](timings.md).",
    )
