"""Every setting of every run, how to repeat all of it, and where every number comes from."""

from rediffuse.reporting.experiments.comparison import altered
from rediffuse.reporting.experiments.material import Material
from rediffuse.reporting.experiments.results import COMMAND
from rediffuse.reporting.experiments.settings import differing, flat_settings
from rediffuse.reporting.read.frames import Frames
from rediffuse.reporting.read.timings import Timings
from rediffuse.reporting.render.blocks import Chapter, Code, chapter_of
from rediffuse.reporting.render.table import Rows, Table, headers
from rediffuse.reporting.terms import diffusion_runs, run_of_role
from rediffuse.reporting.values import NOT_ASKED, Anchor, counted, short
from rediffuse.runs import facts


def _settings(frames: Frames) -> Table:
    """Every setting of every run but its samplers', those that differ first and marked."""
    all_runs = diffusion_runs(frames.loaded)
    flats = [flat_settings(run) for run in all_runs]
    different = differing(frames)
    same = [key for key in dict.fromkeys(key for flat in flats for key in flat) if key not in different]
    rows = Rows()
    for key in (*different, *same):
        rows.add(key, *(flat.get(key, NOT_ASKED) for flat in flats), "differs" if key in different else "same")
    files = [str(facts.folder(run, seed) / "run.yaml") for run in all_runs for seed in run.seeds]
    ids = " ".join(frames.pedigree.links(files).ids)
    caption = (
        f"Settings of the runs; {counted(len(different), 'setting')} of {len(rows)} differ"
        f"{'s' if len(different) == 1 else ''} and stand{'s' if len(different) == 1 else ''} first."
    )
    columns = headers("`Setting`", [f"`{run.label}`" for run in all_runs], "Same?")
    held = f" The files {ids} hold what was trained." if ids else ""
    notes = (f"As resolved from the study; samplers stand in the table “How the runs were sampled”.{held}",)
    return Table("settings", caption, columns, rows, notes=notes, marked=frozenset(range(len(different))), folded=True)


def settings(material: Material) -> Chapter | None:
    """The whole of them."""
    return chapter_of("settings", "Settings", _settings(material.frames))


SAME_BYTES = (
    "On the same model of processor all of this report comes out as the same bytes, apart from its other part: the "
    "times of this machine are in [timings.md](timings.md)."
)
ON_GPU = (
    "It takes a GPU, and `make gpu` there where the three tools are absent. The same bytes are not promised there: "
    "compiled trainings may differ from one build to the next, and with them what they decide. The times of this "
    "machine are in [timings.md](timings.md)."
)


def repeat(material: Material) -> Chapter | None:
    """The commands, and what they promise."""
    study, baseline = material.loaded.study, run_of_role(material.loaded, "baseline")
    example = baseline.name if baseline else next(iter(material.loaded.runs))
    one_job = f"rediffuse train {example} --seed {study.seeds[0]}"
    lines = (
        (f"rediffuse use {study.study}", "make this study the active one"),
        ("make repro", "install what is needed and rebuild every result"),
        ("dvc repro", "rebuild what is out of date, in the active environment"),
        (COMMAND, "run the ablations; then `dvc repro` takes them into this report"),
        (one_job, "one job by itself; the pedigree names the command of each file"),
        ("rediffuse status", "say of every job whether it is up to date"),
        ("dvc metrics show", "the numbers of metrics.json; `dvc metrics diff` compares with the last commit"),
        ("make ui", f"the runs in MLflow, also `mlflow ui --backend-store-uri {study.tracking.uri}`"),
        ("rediffuse track", "log to MLflow what is on disk and not there yet"),
    )
    where = "In a clone of the repository, with the environment active after the first `make`:"
    promise = ON_GPU if study.hardware.device != "cpu" else SAME_BYTES
    return chapter_of("repeat", "How to repeat", where, Code(lines), promise)


def chapter(material: Material) -> Chapter | None:
    """A row for every file."""
    return chapter_of("pedigree", "Pedigree", altered(material.frames), table(material.frames))


def table(frames: Frames) -> Table:
    """For every file: the command of the job that made it, its key and code."""
    rows = Rows()
    for one in frames.pedigree.sources.values():
        rows.add(Anchor(one.id), one.path, one.command, short(one.key), short(one.code), one.state)
    columns = headers("Id | `File` | `Command` | `Key` | `Code` | State")
    caption = "Where every number comes from. Key and code are shortened to their first characters."
    notes = (
        f"In MLflow, search the runs of experiment {frames.loaded.study.study} for "
        "`tags.\"rediffuse.key\" LIKE 'KEY%'`, KEY being the one of the row.",
        "State: whether the file is byte for byte the one its receipt describes. When, where and at which commit "
        "each was made stands with the times of this machine.",
    )
    return Table("pedigree", caption, columns, rows, notes=notes, folded=True, grouped=2)


def timings(material: Material, clock: Timings) -> Chapter | None:
    """A row for every file of times."""
    rows = Rows()
    for one in clock.taken.values():
        rows.add(Anchor(one.id), one.path, one.job, one.command, short(one.key), short(one.commit), one.date)
    columns = headers("Id | `File` | Job | `Command` | `Key` | `Commit` | Date")
    note = (
        "`+changes` marks source that differed from the commit. These files differ from run to run and machine to "
        "machine, and no digest covers them; a job without one is not shown."
    )
    what = "Where the times come from, and at which commit, when, each job was done. Key and commit are shortened."
    table = Table("timing-files", what, columns, rows, (note,), folded=True, grouped=2) if rows else None
    return chapter_of("timing-files", "Files of times", table)
